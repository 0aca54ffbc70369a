package gates

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/ledger"
)

// What a chain of promotions is held to.
const (
	alone    = iota // the baseline of the day
	onPaper         // and what the promotions since the anchor have drawn
	measured        // and the anchor, measured beside the candidate
)

// chain promotes one slightly worse candidate after another, as a search does
// that is drawn to what a tolerance allows, and returns how far the last one is
// from the anchor, how many were promoted, and what the anchor's ledger says.
func chain(r *rand.Rand, held int, creep, sd float64, steps int) (truth, drawn float64, promoted int) {
	m := benchmarks.Metric{Name: "p99_ns", Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Kind: benchmarks.Measured, Tolerance: .05}
	p := DefaultPolicy()
	noise := &evalue.Noise{}
	for range steps {
		s := newSeries(m, p.question(m, p.Night(), 20), noise)
		test := TestNotWorse
		if held == onPaper {
			test, s.drawn = TestAnchor, drawn
		}
		if !passes(r, s, test, creep, sd, p.PairsMax) {
			continue
		}
		if held == measured && !passes(r, newSeries(m, p.question(m, p.Night(), 20), noise), TestNotWorse, truth+creep, sd, p.PairsMax) {
			continue
		}
		truth, drawn, promoted = truth+creep, drawn+s.upperLimit(), promoted+1
	}
	return math.Expm1(truth), drawn, promoted
}

// passes measures pairs of the true shift until the test passes; it looks again
// and again, as a night does.
func passes(r *rand.Rand, s *measuredSeries, test string, shift, sd float64, pairsMax int) bool {
	for i := range pairsMax {
		slot := .05 * r.NormFloat64() // shared by the pair
		d := shift + float64(sd*r.NormFloat64())
		s.add(PairRecord{Index: i, A: map[string]float64{"p99_ns": math.Exp(slot)}, B: map[string]float64{"p99_ns": math.Exp(slot + d)}})
		if (i%4 == 0 || i == pairsMax-1) && s.ask(test, 0).outcome == Pass {
			return true
		}
	}
	return false
}

// 100 successive promotions, each inside its own tolerance: without the anchor
// they compound; with it no chain is ever further from the anchor than one
// tolerance. ARQON_CHAINS=1000 is the figure in docs/gates.md.
func TestAnchorStopsTheRatchet(t *testing.T) {
	chains := 3
	if n, err := strconv.Atoi(os.Getenv("ARQON_CHAINS")); err == nil {
		chains = n
	}
	over, promotions, beside, free := 0, 0, 0, 0.0
	for i := range chains {
		r := rand.New(rand.NewPCG(uint64(i), 3))
		creep := []float64{.002, .01, -.002}[i%3]
		truth, drawn, n := chain(r, onPaper, creep, .01, 100)
		promotions += n
		if truth > .05 {
			over++
		}
		if drawn > math.Log1p(.05)+1e-9 || math.Log1p(truth) > drawn {
			t.Errorf("chain %d: %.4f drawn for a truth of %.4f after %d promotions", i, drawn, truth, n)
		}
	}
	for i := range chains {
		creep := []float64{.002, .01, -.002}[i%3]
		truth, _, n := chain(rand.New(rand.NewPCG(uint64(i), 4)), measured, creep, .01, 100)
		beside += n
		if truth > .05 {
			over++
		}
	}
	for i := range min(chains, 3) {
		truth, _, _ := chain(rand.New(rand.NewPCG(uint64(i), 3)), alone, .01, .01, 100)
		free = max(free, truth)
	}
	if over > 0 {
		t.Errorf("%d of %d chains are further from the anchor than one tolerance", over, chains)
	}
	if promotions == 0 || beside <= promotions || free < .5 {
		t.Errorf("%d promotions on paper, %d beside the anchor, %.0f %% worse without one: the simulation shows nothing", promotions, beside, 100*free)
	}
	t.Logf("%d chains of 100: %d over, %.1f promotions a chain on paper, %.1f beside the anchor; without one %.0f %% worse",
		2*chains, over, float64(promotions)/float64(chains), float64(beside)/float64(chains), 100*free)
}

