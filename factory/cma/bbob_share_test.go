package cma

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

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
func solve(t testing.TB, id, n int, instance uint64, budget int) int {
	b := newBBOB(id, n, instance)
	lo, hi := make([]float64, n), make([]float64, n)
	for i := range n {
		lo[i], hi[i] = -4, 4
	}
	o, err := New(Config{Dim: n, Lower: lo, Upper: hi, Unbounded: true, Sigma: .25, Seed: instance, Budget: budget})
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

// The share of (function, target) pairs solved, of search.md's table. Minutes
// of CPU, so only on demand:
//
//	ARQON_BBOB=2000 go test ./factory/cma -run BBOBShare -v      (budget per dimension)
//	ARQON_BBOB=2000,15 …                                         (and instances; 3 when absent)
func TestBBOBShare(t *testing.T) {
	env := os.Getenv("ARQON_BBOB")
	if env == "" {
		t.Skip("set ARQON_BBOB=2000 to measure")
	}
	per, rest, _ := strings.Cut(env, ",")
	budget, err := strconv.Atoi(per)
	if err != nil {
		t.Fatal(err)
	}
	instances := 3
	if rest != "" {
		if instances, err = strconv.Atoi(rest); err != nil {
			t.Fatal(err)
		}
	}
	type job struct{ id, n, instance int }
	var met [25]int
	var mu sync.Mutex
	jobs := make(chan job)
	var wg sync.WaitGroup
	dims := []int{5, 10, 20}
	for range 2 {
		wg.Go(func() {
			for j := range jobs {
				m := solve(t, j.id, j.n, uint64(j.instance), budget*j.n)
				mu.Lock()
				met[j.id] += m
				mu.Unlock()
			}
		})
	}
	for id := 1; id <= 24; id++ {
		for _, n := range dims {
			for i := range instances {
				jobs <- job{id, n, i + 1}
			}
		}
	}
	close(jobs)
	wg.Wait()
	each := float64(len(bbobTargets) * len(dims) * instances)
	total := 0
	var line strings.Builder
	for id := 1; id <= 24; id++ {
		fmt.Fprintf(&line, " f%d %.2f", id, float64(met[id])/each)
		total += met[id]
	}
	t.Log(line.String())
	t.Logf("share of (function, target) pairs at %d·D: %.3f", budget, float64(total)/(24*each))
	for _, g := range bbobGroups {
		sum := 0
		for id := g.from; id <= g.to; id++ {
			sum += met[id]
		}
		t.Logf("  %-16s %.3f", g.name, float64(sum)/(each*float64(g.to-g.from+1)))
	}
}
