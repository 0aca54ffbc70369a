package factory

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func recommended(t testing.TB, d *toy, st Study, journal string) (Recommendations, error) {
	t.Helper()
	cfg := discovery(t, d, st, journal)
	return Recommend(t.Context(), cfg)
}

// answer is a Recommend that must work, as bytes.
func answered(t testing.TB, d *toy, st Study, journal string) string {
	t.Helper()
	r, err := recommended(t, d, st, journal)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodeRecommendations(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecommendCountsEverySample(t *testing.T) {
	for _, measured := range []bool{false, true} {
		d := &toy{measured: measured}
		st := toyStudy(t)
		r, err := recommended(t, d, st, filepath.Join(t.TempDir(), "j"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Evaluations > 240 || r.Evaluations < 200 || int64(r.Measurements) > d.measures.Load() {
			t.Errorf("%d evaluations, %d answered, %d measured", r.Evaluations, r.Measurements, d.measures.Load())
		}
		for _, c := range r.Contexts {
			sum := 0
			for _, n := range c.Spent {
				sum += n
			}
			if sum != c.Evaluations || c.Evaluations > 60 {
				t.Errorf("%s: %v of %d", c.Context, c.Spent, c.Evaluations)
			}
			if !c.Feasible || c.Interval[0] > c.Claimed || c.Claimed > c.Interval[1] {
				t.Errorf("%+v", c)
			}
		}
	}
}

func TestRecommendDoesNotDependOnWorkersOrKills(t *testing.T) {
	dir := t.TempDir()
	one := answered(t, &toy{}, toyStudy(t, "workers: 2", "workers: 1"), filepath.Join(dir, "1"))
	whole, err := os.ReadFile(filepath.Join(dir, "1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"2", "8"} {
		if got := answered(t, &toy{}, toyStudy(t, "workers: 2", "workers: "+w), filepath.Join(dir, w)); got != one {
			t.Errorf("%s workers answer %s, one answers %s", w, got, one)
		}
		if b, err := os.ReadFile(filepath.Join(dir, w)); err != nil || string(b) != string(whole) {
			t.Errorf("%s workers write another journal (%v)", w, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 { // a kill anywhere
		cut := 200 + r.IntN(len(whole)-200)
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		d := &toy{}
		if got := answered(t, d, toyStudy(t), path); got != one {
			t.Fatalf("cut at %d: %s, want %s", cut, got, one)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != string(whole) {
			t.Errorf("cut at %d: another journal (%v)", cut, err)
		}
	}
}

func TestRecommendRefusesForeignJournals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	answered(t, &toy{}, toyStudy(t), path)
	if _, err := recommended(t, &toy{}, toyStudy(t, "evaluations: 240", "evaluations: 241"), path); !errors.Is(err, ErrForeignJournal) {
		t.Error(err)
	}
	cfg := discovery(t, &toy{}, toyStudy(t), path)
	if _, err := Discover(t.Context(), cfg); !errors.Is(err, ErrForeignJournal) {
		t.Error(err)
	}
}

func TestRecommendSaysWhatItCannotDo(t *testing.T) {
	d := &toy{}
	d.broken.Store(true)
	if _, err := recommended(t, d, toyStudy(t), filepath.Join(t.TempDir(), "j")); !errors.Is(err, ErrDomain) {
		t.Error(err)
	}
	if _, err := recommended(t, &toy{}, toyStudy(t, "evaluations: 240", "evaluations: 31"), filepath.Join(t.TempDir(), "j")); !errors.Is(err, ErrStudy) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Recommend(ctx, discovery(t, &toy{}, toyStudy(t), filepath.Join(t.TempDir(), "j"))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The smallest budget that is taken.
	if r, err := recommended(t, &toy{measured: true}, toyStudy(t, "evaluations: 240", "evaluations: 32"), filepath.Join(t.TempDir(), "j")); err != nil || r.Evaluations > 32 {
		t.Error(r, err)
	}
}

func TestTimeEndsTheSearchNotTheClaim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	st := toyStudy(t, "evaluations: 240", "evaluations: 4000, time: 1s")
	cfg := discovery(t, &toy{measured: true}, st, path)
	cfg.Elapsed = ticking(1e8)
	r, err := Recommend(t.Context(), cfg)
	if err != nil || r.Stop != "time is spent" || r.Evaluations > 3500 || r.Contexts[0].Spent["claim"] == 0 {
		t.Fatal(r, err)
	}
	cfg.Elapsed, cfg.Domain = nil, &toy{}
	again, err := Recommend(t.Context(), cfg)
	if err != nil || again.JournalHead != r.JournalHead || cfg.Domain.(*toy).measures.Load() != 0 {
		t.Error(again, err)
	}
}

func TestEstimateIgnoresSpikes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	covered, off := 0, 0.
	const runs = 400
	for range runs {
		var x []float64
		for range 30 {
			v := 3 * math.Exp(.05*r.NormFloat64())
			if r.Float64() < .05 {
				v *= 1.5 + r.Float64()
			}
			x = append(x, v)
		}
		e := estimateOf(x)
		if iv := e.interval(); iv[0] <= 3 && 3 <= iv[1] {
			covered++
		}
		off += e.value()/3 - 1
	}
	if covered < runs*90/100 || math.Abs(off/runs) > .005 {
		t.Errorf("95 %% intervals hold the value %d of %d times, bias %.4f", covered, runs, off/runs)
	}
	if e := estimateOf([]float64{-1, 2, 3}); e.log || math.Abs(e.value()-4./3) > 1e-12 {
		t.Errorf("%+v", e)
	}
	if e := estimateOf(nil); e.n != 0 || e.value() != 0 {
		t.Errorf("%+v", e)
	}
}
