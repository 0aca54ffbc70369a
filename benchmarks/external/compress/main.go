// Command compress is a small real program for Arqon: it compresses the Go
// tree's own sources with compress/flate and says what that costs and gains.
//
// Without arguments it speaks arqon-domain/1 on stdin and stdout. With flags
// it measures one point and prints one JSON object, as an ordinary benchmark
// command does:
//
//	compress -level 9 -scenario small -seed 7
//
// It imports nothing of Arqon: it shows what a user's program needs.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var err error
	if len(os.Args) > 1 {
		err = once(os.Args[1:])
	} else {
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compress:", err)
		os.Exit(2)
	}
}

// once measures one point from flags and prints its metrics.
func once(args []string) error {
	p := baseline()
	flags := flag.NewFlagSet("compress", flag.ContinueOnError)
	flags.StringVar(&p.Strategy, "strategy", p.Strategy, "default or huffman")
	flags.IntVar(&p.Level, "level", p.Level, "1 to 9, strategy default only")
	flags.IntVar(&p.BlockKB, "block-kb", p.BlockKB, "size of an independent block, 1 to 1024")
	flags.BoolVar(&p.Dictionary, "dictionary", p.Dictionary, "prime every block with a dictionary")
	flags.IntVar(&p.DictionaryKB, "dictionary-kb", p.DictionaryKB, "1 to 32")
	scenario := flags.String("scenario", "small", "small or large")
	seed := flags.Uint64("seed", 1, "which messages")
	fidelity := flags.Float64("fidelity", 1, "share of the messages, above 0 to 1")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	c, err := loadCorpus()
	if err != nil {
		return err
	}
	run, err := newRun(p, c.dictionary(p))
	if err != nil {
		return err
	}
	messages, err := c.messages(*scenario, *seed, *fidelity)
	if err != nil {
		return err
	}
	m, err := run.measure(messages)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// failure is an answer {"ok":false}.
type failure struct{ code, message string }

func (f failure) Error() string { return f.code + ": " + f.message }

type request struct {
	ID           uint64          `json:"id"`
	Op           string          `json:"op"`
	Point        json.RawMessage `json:"point"`
	Dir          string          `json:"dir"`
	Scenario     string          `json:"scenario"`
	Seed         uint64          `json:"seed"`
	Repeats      int             `json:"repeats"`
	Fidelity     float64         `json:"fidelity"`
	Perturbation *struct {
		Kind  string  `json:"kind"`
		Level float64 `json:"level"`
	} `json:"perturbation"`
}

// serve answers one line at a time until shutdown or the end of the input.
func serve() error {
	var c *corpus // loaded when first needed
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q request
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		if q.Op == "shutdown" {
			return nil
		}
		answer, err := handle(q, &c)
		if f := (failure{}); errors.As(err, &f) {
			answer = map[string]any{"ok": false, "error": map[string]string{"code": f.code, "message": f.message}}
		} else if err != nil {
			return err
		}
		answer["id"] = q.ID
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return in.Err()
}

func handle(q request, c **corpus) (map[string]any, error) {
	switch q.Op {
	case "hello":
		return map[string]any{"ok": true, "name": "compress", "version": "1"}, nil
	case "describe":
		return map[string]any{"ok": true, "space": json.RawMessage(spaceJSON), "metrics": json.RawMessage(metricsJSON),
			"scenarios": json.RawMessage(scenariosJSON), "baseline": baseline().wire()}, nil
	case "build", "measure", "check":
	default:
		return nil, failure{"unsupported", "operation " + q.Op}
	}
	p, err := decodePoint(q.Point)
	if err != nil {
		return nil, failure{"bad_candidate", err.Error()}
	}
	if *c == nil {
		if *c, err = loadCorpus(); err != nil {
			return nil, err
		}
	}
	switch q.Op {
	case "build":
		return build(q, p, *c)
	case "measure":
		return measure(q, p, *c)
	}
	return check(q, p, *c)
}

// build writes what a host needs to run the point: its parameters and, if it
// has one, its dictionary.
func build(q request, p point, c *corpus) (map[string]any, error) {
	params, err := json.Marshal(p.wire())
	if err != nil {
		return nil, err
	}
	files := []map[string]string{{"path": "params.json", "media_type": "application/json"}}
	if err := os.WriteFile(filepath.Join(q.Dir, "params.json"), params, 0o600); err != nil {
		return nil, failure{"build_failed", err.Error()}
	}
	if dict := c.dictionary(p); dict != nil {
		files = append(files, map[string]string{"path": "dictionary.bin", "media_type": "application/octet-stream"})
		if err := os.WriteFile(filepath.Join(q.Dir, "dictionary.bin"), dict, 0o600); err != nil {
			return nil, failure{"build_failed", err.Error()}
		}
	}
	return map[string]any{"ok": true, "type": "flate-profile", "files": files}, nil
}

// opened loads the built files, as a host would.
func opened(q request, p point) (*run, error) {
	var dict []byte
	if p.Dictionary {
		var err error
		if dict, err = os.ReadFile(filepath.Join(q.Dir, "dictionary.bin")); err != nil {
			return nil, failure{"build_failed", err.Error()}
		}
	}
	return newRun(p, dict)
}

func measure(q request, p point, c *corpus) (map[string]any, error) {
	r, err := opened(q, p)
	if err != nil {
		return nil, err
	}
	var samples []metrics
	for i := range max(q.Repeats, 1) {
		messages, err := c.messages(q.Scenario, q.Seed+uint64(i), q.Fidelity)
		if err != nil {
			return nil, failure{"unsupported", err.Error()}
		}
		if q.Perturbation != nil {
			if q.Perturbation.Kind != "noise" {
				return nil, failure{"unsupported", "perturbation " + q.Perturbation.Kind}
			}
			messages = withNoise(messages, q.Perturbation.Level, q.Seed)
		}
		m, err := r.measure(messages)
		if err != nil {
			return nil, err
		}
		samples = append(samples, m)
	}
	return map[string]any{"ok": true, "samples": samples}, nil
}

func check(q request, p point, c *corpus) (map[string]any, error) {
	r, err := opened(q, p)
	if err != nil {
		return nil, err
	}
	var checks []map[string]any
	for _, scenario := range []string{"small", "large"} {
		messages, err := c.messages(scenario, q.Seed, .25)
		if err != nil {
			return nil, err
		}
		detail := r.roundTrip(messages)
		checks = append(checks, map[string]any{"name": "round trip " + scenario, "pass": detail == "", "detail": detail})
	}
	return map[string]any{"ok": true, "checks": checks}, nil
}
