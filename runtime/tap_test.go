package runtime_test

import (
	"context"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/telemetry"
)

func TestATapSeesWhatTheWindowSees(t *testing.T) {
	seen := map[[3]uint64]uint64{}
	cfg := runtime.Config{
		Stage: stage, Metrics: []runtime.Metric{{Name: "cost"}},
		Tap: func(c runtime.Class, v catalog.VariantID, m runtime.MetricID, s *telemetry.Sketch) {
			seen[[3]uint64{uint64(c), uint64(v), uint64(m)}] += s.Count()
		},
	}
	rt, err := runtime.Open(context.Background(), cfg, newRepository().release(2))
	if err != nil {
		t.Fatal(err)
	}
	rec := rt.Recorder(0)
	for range 25 {
		rec.Record(1, 0, 0, 3)
	}
	rec.Flush()
	for _, c := range rt.Collect(1).Cells {
		if got := seen[[3]uint64{uint64(c.Class), uint64(c.Variant), uint64(c.Metric)}]; got != c.Count || got != 25 {
			t.Errorf("the tap saw %d values, the window %d", got, c.Count)
		}
	}
	if len(seen) != 1 {
		t.Errorf("the tap saw %v", seen)
	}
}
