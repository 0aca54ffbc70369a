package external

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// served is a domain with everything that the wire can carry. Its cost is half
// as large for the gates, so that a test sees which data it was measured on.
type served struct{ opened *int }

func (served) Describe(context.Context) (benchmarks.Description, error) {
	return benchmarks.Description{
		Name: "served", Version: "3",
		Space: benchmarks.Space{Parameters: []benchmarks.Parameter{
			{Name: "x", Kind: benchmarks.Float, Min: .1, Max: 9, Log: true, Default: 1.0},
			{Name: "mode", Kind: benchmarks.Categorical, Choices: []string{"plain", "fancy"}},
			{Name: "depth", Kind: benchmarks.Int, Min: 1, Max: 3, When: map[string][]any{"mode": {"fancy"}}},
		}, Constraints: []benchmarks.Constraint{{Name: "not too large", Expr: `mode == "plain" || x < 5`}}},
		Metrics: []benchmarks.Metric{
			{Name: "cost", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.Success, Compare: benchmarks.Ratio, Range: &[2]float64{0, 9}},
			{Name: "size", Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Tolerance: .1, Limit: new(float64)},
		},
		Scenarios: []benchmarks.Scenario{{Name: "a", Features: map[string]float64{"load": 2}}, {Name: "b", Limits: map[string]float64{"size": 100}, Success: "size"}},
		Baseline:  benchmarks.Point{"x": 1.0, "mode": "plain"},
		Starts:    []benchmarks.Point{{"x": 2.0, "mode": "fancy", "depth": int64(2)}},
	}, nil
}

func (d served) Build(ctx context.Context, p benchmarks.Point, seed uint64) (benchmarks.Bundle, error) {
	desc, err := d.Describe(ctx)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	if p, err = desc.Space.Normalize(p); err != nil {
		return benchmarks.Bundle{}, err
	}
	return benchmarks.Bundle{Point: p, Seed: seed, Type: "kind", Files: []benchmarks.File{
		{Name: "a/x.json", MediaType: "application/json", Bytes: p.Canonical()}, {Name: "b.bin", Bytes: []byte{1}},
	}}, nil
}

func (d served) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	var p struct{ X float64 }
	if len(b.Files) != 2 {
		return nil, fmt.Errorf("%d files", len(b.Files))
	}
	*d.opened++
	return servedInstance{&p.X}, json.Unmarshal(b.Files[0].Bytes, &p)
}

type servedInstance struct{ x *float64 }

func (in servedInstance) Measure(_ context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	cost := *in.x
	if r.Purpose == benchmarks.ForGates {
		cost /= 2
	}
	if p := r.Perturbation; p != nil {
		switch p.Kind {
		case "nan":
			cost = math.NaN()
		case "large":
		default:
			return nil, fmt.Errorf("perturbation %s: %w", p.Kind, benchmarks.ErrUnsupported)
		}
	}
	items := []float32{float32(cost), 0}
	if r.Perturbation != nil {
		items = make([]float32, maxLineBytes)
	}
	out := make([]benchmarks.Sample, r.Repeats)
	for i := range out {
		out[i] = benchmarks.Sample{Values: map[string]float64{"cost": cost, "size": 7}, Items: map[string][]float32{"cost": items}}
	}
	return out, nil
}

func (servedInstance) Check(_ context.Context, seed uint64) ([]benchmarks.Check, error) {
	return []benchmarks.Check{{Name: "seed", Pass: seed > 0}}, nil
}
func (servedInstance) Close() error { return nil }

func (in servedInstance) Answer(_ context.Context, questions ...string) ([]benchmarks.Golden, error) {
	asked, err := benchmarks.AskedOf([]string{"twice"}, questions)
	if err != nil {
		return nil, err
	}
	var out []benchmarks.Golden
	for _, q := range asked {
		out = append(out, benchmarks.Golden{Question: q, Values: []float64{2 * *in.x}, Tolerance: 1e-9})
	}
	return out, nil
}

