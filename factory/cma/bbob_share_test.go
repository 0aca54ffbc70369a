package cma

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

var bbobDims = []int{5, 10, 20}

var bbobTargets = []float64{10, 1, .1, 1e-3, 1e-5, 1e-8}

var bbobGroups = []struct {
	name     string
	from, to int
}{{"separable", 1, 5}, {"moderate", 6, 9}, {"ill-conditioned", 10, 14}, {"multimodal", 15, 19}, {"weak structure", 20, 24}}

// The definitions are right at the optimum: 0 there, more beside it.
func TestBBOBOptima(t *testing.T) {
	for id := 1; id <= 24; id++ {
		for _, n := range []int{2, 5, 20} {
			b := newBBOB(id, n, 1)
			x := append([]float64(nil), b.xopt...)
			switch id {
			case 9, 19: // R·x = ½/k
				k := math.Max(1, math.Sqrt(float64(n))/8)
				for i := range x {
					x[i] = 0
					for j := range n {
						x[i] += b.r[j][i] * .5 / k
					}
				}
			}
			if v := b.eval(x); !(v < 1e-8 && v >= -1e-9) {
				t.Errorf("f%d in %d dimensions: %g at the optimum", id, n, v)
			}
			for i := range x {
				x[i] -= .3 * math.Copysign(1, x[i])
			}
			if v := b.eval(x); !(v > 1e-6) {
				t.Errorf("f%d in %d dimensions: %g beside the optimum", id, n, v)
			}
		}
	}
}

// solve returns how many targets a run meets.
func solve(t testing.TB, id, n int, instance uint64, budget, scouts int) int {
	b := newBBOB(id, n, instance)
	lo, hi := make([]float64, n), make([]float64, n)
	for i := range n {
		lo[i], hi[i] = -4, 4
	}
	o, err := New(Config{Dim: n, Lower: lo, Upper: hi, Unbounded: true, Sigma: .25, Seed: instance, Budget: budget, Scouts: scouts})
	if err != nil {
		t.Error(err)
		return 0
	}
	x := make([]float64, n)
	met := 0
	for o.Ask(x) {
		v := b.eval(x)
		for met < len(bbobTargets) && v <= bbobTargets[met] {
			met++
		}
		if met == len(bbobTargets) {
			break
		}
		o.Tell(v)
	}
	return met
}

// The share of (function, target) pairs solved, of docs/search.md's table.
// Minutes of CPU, so only on demand: the budget per dimension, the instances,
// and the functions if not all; ARQON_BBOB_SCOUTS=-1 begins small runs anywhere.
//
//	ARQON_BBOB=2000 ARQON_BBOB_INSTANCES=1-9 [ARQON_BBOB_FUNCTIONS=15-24] go test ./factory/cma -run BBOBShare -v
func TestBBOBShare(t *testing.T) {
	env := os.Getenv("ARQON_BBOB")
	if env == "" {
		t.Skip("set ARQON_BBOB=2000 to measure")
	}
	budget, err := strconv.Atoi(env)
	if err != nil {
		t.Fatal(err)
	}
	from, to := span(t, "ARQON_BBOB_INSTANCES", 1, 3)
	first, last := span(t, "ARQON_BBOB_FUNCTIONS", 1, 24)
	scouts := 0
	if env := os.Getenv("ARQON_BBOB_SCOUTS"); env != "" {
		if scouts, err = strconv.Atoi(env); err != nil {
			t.Fatal(err)
		}
	}
	var met [25][3]int
	for id := first; id <= last; id++ {
		for d, n := range bbobDims {
			for i := from; i <= to; i++ {
				met[id][d] += solve(t, id, n, uint64(i), budget*n, scouts)
			}
		}
	}
	each := float64(len(bbobTargets) * (to - from + 1))
	total := 0
	for _, g := range bbobGroups {
		var line strings.Builder
		sum := 0
		count := 0.
		for id := max(first, g.from); id <= min(last, g.to); id++ {
			fmt.Fprintf(&line, "  f%d", id)
			for d := range bbobDims {
				fmt.Fprintf(&line, " %.2f", float64(met[id][d])/each)
				sum += met[id][d]
				count += each
			}
		}
		total += sum
		if count > 0 {
			t.Logf("%-15s %.3f %s", g.name, float64(sum)/count, line.String())
		}
	}
	t.Logf("all %.3f (by function: D %v)", float64(total)/(each*float64(len(bbobDims)*(last-first+1))), bbobDims)
}

// span reads "3" or "3-9" from the environment.
func span(t *testing.T, name string, from, to int) (int, int) {
	env := os.Getenv(name)
	if env == "" {
		return from, to
	}
	lo, hi, isRange := strings.Cut(env, "-")
	from, err := strconv.Atoi(lo)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	to = from
	if isRange {
		if to, err = strconv.Atoi(hi); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return from, to
}