func TestAnchorNights(t *testing.T) {
	d := newToy(.01, 51)
	path := filepath.Join(t.TempDir(), "anchor.ledger")
	fast := benchmarks.Point{"speed": .9}
	var beside *benchmarks.Bundle
	judgeNight := func(run string, base benchmarks.Point, cs ...Candidate) (Night, error) {
		j := d.judge(t, 51)
		b, err := d.Build(t.Context(), base, 1)
		if err != nil {
			t.Fatal(err)
		}
		j.Baseline, j.Run, j.AnchorPath, j.Anchor = b, run, path, beside
		n, _, err := j.Night(t.Context(), cs)
		if err == nil {
			if err := Recompute(n); err != nil {
				t.Errorf("%s: %v", run, err)
			}
			e := evidence{}
			if _, err := Verify(e.encode(t, n), Beside{GatesLedger: j.LedgerPath, AlphaLedger: j.AlphaPath}); err != nil {
				t.Errorf("%s: %v", run, err)
			}
		}
		return n, err
	}
	if _, err := judgeNight("none", nil, d.reference(t, "fast")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an anchor that nobody pinned: %v", err)
	}
	plain := d.judge(t, 51)
	n, _, err := plain.Night(t.Context(), []Candidate{d.reference(t, "fast")})
	if err != nil {
		t.Fatal(err)
	}
	if epoch, err := PinAnchor(path, n); err != nil || epoch != 1 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	n, err = judgeNight("one", nil, d.reference(t, "fast"), d.candidate(t, "fast", fast))
	if err != nil {
		t.Fatal(err)
	}
	first := n.Candidates[1]
	if first.Outcome != Pass || len(drawsOf(first)) != 3 {
		t.Fatalf("%s: %s, draws %v", first.Outcome, first.Why, drawsOf(first))
	}
	// The promoted variant is the next baseline: what it drew is known.
	ref := d.candidate(t, "fast", fast)
	ref.Reference = true
	n, err = judgeNight("two", fast, ref, d.candidate(t, "fast", benchmarks.Point{"speed": .8}))
	if err != nil {
		t.Fatal(err)
	}
	if n.Anchor == nil || len(n.Anchor.Drawn) != 3 || n.Anchor.Baseline == n.Anchor.Identity {
		t.Fatalf("the second night's anchor: %+v", n.Anchor)
	}
	second := n.Candidates[1]
	was, now := drawsOf(first), drawsOf(second)
	if second.Outcome != Pass || len(now) != 3 || now[2].Worse == was[2].Worse || now[2].Worse > math.Log1p(.25) {
		t.Errorf("the second promotion adds its own limit: %s, %v then %v", second.Why, was, now)
	}
	// A baseline from elsewhere has no history.
	stranger := d.candidate(t, "fast", benchmarks.Point{"speed": .7})
	stranger.Reference = true
	n, err = judgeNight("three", benchmarks.Point{"speed": .7}, stranger, d.candidate(t, "fast", benchmarks.Point{"speed": .6}))
	if err != nil {
		t.Fatal(err)
	}
	if c := n.Candidates[1]; c.Outcome != Inconclusive || c.Gate != GateRegression {
		t.Errorf("an unknown baseline: %s at %s: %s", c.Outcome, c.Gate, c.Why)
	}
	// The anchor itself at hand, the stranger's past does not matter: what
	// counts is measured.
	anchor, err := d.Build(t.Context(), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	beside = &anchor
	slow := benchmarks.Point{"speed": .6, "tail": 1.5}
	n, err = judgeNight("four", benchmarks.Point{"speed": .7}, stranger, d.candidate(t, "fast", benchmarks.Point{"speed": .6}), d.candidate(t, "fast", slow))
	if err != nil {
		t.Fatal(err)
	}
	if c := n.Candidates[1]; !n.Anchor.Measured || c.Outcome != Pass || len(c.AnchorPairs) < 8 || len(drawsOf(c)) != 3 {
		t.Errorf("beside the anchor: %s at %s: %s, %d pairs, draws %v", c.Outcome, c.Gate, c.Why, len(c.AnchorPairs), drawsOf(c))
	}
	if c := n.Candidates[2]; c.Outcome == Pass || c.Gate != GateRegression || len(c.AnchorPairs) > 0 {
		t.Errorf("a slow tail: %s at %s, %d pairs beside the anchor", c.Outcome, c.Gate, len(c.AnchorPairs))
	}
	beside = nil
	if epoch, err := PinAnchor(path, n); err != nil || epoch != 2 {
		t.Errorf("epoch %d, %v", epoch, err)
	}
}

func FuzzAnchorRecords(f *testing.F) {
	f.Add([]byte(`{"epoch":1,"run":"a","identity":"sha256:00"}`), uint16(1))
	f.Add([]byte(`{"run":"a","identity":"sha256:00","context":"x","drawn":[{"worse":1e308}]}`), uint16(2))
	f.Fuzz(func(t *testing.T, b []byte, kind uint16) {
		a := &anchorFile{}
		if err := a.visit(ledger.Record{Kind: kind, Payload: b}); err == nil && kind != kindPinned && kind != kindPromoted {
			t.Error("an unknown kind was read")
		}
	})
}
