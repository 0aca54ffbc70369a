package infer

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, quickDomain(t)) }

// tinyRecipe trains in a fraction of a second: for what does not depend on how
// good the network is.
func tinyRecipe() recipe {
	r := fullRecipe()
	r.Name, r.Images, r.Epochs, r.HeadImages, r.HeadEpochs = "tiny", 640, 1, 256, 1
	return r
}

func TestTrainingIsTheSameOnAnyNumberOfCores(t *testing.T) {
	data := testData(t)
	var files [][]byte
	for _, cores := range []int{1, 2, 5} {
		before := goruntime.GOMAXPROCS(cores)
		tr, err := obtain(t.Context(), data, tinyRecipe(), Options{Seed: 3, Progress: func(string) {}})
		goruntime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tr.assemble(&choices{route: routeCascade, precision: precisionF32, adapter: adapterShifted, thresholds: Thresholds{1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m.encode())
	}
	if !bytes.Equal(files[0], files[1]) || !bytes.Equal(files[0], files[2]) {
		t.Error("the trained bytes depend on GOMAXPROCS")
	}
}

func TestTheCacheReturnsWhatWasTrained(t *testing.T) {
	data, dir := testData(t), t.TempDir()
	var story []string
	opts := Options{CacheDir: dir, Seed: 3, Progress: func(s string) { story = append(story, s) }}
	file := func(o Options) []byte {
		t.Helper()
		story = nil
		tr, err := obtain(t.Context(), data, tinyRecipe(), o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tr.assemble(&choices{route: routeCascade, precision: precisionI8, quantile: 1, adapter: adapterNoisy, thresholds: Thresholds{1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		return m.encode()
	}
	first := file(opts)
	if len(story) == 0 {
		t.Error("the first training was silent")
	}
	if again := file(opts); !bytes.Equal(first, again) || len(story) != 0 {
		t.Errorf("from the cache: equal %v, story %q", bytes.Equal(first, again), story)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%d files in the cache, %v", len(paths), err)
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(paths[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if again := file(opts); !bytes.Equal(first, again) || !strings.Contains(strings.Join(story, "\n"), "damaged") {
		t.Errorf("after damage: equal %v, story %q", bytes.Equal(first, again), story)
	}
	if other := file(Options{CacheDir: dir, Seed: 4, Progress: opts.Progress}); bytes.Equal(first, other) {
		t.Error("another seed gives the same network")
	}
}

func TestAFullCacheDoesNotStopTheNight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a file, not a folder")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	story := ""
	_, err := obtain(t.Context(), testData(t), tinyRecipe(), Options{CacheDir: file, Progress: func(s string) { story += s + "\n" }})
	if err != nil || !strings.Contains(story, "not cached") {
		t.Errorf("%v, story %q", err, story)
	}
}

func TestBuildIsPureAndNamesItsKind(t *testing.T) {
	d := quickDomain(t)
	for _, c := range []struct {
		kind string
		p    benchmarks.Point
	}{
		{"baseline", nil},
		{"early-exit", benchmarks.Point{paramExit0: 0.8}},
		{"pruning", benchmarks.Point{paramPrune2: 0.8}},
		{"quantization", benchmarks.Point{paramPrecision: precisionI4, paramQuantile: 0.99}},
		{"adapter", benchmarks.Point{paramAdapter: adapterNoisy}},
		{"escalation", benchmarks.Point{paramRoute: routeEscalate, paramExit0: 0.9}},
		{"composite", benchmarks.Point{paramRoute: routeSmall, paramPrecision: precisionI8}},
	} {
		a, _ := build(t, d, point(c.p))
		b, _ := build(t, d, point(c.p))
		if a.Type != c.kind || !bytes.Equal(a.Files[0].Bytes, b.Files[0].Bytes) {
			t.Errorf("%v: type %s, equal %v; want type %s", c.p, a.Type, bytes.Equal(a.Files[0].Bytes, b.Files[0].Bytes), c.kind)
		}
	}
	for _, p := range []benchmarks.Point{{paramExit0: 2.0}, {paramExit0: "low"}, {paramRoute: "teleport"}, {"unknown": 1.0}} {
		if _, err := d.Build(t.Context(), point(p), 1); !errors.Is(err, benchmarks.ErrBadCandidate) {
			t.Errorf("%v: %v, want ErrBadCandidate", p, err)
		}
	}
}

func TestOpenRefusesOtherBundles(t *testing.T) {
	d := quickDomain(t)
	for _, b := range []benchmarks.Bundle{{}, {Files: []benchmarks.File{{Name: "x", Bytes: []byte("x")}}}} {
		if _, err := d.Open(t.Context(), b); !errors.Is(err, ErrBadModel) {
			t.Errorf("%v, want ErrBadModel", err)
		}
	}
}

// measure returns the one sample of a deterministic request.
func measure(t *testing.T, in benchmarks.Instance, r benchmarks.Request) benchmarks.Sample {
	t.Helper()
	r.Repeats, r.OnlyDeterministic = 1, true
	s, err := in.Measure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s[0]
}

func TestTheSearchNeverSeesTheTestImages(t *testing.T) {
	d := quickDomain(t)
	_, in := build(t, d, Baseline())
	for purpose, want := range map[benchmarks.Purpose]int{benchmarks.ForSearch: validationImages, benchmarks.ForGates: testSize} {
		s := measure(t, in, benchmarks.Request{Scenario: LowLoad, Fidelity: 1, Purpose: purpose})
		if got := len(s.Items[MetricAccuracy]); got != want || len(s.Items[MetricMACs]) != want {
			t.Errorf("purpose %d: %d items, want %d", purpose, got, want)
		}
	}
}

func TestDeterministicMetricsRepeat(t *testing.T) {
	d := quickDomain(t)
	_, in := build(t, d, point(benchmarks.Point{paramExit0: 0.7}))
	_, fresh := build(t, d, point(benchmarks.Point{paramExit0: 0.7}))
	_, other := build(t, d, Baseline())
	for _, scenario := range []string{LowLoad, Shifted, Noisy, Inverted} {
		r := benchmarks.Request{Scenario: scenario, Seed: 9, Fidelity: 0.1}
		a := measure(t, in, r)
		for name, again := range map[string]benchmarks.Sample{"again": measure(t, in, r), "fresh": measure(t, fresh, r)} {
			if !maps.Equal(a.Values, again.Values) || !slices.Equal(a.Items[MetricAccuracy], again.Items[MetricAccuracy]) {
				t.Errorf("%s, %s: %v, then %v", scenario, name, a.Values, again.Values)
			}
		}
		r.Seed = 10
		if b := measure(t, in, r); slices.Equal(a.Items[MetricAccuracy], b.Items[MetricAccuracy]) {
			t.Errorf("%s: another seed gives the same items", scenario)
		}
		// The same images in the same order for another instance: an easy image
		// is easy for both, so the items agree far more often than by chance.
		r.Seed = 9
		b, agree := measure(t, other, r), 0
		for i, x := range a.Items[MetricAccuracy] {
			if x == b.Items[MetricAccuracy][i] {
				agree++
			}
		}
		if share := float64(agree) / float64(len(b.Items[MetricAccuracy])); share < 0.8 {
			t.Errorf("%s: instances agree on %.2f of the items", scenario, share)
		}
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	_, in := build(t, quickDomain(t), Baseline())
	good := benchmarks.Request{Scenario: LowLoad, Repeats: 1, Fidelity: 0.01}
	for why, change := range map[string]func(*benchmarks.Request){
		"scenario":     func(r *benchmarks.Request) { r.Scenario = "rush-hour" },
		"fidelity 0":   func(r *benchmarks.Request) { r.Fidelity = 0 },
		"fidelity 2":   func(r *benchmarks.Request) { r.Fidelity = 2 },
		"no repeats":   func(r *benchmarks.Request) { r.Repeats = 0 },
		"nothing":      func(r *benchmarks.Request) { r.OnlyDeterministic, r.OnlyMeasured = true, true },
		"level":        func(r *benchmarks.Request) { r.Perturbation = &benchmarks.Perturbation{Kind: "noise", Level: 2} },
		"unknown kind": func(r *benchmarks.Request) { r.Perturbation = &benchmarks.Perturbation{Kind: "fog", Level: 1} },
	} {
		r := good
		change(&r)
		_, err := in.Measure(t.Context(), r)
		if err == nil || errors.Is(err, benchmarks.ErrUnsupported) != (why == "unknown kind") {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestPerturbationsComeOnTopOfTheContext(t *testing.T) {
	_, in := build(t, quickDomain(t), Baseline())
	at := func(p *benchmarks.Perturbation) float64 {
		return measure(t, in, benchmarks.Request{Scenario: LowLoad, Seed: 1, Fidelity: 0.2, Perturbation: p}).Values[MetricAccuracy]
	}
	plain := at(nil)
	if none := at(&benchmarks.Perturbation{Kind: "shift"}); none != plain {
		t.Errorf("level 0 changes the accuracy from %v to %v", plain, none)
	}
	for _, p := range []benchmarks.Perturbation{{Kind: "noise", Level: 0.5}, {Kind: "shift", Level: 4}, {Kind: "occlude", Level: 0.5}} {
		if got := at(&p); got > plain-0.1 {
			t.Errorf("%+v: accuracy %v, undisturbed %v", p, got, plain)
		}
	}
}

func TestTimedAndDeterministicMetricsSeparate(t *testing.T) {
	_, in := build(t, quickDomain(t), Baseline())
	r := benchmarks.Request{Scenario: Noisy, Repeats: 2, Fidelity: 0.01}
	for _, c := range []struct {
		only string
		want []string
	}{
		{"all", []string{MetricAccuracy, MetricBytes, MetricMACs, MetricCPU, MetricP99}},
		{"deterministic", []string{MetricAccuracy, MetricBytes, MetricMACs}},
		{"measured", []string{MetricCPU, MetricP99}},
	} {
		r.OnlyDeterministic, r.OnlyMeasured = c.only == "deterministic", c.only == "measured"
		samples, err := in.Measure(t.Context(), r)
		if err != nil || len(samples) != 2 {
			t.Fatalf("%d samples, %v", len(samples), err)
		}
		for _, s := range samples {
			slices.Sort(c.want)
			if got := slices.Sorted(maps.Keys(s.Values)); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.only, got, c.want)
			}
			for name, v := range s.Values {
				if v <= 0 {
					t.Errorf("%s: %s is %v", c.only, name, v)
				}
			}
		}
	}
}

// What the domain is for exists even after a fifth of the training: cheaper,
// smaller and better adapted variants.
func TestThereIsSomethingToDiscover(t *testing.T) {
	d := quickDomain(t)
	at := func(scenario string, change benchmarks.Point) map[string]float64 {
		_, in := build(t, d, point(change))
		return measure(t, in, benchmarks.Request{Scenario: scenario, Seed: 2, Fidelity: 0.3, Purpose: benchmarks.ForGates}).Values
	}
	base := at(LowLoad, nil)
	early := at(LowLoad, benchmarks.Point{paramExit0: 0.8, paramExit1: 0.8})
	if early[MetricMACs] > 0.8*base[MetricMACs] || early[MetricAccuracy] < base[MetricAccuracy]-0.01 {
		t.Errorf("exits at .80: %v, baseline %v", early, base)
	}
	packed := at(Memory300K, benchmarks.Point{paramPrecision: precisionI4, paramQuantile: 0.999})
	if packed[MetricBytes] > memoryLimitBytes || packed[MetricAccuracy] < base[MetricAccuracy]-0.01 {
		t.Errorf("int4: %v, baseline %v", packed, base)
	}
	for scenario, gain := range map[string]float64{Shifted: 0.15, Noisy: 0.05, Inverted: 0.4} {
		plain, adapted := at(scenario, nil), at(scenario, benchmarks.Point{paramAdapter: scenario})
		if adapted[MetricAccuracy] < plain[MetricAccuracy]+gain {
			t.Errorf("%s: %.3f, with the adapter %.3f", scenario, plain[MetricAccuracy], adapted[MetricAccuracy])
		}
	}
}
