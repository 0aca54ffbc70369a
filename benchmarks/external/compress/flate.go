package main

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	goruntime "runtime"
	"strings"
)

// point is one way to compress. Level is meaningful with strategy default
// only, DictionaryKB with Dictionary only.
type point struct {
	Strategy     string
	Level        int
	BlockKB      int
	Dictionary   bool
	DictionaryKB int
}

func baseline() point { return point{Strategy: "default", Level: 6, BlockKB: 64, DictionaryKB: 8} }

const spaceJSON = `{"parameters":[
 {"name":"strategy","kind":"categorical","choices":["default","huffman"],"default":"default"},
 {"name":"level","kind":"int","min":1,"max":9,"default":6,"when":{"strategy":["default"]}},
 {"name":"block_kb","kind":"int","min":1,"max":1024,"scale":"log","default":64},
 {"name":"dictionary","kind":"bool","default":false},
 {"name":"dictionary_kb","kind":"int","min":1,"max":32,"scale":"log","default":8,"when":{"dictionary":[true]}}],
 "constraints":[{"name":"huffman finds no matches","expr":"strategy == \"default\" || !dictionary"}]}`

const metricsJSON = `[
 {"name":"ns_per_byte","unit":"ns","direction":"lower","kind":"measured","role":"success","tolerance":0.05},
 {"name":"ratio","unit":"1","direction":"higher","kind":"deterministic","role":"guardrail","tolerance":0.02}]`

// Small messages are stored, so bytes count there; large ones are streamed.
const scenariosJSON = `[
 {"name":"small","features":{"bytes":1024},"success":"ratio","tolerances":{"ns_per_byte":1}},
 {"name":"large","features":{"bytes":262144}}]`

// wire is the point as JSON wants it: inactive parameters left out.
func (p point) wire() map[string]any {
	out := map[string]any{"strategy": p.Strategy, "block_kb": p.BlockKB, "dictionary": p.Dictionary}
	if p.Strategy == "default" {
		out["level"] = p.Level
	}
	if p.Dictionary {
		out["dictionary_kb"] = p.DictionaryKB
	}
	return out
}

func decodePoint(b []byte) (point, error) {
	p := baseline()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var w struct {
		Strategy     *string `json:"strategy"`
		Level        *int    `json:"level"`
		BlockKB      *int    `json:"block_kb"`
		Dictionary   *bool   `json:"dictionary"`
		DictionaryKB *int    `json:"dictionary_kb"`
	}
	if err := dec.Decode(&w); err != nil {
		return p, err
	}
	set(&p.Strategy, w.Strategy)
	set(&p.Level, w.Level)
	set(&p.BlockKB, w.BlockKB)
	set(&p.Dictionary, w.Dictionary)
	set(&p.DictionaryKB, w.DictionaryKB)
	return p, p.check()
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (p point) check() error {
	switch {
	case p.Strategy != "default" && p.Strategy != "huffman":
		return fmt.Errorf("strategy %q is not default or huffman", p.Strategy)
	case p.Level < 1 || p.Level > 9:
		return fmt.Errorf("level %d is outside 1 to 9", p.Level)
	case p.BlockKB < 1 || p.BlockKB > 1024:
		return fmt.Errorf("block_kb %d is outside 1 to 1024", p.BlockKB)
	case p.DictionaryKB < 1 || p.DictionaryKB > 32:
		return fmt.Errorf("dictionary_kb %d is outside 1 to 32", p.DictionaryKB)
	case p.Dictionary && p.Strategy == "huffman":
		return errors.New("huffman finds no matches: a dictionary cannot help it")
	}
	return nil
}

type metrics struct {
	NSPerByte float64 `json:"ns_per_byte"`
	Ratio     float64 `json:"ratio"`
}

// run compresses with one point. Its writer is made once and reset for every
// block, as a server would.
type run struct {
	writer     *flate.Writer
	out        bytes.Buffer
	blockBytes int
	dict       []byte
}

func newRun(p point, dict []byte) (*run, error) {
	level := p.Level
	if p.Strategy == "huffman" {
		level = flate.HuffmanOnly
	}
	r := &run{blockBytes: p.BlockKB << 10, dict: dict}
	var err error
	if dict == nil {
		r.writer, err = flate.NewWriter(&r.out, level)
	} else {
		r.writer, err = flate.NewWriterDict(&r.out, level, dict)
	}
	return r, err
}

// compress appends each block of the message to r.out as its own stream.
func (r *run) compress(message []byte) error {
	for len(message) > 0 {
		n := min(r.blockBytes, len(message))
		r.writer.Reset(&r.out)
		if _, err := r.writer.Write(message[:n]); err != nil {
			return err
		}
		if err := r.writer.Close(); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// measure compresses every message. Time is this thread's CPU time where the
// system can tell it.
func (r *run) measure(messages [][]byte) (metrics, error) {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	if err := r.compress(messages[0]); err != nil { // the first one warms up
		return metrics{}, err
	}
	var in, out int
	start := cpuNS()
	for _, m := range messages {
		r.out.Reset()
		if err := r.compress(m); err != nil {
			return metrics{}, err
		}
		in += len(m)
		out += r.out.Len()
	}
	spent := cpuNS() - start
	return metrics{NSPerByte: float64(spent) / float64(in), Ratio: float64(in) / float64(out)}, nil
}

// roundTrip returns what went wrong, or "".
func (r *run) roundTrip(messages [][]byte) string {
	for i, m := range messages {
		for at := 0; at < len(m); at += r.blockBytes {
			block := m[at:min(at+r.blockBytes, len(m))]
			r.out.Reset()
			if err := r.compress(block); err != nil {
				return err.Error()
			}
			back, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(r.out.Bytes()), r.dict))
			if err != nil {
				return fmt.Sprintf("message %d: %v", i, err)
			}
			if !bytes.Equal(back, block) {
				return fmt.Sprintf("message %d: the bytes changed", i)
			}
		}
	}
	return ""
}

// withNoise replaces a share of the bytes by random ones.
func withNoise(messages [][]byte, level float64, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([][]byte, len(messages))
	for i, m := range messages {
		out[i] = bytes.Clone(m)
		for j := range out[i] {
			if r.Float64() < level {
				out[i][j] = byte(r.Uint32())
			}
		}
	}
	return out
}

// clean is for error messages on one line.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }
