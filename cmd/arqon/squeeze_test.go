package main

import (
	"bytes"
	"compress/flate"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// squeezeMain is an ordinary benchmark command, for a whole matrix of which
// every number is the same on every machine:
//
//	squeeze -strategy flate -level 6 -block 16 -seed 1
//
// compresses a text made of the seed in independent blocks of that many KiB and
// prints its size. Each run adds a line to the file "measured" if there is one.
// The level belongs to the strategy flate alone.
func squeezeMain() {
	if err := squeeze(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "squeeze:", err)
		os.Exit(2)
	}
}

func squeeze(args []string) error {
	flags := flag.NewFlagSet("squeeze", flag.ContinueOnError)
	strategy, level := flags.String("strategy", "", ""), flags.Int("level", 0, "")
	block, data := flags.Int("block", 0, ""), flags.Uint64("seed", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if (*strategy == "flate") == (*level == 0) || *block < 1 {
		return fmt.Errorf("no such point: %q", args)
	}
	if *strategy != "flate" {
		*level = flate.HuffmanOnly
	}
	if f, err := os.OpenFile("measured", os.O_APPEND|os.O_WRONLY, 0); err == nil {
		fmt.Fprintln(f, args)
		if err := f.Close(); err != nil {
			return err
		}
	}
	text := prose(*data)
	total := 0
	for at := 0; at < len(text); at += *block << 10 {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, *level)
		if err != nil {
			return err
		}
		if _, err := w.Write(text[at:min(len(text), at+*block<<10)]); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		total += b.Len()
	}
	fmt.Println("bytes:", total)
	return nil
}

// prose is 24 KiB of words, the same for the same seed.
func prose(s uint64) []byte {
	r := rand.New(rand.NewPCG(s, 1))
	words := make([]string, 400)
	for i := range words {
		w := make([]byte, 2+r.IntN(9))
		for k := range w {
			w[k] = "etaoinshrdlucmfw"[min(r.IntN(16), r.IntN(16))]
		}
		words[i] = string(w)
	}
	var b bytes.Buffer
	for b.Len() < 24<<10 {
		b.WriteString(words[min(r.IntN(400), r.IntN(400))] + " ")
	}
	return b.Bytes()
}

const squeezeStudy = `name: kill
seed: 5
workers: WORKERS
command:
  name: squeeze
  version: "1"
  command: [squeeze, "-strategy={{strategy}}", "-level={{level}}", "-block={{block}}", "-seed={{seed}}"]
  parameters:
    - {name: strategy, kind: categorical, choices: [flate, huffman], default: flate}
    - {name: level, kind: int, min: 1, max: 9, default: 1, when: {strategy: [flate]}}
    - {name: block, kind: ordinal, choices: ["1", "4", "16"], default: "1"}
  metrics:
    - {name: bytes, direction: lower, kind: deterministic, role: success, regexp: 'bytes: (\d+)'}
  scenarios: [{name: text}]
  baseline: {strategy: flate, level: 1, block: "1"}
engines: [{name: grid, share: 1}]
budget: {evaluations: 40}
`

// TestKillMatrix walks a whole matrix through an ordinary command and is
// killed at random points.
func TestKillMatrix(t *testing.T) {
	survive(t, victim{verb: "discover", kills: 4, study: squeezeStudy, files: []string{"search.ledger", "recommendation.json"}})
}

func TestProseIsTheSameEverywhere(t *testing.T) {
	if a := string(prose(1)); a != string(prose(1)) || a == string(prose(2)) || !strings.Contains(a, " ") {
		t.Error("the text does not follow from the seed")
	}
}