// serveProgram is what the test binary does under "program serve".
func serveProgram() int {
	if err := Serve(context.Background(), served{new(int)}, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

func TestAServedDomainIsTheSameDomain(t *testing.T) {
	d := misbehaving(t, Options{}, "serve")
	conformance.Run(t, d)
	inside := served{new(int)}
	want, err := inside.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, errA := json.Marshal(want)
	b, errB := json.Marshal(got)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("in process %s\nserved     %s\n%v %v", a, b, errA, errB)
	}
	bundle, err := d.Build(t.Context(), want.Starts[0], 4)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}()
	if g, err := in.(benchmarks.Answerer).Answer(t.Context(), "twice"); err != nil || len(g) != 1 || g[0].Values[0] != 4 || g[0].Tolerance != 1e-9 {
		t.Errorf("golden answers: %+v, %v", g, err)
	}
	r := benchmarks.Request{Scenario: "a", Seed: 1, Repeats: 2, Fidelity: 1}
	for purpose, cost := range map[benchmarks.Purpose]float64{benchmarks.ForSearch: 2, benchmarks.ForGates: 1} {
		r.Purpose = purpose
		samples, err := in.Measure(t.Context(), r)
		if err != nil || len(samples) != 2 || samples[1].Values["cost"] != cost || len(samples[1].Items["cost"]) != 2 || samples[1].Items["cost"][0] != float32(cost) {
			t.Errorf("purpose %d: %+v, %v", purpose, samples, err)
		}
	}
	r.Perturbation = &benchmarks.Perturbation{Kind: "nan"}
	if _, err := in.Measure(t.Context(), r); !errors.Is(err, benchmarks.ErrBadCandidate) || !strings.Contains(err.Error(), "metric cost is NaN") {
		t.Error(err)
	}
	r.Perturbation.Kind = "large"
	if samples, err := in.Measure(t.Context(), r); err != nil || samples[0].Values["size"] != 7 || samples[0].Items != nil {
		t.Errorf("items that no line holds: %v", err)
	}
}

// TestServeByHand is what the package comment promises, line by line.
func TestServeByHand(t *testing.T) {
	dir := t.TempDir()
	opened := 0
	ask := func(in string) (string, error) {
		var out strings.Builder
		err := Serve(t.Context(), served{&opened}, strings.NewReader(in), &out)
		return out.String(), err
	}
	point := `"point":{"x":2,"mode":"plain"},"dir":"` + dir + `"`
	got, err := ask(`{"id":1,"op":"hello","protocol":"arqon-domain/1"}
{"id":2,"op":"hello","protocol":"arqon-domain/9"}
{"id":3,"op":"build",` + point + `,"seed":1}
{"id":4,"op":"measure",` + point + `,"scenario":"a","seed":1}
{"id":5,"op":"measure",` + point + `,"scenario":"a","seed":1,"purpose":"gates","repeats":1}
{"id":6,"op":"measure",` + point + `,"scenario":"a","purpose":"fun"}
{"id":7,"op":"measure",` + point + `,"scenario":"moon"}
{"id":8,"op":"check",` + point + `,"seed":1}
{"id":9,"op":"build","point":{"x":99}}
{"id":10,"op":"build","point":{"x":2}}
{"id":11,"op":"check","point":{"x":3},"dir":"` + dir + `/none"}
{"id":12,"op":"shutdown"}
`)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	for i, want := range []string{
		`"ok":true,"name":"served","version":"3","purpose":true}`,
		`"code":"unsupported","message":"protocol \"arqon-domain/9\", this program speaks arqon-domain/1`,
		`"ok":true,"type":"kind","files":[{"path":"a/x.json","media_type":"application/json"},{"path":"b.bin","media_type":""}]}`,
		`"ok":true,"samples":[{"cost":2,"size":7}],"items":[{"cost":[2,0]}]}`,
		`"samples":[{"cost":1,"size":7}]`,
		`"unsupported","message":"purpose \"fun\"`,
		`"unsupported","message":"scenario \"moon\"`,
		`"checks":[{"name":"seed","pass":true}]`,
		`"code":"bad_candidate"`,
		`"build_failed","message":"dir: missing"`,
		`"crash","message":"dir: `,
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], fmt.Sprintf(`{"id":%d,`, i+1)) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d: want %s in\n%s", i+1, want, got)
		}
	}
	if len(lines) != 11 || opened != 1 {
		t.Errorf("%d answers, opened %d times: want 11, and once for all of one bundle", len(lines), opened)
	}
	for in, want := range map[string]error{"x\n": ErrProtocol, strings.Repeat("x", maxLineBytes+9): ErrProtocol, "": nil} {
		if _, err := ask(in); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%.20q: %v", in, err)
		}
	}
	if err := Serve(t.Context(), served{&opened}, strings.NewReader("{\"op\":\"hello\"}\n"), failing{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzServe(f *testing.F) {
	f.Add(`{"id":1,"op":"describe"}`)
	f.Add(`{"id":1,"op":"check","point":{"x":1},"dir":"/nowhere"}`)
	f.Fuzz(func(t *testing.T, line string) {
		var q request
		if json.Unmarshal([]byte(line), &q) == nil && q.Dir != "" && q.Dir != "/nowhere" || strings.Contains(line, "\n") {
			t.Skip("a fuzzer chooses no directories")
		}
		var out strings.Builder
		n := 0
		if err := Serve(t.Context(), served{&n}, strings.NewReader(line+"\n"), &out); err != nil {
			return
		}
		for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			if l != "" && !json.Valid([]byte(l)) {
				t.Fatalf("%q", l)
			}
		}
	})
}
