package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

func TestALedgerFileReplaysToTheSameBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	log, err := ledger.Create(path, ledger.Header{Purpose: LogPurpose, Seed: 7}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := toyConfig()
	cfg.Log = log
	rt := openToy(t, cfg)
	tier2, err := NewAdaptation(rt, AdaptConfig{Knobs: true})
	if err != nil {
		t.Fatal(err)
	}
	rt.Install(1)
	for tick := Tick(2); tick < 30; tick++ {
		accuracy := .9
		if tick == 20 {
			accuracy = .4
		}
		var cells []Cell
		for id := idBase; id <= idUntold; id++ {
			cells = append(cells, seen(cLow, id, 100-10*float64(id%3)+float64(tick%3), accuracy, 100)...)
		}
		tier2.Cycle(window(tick, cells...))
	}
	rt.Kill(ReasonOperator)
	if err := rt.Executor().Sync(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := ReplayFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if done.Generation != rt.Load().Generation() || done.Seed != 7 || done.Outputs < 40 || done.Inputs < 40 {
		t.Fatalf("%+v", done)
	}
	if err := ledgerWith(t, path, filepath.Join(t.TempDir(), "forged")); !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "record ") {
		t.Fatalf("a decision that was not taken: %v", err)
	}
}

// ledgerWith copies a log, turning the first applied decision into another
// one, and returns what replaying the copy says. The copy's chain is valid.
func ledgerWith(t *testing.T, from, to string) error {
	t.Helper()
	out, err := ledger.Create(to, ledger.Header{Purpose: LogPurpose}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	_, err = ledger.Read(from, func(rec ledger.Record) error {
		if d, err := decodeDecision(rec.Payload); rec.Kind == recordDecision && err == nil && !changed {
			d.Variant, changed = idSmall, true
			rec.Payload = d.encode(nil)
		}
		_, err := out.Append(rec.Kind, rec.Payload)
		return err
	})
	if err := errors.Join(err, out.Close()); err != nil || !changed {
		t.Fatal(err)
	}
	_, err = ReplayFile(to)
	return err
}

func TestReplayRefusesWhatIsNoEventLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other")
	log, err := ledger.Create(path, ledger.Header{Purpose: "a study"}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReplayFile(path); !errors.Is(err, ledger.ErrForeign) {
		t.Fatalf("%v", err)
	}
	if _, err := ReplayFile(path + "-none"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	var r Replayer
	for kind, payload := range map[uint16][]byte{0: nil, 99: nil, recordOpen: []byte("{}"), recordWindow: {1}} {
		if err := r.Feed(kind, payload); !errors.Is(err, ErrRecord) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestRecordsSurviveTheirEncoding(t *testing.T) {
	p := Proposal{Tick: 3, Base: 9, Class: 1, Variant: 70000, Ramp: RampDirect, Seed: 1 << 60, Knobs: []KnobDelta{{2, -.5}, {3, math.Inf(1)}}}
	d := Decision{Generation: 8, Class: 1, Variant: 2, Outcome: Applied, Reason: NoReason, Share: 1, Knobs: []KnobValue{{1, .25, true}, {2, 4, false}}}
	w := window(7, seen(cBurst, idFast, 1, 2, 3)...)
	tr := Transition{Tick: 1, Generation: 2, Class: 3, From: Canary, To: RolledBack, Reason: ReasonHarm, Variant: 4, Serves: 5, Share: .25}
	c := command{Verb: verbWiden, Class: 2, Tick: 8, Share: .5}
	p2, err1 := decodeProposal(p.encode(nil))
	d2, err2 := decodeDecision(d.encode(nil))
	w2, err3 := decodeWindow(w.encode(nil))
	t2, err4 := decodeTransition(tr.encode(nil))
	c2, err5 := decodeCommand(c.encode(nil))
	step := adaptStep{Choices: []Choice{{Class: 1, Variant: 3, Propensity: .25}, {}}, Proposals: []Proposal{p, {}}}
	s2, err6 := decodeStep(step.encode(nil))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]any{{p, p2}, {d, d2}, {*w, *w2}, {tr, t2}, {c, c2}, {step, s2}} {
		if a, b := fmt.Sprintf("%+v", x[0]), fmt.Sprintf("%+v", x[1]); a != b {
			t.Errorf("%s\n%s", a, b)
		}
	}
}

// FuzzRecords feeds any bytes as any kind: decoding never panics or allocates
// by what the bytes claim, and what decodes encodes to the same bytes.
func FuzzRecords(f *testing.F) {
	p := Proposal{Tick: 3, Knobs: []KnobDelta{{2, -.5}}}
	d := Decision{Generation: 8, Knobs: []KnobValue{{1, .25, true}}}
	for kind, b := range map[uint16][]byte{
		recordProposal: p.encode(nil), recordDecision: d.encode(nil), recordWindow: window(1, seen(0, 1, 2, 3, 4)...).encode(nil),
		recordTransition: Transition{}.encode(nil), recordCommand: command{Verb: verbKill}.encode(nil), recordAdopted: adopted{}.encode(nil),
		recordStep: adaptStep{Proposals: []Proposal{p}}.encode(nil), recordOpen: []byte(`{"seed":1,"view":null}`), recordAdapt: []byte(`{"config":{"policy":0}}`),
	} {
		f.Add(kind, b)
	}
	f.Add(recordWindow, bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		var again []byte
		var err error
		switch kind {
		case recordProposal, recordDecision, recordWindow, recordTransition, recordApplied, recordCommand, recordAdopted, recordStep:
			again, err = recode(kind, b)
			if err == nil && !bytes.Equal(again, b) {
				t.Fatalf("%s: % x became % x", kindName(kind), b, again)
			}
		default:
		}
		if err != nil && !errors.Is(err, ErrRecord) {
			t.Fatalf("error of another kind: %v", err)
		}
		_ = Describe(kind, b)
		said := new(LogReader).Read(kind, b)
		if _, err := json.Marshal(said.Fields); err != nil || len(said.Fields) == 0 {
			t.Fatalf("%s: fields %v: %v", said.Kind, said.Fields, err)
		}
		r := Replayer{m: newMachine(fuzzView)}
		if err := r.Feed(kind, b); err != nil && !errors.Is(err, ErrRecord) && !errors.Is(err, ErrDiffers) {
			if kind != recordAdapt {
				t.Fatalf("error of another kind: %v", err)
			}
		}
	})
}

var fuzzView = func() *view {
	cfg := toyConfig()
	if err := cfg.fill(); err != nil {
		panic(err)
	}
	v, err := newView(&cfg, toyRelease(1), "m", nil)
	if err != nil {
		panic(err)
	}
	return v
}()

func recode(kind uint16, b []byte) ([]byte, error) {
	switch kind {
	case recordProposal:
		x, err := decodeProposal(b)
		return x.encode(nil), err
	case recordDecision:
		x, err := decodeDecision(b)
		return x.encode(nil), err
	case recordWindow:
		x, err := decodeWindow(b)
		return x.encode(nil), err
	case recordTransition, recordApplied:
		x, err := decodeTransition(b)
		return x.encode(nil), err
	case recordCommand:
		x, err := decodeCommand(b)
		return x.encode(nil), err
	case recordAdopted:
		x, err := decodeAdopted(b)
		return x.encode(nil), err
	}
	x, err := decodeStep(b)
	return x.encode(nil), err
}
