package runtime

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

// TestLogReader reads the log of an earlier version: every record has fields,
// classes and knobs have their names, and every kind has exactly the keys that
// docs/runtime.md lists.
func TestLogReader(t *testing.T) {
	want := map[string]string{
		"open": "baseline channel classes domain entries manifest release seed", "release": "baseline channel classes domain entries manifest release",
		"adopted": "generation release", "proposal": "base class knobs ramp seed tick variant",
		"decision": "class generation knobs outcome reason share variant", "applied": "class from generation reason serves share tick to variant",
		"transition": "class from generation reason serves share tick to variant", "window": "cells dropped tick",
		"command": "class reason share tick verb", "adapt": "algorithm classes_resumed knobs policy sla tuners_resumed", "step": "choices proposals",
	}
	for _, kind := range Kinds() {
		if want[kind] == "" {
			t.Errorf("kind %s is not listed", kind)
		}
	}
	var r LogReader
	seen := map[string]bool{}
	if _, err := ledger.Read("testdata/events.log", func(rec ledger.Record) error {
		e := r.Read(rec.Kind, rec.Payload)
		seen[e.Kind] = true
		b, err := json.Marshal(e.Fields) // in the order of the keys
		if err != nil {
			return err
		}
		for _, key := range strings.Fields(want[e.Kind]) {
			if _, ok := e.Fields[key]; !ok {
				t.Errorf("record %d, %s: no field %s in %s", rec.Seq, e.Kind, key, b)
			}
		}
		if len(e.Fields) != len(strings.Fields(want[e.Kind])) {
			t.Errorf("record %d, %s: fields that are not documented: %s", rec.Seq, e.Kind, b)
		}
		if class, ok := e.Fields["class"]; ok && class != "low" && class != "burst" {
			t.Errorf("record %d, %s: class %v", rec.Seq, e.Kind, class)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if !seen[kind] {
			t.Errorf("the log has no record of kind %s", kind)
		}
	}
}

func TestLogReaderOfWhatHasNoWords(t *testing.T) {
	var r LogReader
	e := r.Read(recordDecision, Decision{Class: 3, Share: math.NaN(), Knobs: []KnobValue{{Knob: 7, Value: math.Inf(1)}}}.encode(nil))
	b, err := json.Marshal(e.Fields)
	if want := `{"class":3,"generation":0,"knobs":[{"clipped":false,"knob":7,"value":null}],"outcome":"refused","reason":"none","share":null,"variant":0}`; err != nil || string(b) != want {
		t.Errorf("%s (%v), want %s", b, err, want)
	}
	for name, e := range map[string]LogEvent{"cut short": r.Read(recordWindow, []byte{1, 2}), "no release": r.Read(recordOpen, []byte(`{"seed":1}`)), "no record": r.Read(99, nil)} {
		if said, ok := e.Fields["error"].(string); !ok || !strings.Contains(said, name) {
			t.Errorf("%s: %v", name, e.Fields)
		}
	}
}
