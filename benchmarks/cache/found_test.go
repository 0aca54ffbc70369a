package cache

import (
	"cmp"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// foundPrograms are what the GA made of the starts, by context: arqon discover
// with the study in docs/cache.md, seed 7, before the third became a start
// itself.
var foundPrograms = []struct {
	context       string
	sample, admit uint16
	program       program
}{
	{"recency-scan-2k", 15, 1, program{
		{op: opMax, a: ofRecency, b: ofOne}, {op: opMul, a: featureCount, b: ofMissed}, {op: opDiv, a: ofOften, b: featureCount + 1},
	}},
	{"recency-scan-8k", 16, 0, program{
		{op: opAdd, a: ofRecency, b: ofSize}, {op: opLog, a: ofMissed}, {op: opSub, a: ofOften, b: featureCount + 1},
	}},
	{"scan-8k", 25, 1, program{{op: opSub, a: ofCount, b: ofMissed}}},
}

// TestFoundPrograms prints what docs/cache.md says about programs and families:
// the best setting of each family is chosen on the three traces that the search
// saw, and it and the program are played on eight that nobody chose on.
//
//	ARQON_CACHE_FIGURES=1 go test ./benchmarks/cache -run TestFoundPrograms -v
func TestFoundPrograms(t *testing.T) {
	if os.Getenv("ARQON_CACHE_FIGURES") == "" {
		t.Skip("ARQON_CACHE_FIGURES=1 measures")
	}
	const settings, fresh, firstSeed = 60, 8, 20_270_401
	d := newDomain(t)
	for _, f := range foundPrograms {
		w, err := d.workload(f.context)
		if err != nil {
			t.Fatal(err)
		}
		play := func(s *Strategy, root uint64, p benchmarks.Purpose, which int) float64 {
			tr, err := d.Trace(benchmarks.Request{Scenario: f.context, Seed: root, Fidelity: 1, Purpose: p}, which)
			if err != nil {
				t.Fatal(err)
			}
			return s.Play(tr, w.Capacity, nil).Hit
		}
		unseen := func(s *Strategy) (out []float64) {
			for i := range uint64(fresh) {
				out = append(out, play(s, firstSeed+i, benchmarks.ForGates, 0))
			}
			return out
		}
		program := &Strategy{kind: kindOf(t, scoreName), parts: []uint16{f.sample, f.admit}, program: f.program}
		if err := program.check(); err != nil {
			t.Fatal(err)
		}
		own := unseen(program)
		t.Logf("%s: %.4f %s", f.context, meanOf(own), program)
		var rows []familyRow
		for _, family := range Families() {
			chosen := bestOf(family, settings, func(s *Strategy) float64 {
				sum := 0.0
				for k := range 3 {
					sum += play(s, 7, benchmarks.ForSearch, k)
				}
				return sum
			})
			r := familyRow{strategy: chosen, hits: unseen(chosen)}
			for i := range own {
				if own[i] > r.hits[i] {
					r.behind++
				}
			}
			rows = append(rows, r)
		}
		slices.SortFunc(rows, func(a, b familyRow) int { return cmp.Compare(meanOf(b.hits), meanOf(a.hits)) })
		for _, r := range rows {
			t.Logf("  %.4f, behind in %d of %d: %s", meanOf(r.hits), r.behind, fresh, r.strategy)
		}
	}
}

type familyRow struct {
	strategy *Strategy
	hits     []float64
	behind   int // traces on which the program hits more
}

func kindOf(t *testing.T, name string) int {
	t.Helper()
	return slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v / float64(len(x))
	}
	return sum
}

// bestOf is the best of a family's usual setting and n drawn ones.
func bestOf(family *Strategy, n int, score func(*Strategy) float64) *Strategy {
	r := seed.Stream(1, "cache/families/"+family.Kind())
	best, high := family, score(family)
	for range n {
		s := &Strategy{kind: family.kind}
		for _, p := range kinds[family.kind].parts {
			v := float64(p.min) + r.Float64()*float64(p.max-p.min)
			if p.log {
				lo := math.Log(math.Max(1, float64(p.min)))
				v = math.Exp(lo + r.Float64()*(math.Log(float64(p.max))-lo))
			}
			s.parts = append(s.parts, uint16(math.Round(v)))
		}
		if len(s.parts) == 0 {
			break // there is nothing to set
		}
		if x := score(s); x > high {
			best, high = s, x
		}
	}
	return best
}
