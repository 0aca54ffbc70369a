package gates

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func sampleNight(t testing.TB) Night {
	t.Helper()
	s, err := NewSeries([]float32{0, 1, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultPolicy()
	return Night{
		Schema: NightSchema, Run: "toy-0001", Seed: 1 << 63, Outcome: Pass, Policy: p, PolicyDigest: p.Digest(),
		Controls: []Control{}, Noise: []NoiseFloor{}, Funnel: []GateCount{},
		Candidates: []CandidateReport{{
			Name: "x", Point: json.RawMessage(`{"a":1}`), Outcome: Fail, Gate: GateEnvelope,
			Findings: []Finding{{Gate: GateEnvelope, Outcome: Fail, Reason: "too big"}},
			Results:  []Result{{Gate: GateEnvelope, Metric: "bytes", BaseItems: s.Digest, CandItems: s.Digest, Order: 9}},
		}},
		Series: []Series{s},
	}
}

func TestNightRoundTrip(t *testing.T) {
	n := sampleNight(t)
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeNight(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EncodeNight(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(b) || !reflect.DeepEqual(got.Series, n.Series) || got.Seed != n.Seed {
		t.Fatal("a night changed on the way through JSON")
	}
}

func TestDecodeNightRefuses(t *testing.T) {
	b, err := EncodeNight(sampleNight(t))
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"newer":    {strings.Replace(good, NightSchema, "arqon-night/3", 1), ErrNewerNight},
		"words":    {strings.Replace(good, `"run":`, `"wording": 9, "run":`, 1), ErrNewerNight},
		"no words": {strings.Replace(good, `"run":`, `"wording": -1, "run":`, 1), ErrBadNight},
		"older":    {strings.Replace(good, NightSchema, "arqon-night/1", 1), ErrOlderNight},
		"foreign":  {strings.Replace(good, NightSchema, "else/1", 1), ErrBadNight},
		"unknown":  {strings.Replace(good, `"run":`, `"more": 1, "run":`, 1), ErrBadNight},
		"trailing": {good + "{}", ErrBadNight},
		"gate":     {strings.Replace(good, `"gate": "envelope"`, `"gate": "luck"`, 2), ErrBadNight},
		"outcome":  {strings.Replace(good, `"outcome": "FAIL"`, `"outcome": "MAYBE"`, 1), ErrBadNight},
		"series":   {strings.Replace(good, `"count": 4`, `"count": 5`, 1), ErrBadNight},
		"cut":      {good[:len(good)/2], ErrBadNight},
		"empty":    {"", ErrBadNight},
	} {
		if c.text == good {
			t.Fatalf("%s: the test changed nothing", name)
		}
		if _, err := DecodeNight([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzDecodeNight(f *testing.F) {
	b, err := EncodeNight(sampleNight(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":"arqon-night/2"}`))
	f.Add([]byte(`{"schema":"arqon-night/2","series":[{"digest":"","count":-1,"data":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := DecodeNight(b)
		if err != nil {
			return
		}
		out, err := EncodeNight(n)
		if err != nil {
			t.Fatalf("decoded but does not encode: %v", err)
		}
		if _, err := DecodeNight(out); err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
	})
}

func TestPolicyCheck(t *testing.T) {
	if err := DefaultPolicy().Check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Policy){
		"alpha_year":    func(p *Policy) { p.AlphaYear = .9 },
		"alpha_night":   func(p *Policy) { p.AlphaNight = .5 },
		"pairs_max":     func(p *Policy) { p.PairsMax = 0 },
		"robustness[0]": func(p *Policy) { p.Robustness = []Disturbance{{}} },
		"canary_stages": func(p *Policy) { p.CanaryStages = []float64{.5, .2, 1} },
		"control_delay": func(p *Policy) { p.ControlDelay = 0 },
	} {
		p := DefaultPolicy()
		change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	p := DefaultPolicy()
	p.CVaRLimit = .2
	if p.Digest() == DefaultPolicy().Digest() {
		t.Error("two policies with one digest")
	}
}
