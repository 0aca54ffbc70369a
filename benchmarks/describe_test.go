package benchmarks

import (
	"math"
	"strings"
	"testing"
)

func gzipDescription() Description {
	return Description{
		Name: "gzip", Version: "1", Space: gzipSpace(), Baseline: gzipSpace().Default(),
		Metrics: []Metric{
			{Name: "ns", Direction: Lower, Kind: Measured, Role: Success},
			{Name: "ratio", Direction: Higher, Kind: Deterministic, Role: GuardRole, Range: &[2]float64{0, 10}},
		},
		Scenarios: []Scenario{{Name: "small"}, {Name: "large", Success: "ratio", Tolerances: map[string]float64{"ns": .1}}},
	}
}

func TestADescriptionIsCheckedByField(t *testing.T) {
	if err := gzipDescription().Check(); err != nil {
		t.Fatal(err)
	}
	inf := math.Inf(1)
	for want, spoil := range map[string]func(*Description){
		"name":                 func(d *Description) { d.Name = "a b" },
		"version":              func(d *Description) { d.Version = "" },
		"space: parameters":    func(d *Description) { d.Space = Space{} },
		"metrics: 0":           func(d *Description) { d.Metrics = nil },
		"metrics[1].name":      func(d *Description) { d.Metrics[1].Name = "ns" },
		"direction":            func(d *Description) { d.Metrics[0].Direction = "up" },
		"kind":                 func(d *Description) { d.Metrics[0].Kind = "" },
		"role":                 func(d *Description) { d.Metrics[0].Role = "" },
		"compare":              func(d *Description) { d.Metrics[0].Compare = "log" },
		"tolerance: -1":        func(d *Description) { d.Metrics[0].Tolerance = -1 },
		"limit":                func(d *Description) { d.Metrics[0].Limit = &inf },
		"range":                func(d *Description) { d.Metrics[1].Range = &[2]float64{1, 1} },
		"scenarios: 0":         func(d *Description) { d.Scenarios = nil },
		"scenarios[1].name":    func(d *Description) { d.Scenarios[1].Name = "small" },
		"2 metrics have":       func(d *Description) { d.Metrics[1].Role = Success },
		"0 metrics have":       func(d *Description) { d.Metrics[0].Role = GuardRole },
		`unknown metric "wat"`: func(d *Description) { d.Scenarios[0].Success = "wat" },
		`tolerances: unknown`:  func(d *Description) { d.Scenarios[0].Tolerances = map[string]float64{"x": 1} },
		"tolerances.ns":        func(d *Description) { d.Scenarios[0].Tolerances = map[string]float64{"ns": math.NaN()} },
		"limits: unknown":      func(d *Description) { d.Scenarios[0].Limits = map[string]float64{"x": 1} },
		"limits.ns":            func(d *Description) { d.Scenarios[0].Limits = map[string]float64{"ns": inf} },
		"features.bytes":       func(d *Description) { d.Scenarios[0].Features = map[string]float64{"bytes": inf} },
		"baseline":             func(d *Description) { d.Baseline = Point{"level": 99} },
		"starts[1]":            func(d *Description) { d.Starts = []Point{{}, {"level": 99}} },
		"starts: 33":           func(d *Description) { d.Starts = make([]Point, 33) },
	} {
		d := gzipDescription()
		spoil(&d)
		if err := d.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestWorseIsPositiveWhateverTheDirection(t *testing.T) {
	for _, tc := range []struct {
		m          Metric
		a, b, want float64
	}{
		{Metric{Direction: Lower}, 10, 12, .2},
		{Metric{Direction: Higher}, 10, 12, -.2},
		{Metric{Direction: Higher, Compare: Difference}, .85, .80, .05},
		{Metric{Direction: Lower}, 0, 0, 0},
	} {
		if got := tc.m.Worse(tc.a, tc.b); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%v: Worse(%v, %v) = %v, want %v", tc.m, tc.a, tc.b, got, tc.want)
		}
	}
}
