package telemetry

import (
	"math"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestSketchAgreesWithSortedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(1e-8, 1e10), 1, 300).Draw(t, "xs")
		cut := rapid.IntRange(0, len(xs)).Draw(t, "cut")
		var a, b Sketch
		for _, x := range xs[:cut] {
			a.Add(x)
		}
		for _, x := range xs[cut:] {
			b.Add(x)
		}
		a.Merge(&b)
		sorted := slices.Sorted(slices.Values(xs))
		if a.Count() != uint64(len(xs)) || a.Min() != sorted[0] || a.Max() != sorted[len(sorted)-1] {
			t.Fatalf("count %d min %g max %g", a.Count(), a.Min(), a.Max())
		}
		var sum float64
		for _, x := range xs {
			sum += x
		}
		if mean := sum / float64(len(xs)); math.Abs(a.Mean()-mean) > 1e-9*math.Abs(sorted[len(sorted)-1]) {
			t.Fatalf("mean %g, want %g", a.Mean(), mean)
		}
		for _, q := range []float64{0, .01, .5, .9, .99, 1} {
			rank := min(max(int(math.Ceil(q*float64(len(xs)))), 1), len(xs))
			want := sorted[rank-1]
			if got := a.Quantile(q); math.Abs(got-want) > RelativeErrorMax*want*(1+1e-12) {
				t.Fatalf("q%g = %g, want %g", q, got, want)
			}
		}
		a.Reset()
		if a != (Sketch{}) {
			t.Fatal("a reset sketch is not the zero sketch")
		}
	})
}

func TestSketchRefusesWhatIsNoNumber(t *testing.T) {
	var s Sketch
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s.Add(x)
	}
	if s.Count() != 0 || s.Invalid() != 3 || s.Quantile(.5) != 0 {
		t.Fatalf("count %d invalid %d", s.Count(), s.Invalid())
	}
	for _, x := range []float64{-5, 0, 1e300, 5e-324} {
		s.Add(x)
	}
	if s.Min() != -5 || s.Max() != 1e300 || s.Quantile(0) != -5 || s.Quantile(1) != 1e300 {
		t.Fatalf("extremes are not exact: %g %g", s.Min(), s.Max())
	}
}

func TestSketchVarianceIsStableFarFromZero(t *testing.T) {
	var s Sketch
	for i := range 1000 {
		s.Add(1e9 + float64(i%2))
	}
	if got := s.Variance(); math.Abs(got-.25025025) > 1e-6 {
		t.Fatalf("variance %g", got)
	}
}

func TestAverageFoldsLikeSingleSteps(t *testing.T) {
	one, many := Average{Alpha: .1}, Average{Alpha: .1}
	one.AddMean(3, 1)
	many.AddMean(3, 1)
	for range 7 {
		one.AddMean(5, 1)
	}
	many.AddMean(5, 7)
	many.AddMean(math.NaN(), 9)
	if math.Abs(one.Value()-many.Value()) > 1e-12 || many.Count() != 8 {
		t.Fatalf("%g against %g", one.Value(), many.Value())
	}
}

func TestRingKeepsOrderAndCountsDrops(t *testing.T) {
	r := NewRing[int](4)
	for i := range 6 {
		if ok := r.Push(&i); ok != (i < 4) {
			t.Fatalf("push %d: %v", i, ok)
		}
	}
	dst := make([]int, 3)
	if n := r.Drain(dst); n != 3 || !slices.Equal(dst, []int{0, 1, 2}) {
		t.Fatalf("drained %d %v", n, dst)
	}
	if n := r.Drain(dst); n != 1 || dst[0] != 3 || r.Drops() != 2 {
		t.Fatalf("drained %d, drops %d", n, r.Drops())
	}
}

func TestRingUnderConcurrency(t *testing.T) {
	r := NewRing[uint64](64)
	const total = 20_000
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		for i := uint64(1); i <= total; i++ {
			r.Push(&i)
		}
		done.Store(true)
	})
	var got, last uint64
	dst := make([]uint64, 32)
	for {
		finished := done.Load()
		n := r.Drain(dst)
		for _, v := range dst[:n] {
			if v <= last {
				t.Fatalf("%d after %d", v, last)
			}
			last = v
			got++
		}
		if finished && n == 0 {
			break
		}
	}
	wg.Wait()
	if got+r.Drops() != total {
		t.Fatalf("%d received + %d dropped of %d", got, r.Drops(), total)
	}
}

// Every value recorded by a running writer is merged exactly once, whatever
// collects and layout changes happen meanwhile.
func TestBoardLosesNothingWhileWritersRun(t *testing.T) {
	layouts := []*Layout{
		NewLayout([][]uint32{{1, 2}, {1}}, 2),
		NewLayout([][]uint32{{2, 1, 3}, {1, 3}}, 2),
	}
	b := NewBoard(2, layouts[0])
	const total = 20_000
	var running atomic.Int32
	var wg sync.WaitGroup
	for i := range 2 {
		running.Add(1)
		wg.Go(func() {
			defer running.Add(-1)
			s := b.Shard(i)
			for k := range total {
				s.Record(1, k%2, k/2%2, 1)
			}
			s.Flush()
		})
	}
	var sum float64
	take := func() {
		b.Take(1, func(_ uint32, _, _ int, s *Sketch) { sum += s.Mean() * float64(s.Count()) })
	}
	for k := 0; running.Load() > 0; k++ {
		b.Collect()
		if k%7 == 0 {
			b.Relayout(layouts[k/7%2])
		}
		take()
	}
	wg.Wait()
	for i := range 2 { // the owners are gone: flush what a missing spare kept
		b.Collect()
		b.Shard(i).Flush()
	}
	b.Collect()
	take()
	if math.Round(sum) != 2*total || b.TakeMissed() != 0 {
		t.Fatalf("%g of %d merged", sum, 2*total)
	}
}

func TestBoardKeepsThinCellsAndCountsMissing(t *testing.T) {
	b := NewBoard(1, NewLayout([][]uint32{{7}}, 1))
	s := b.Shard(0)
	seen := uint64(0)
	round := func() {
		for range 3 {
			s.Record(7, 0, 0, 2)
		}
		s.Record(8, 0, 0, 2) // no such arm
		s.Record(7, 4, 0, 2) // no such class
		s.Record(7, 0, 3, 2) // no such metric
		s.Flush()
		b.Collect()
		b.Take(5, func(_ uint32, _, _ int, s *Sketch) { seen = s.Count() })
	}
	round()
	if seen != 0 {
		t.Fatal("three values were judged although five were asked for")
	}
	round()
	if seen != 6 || b.TakeMissed() != 6 || b.TakeMissed() != 0 {
		t.Fatalf("seen %d", seen)
	}
	b.Relayout(NewLayout([][]uint32{{8, 7}}, 1))
	s.Record(8, 0, 0, 1)
	s.Flush()
	b.Collect()
	if b.TakeMissed() != 0 {
		t.Fatal("a record after a new layout was missed")
	}
}

// Arms that come and go take over the sketches of those that left, and none of
// what was in them.
func TestALayoutTakesOverWhatTheLastOneLeft(t *testing.T) {
	layouts := [2]*Layout{NewLayout([][]uint32{{1, 2}}, 3), NewLayout([][]uint32{{1, 3}}, 3)}
	b := NewBoard(2, layouts[0])
	round := func(k int) {
		for range 2 {
			for i := range 2 {
				for m := range 3 {
					b.Shard(i).Record(uint32(2+k%2), 0, m, float64(k)) // the first after a Collect hands over
				}
			}
			b.Collect()
		}
		b.Relayout(layouts[(k+1)%2]) // the arm that was recorded leaves with the next
		b.Take(1, func(arm uint32, _, m int, s *Sketch) {
			t.Errorf("round %d: arm %d, metric %d begins with %d values", k, arm, m, s.Count())
		})
	}
	for k := range 20 {
		round(k)
	}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	const rounds = 200
	for k := range rounds {
		round(k)
	}
	goruntime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > uint64(unsafe.Sizeof(Sketch{})) {
		t.Errorf("a change of layout allocates %d bytes", each)
	}
}

func TestWritePathDoesNotAllocate(t *testing.T) {
	b := NewBoard(1, NewLayout([][]uint32{{1, 2}}, 1))
	s, r := b.Shard(0), NewRing[[4]uint64](8)
	ev := [4]uint64{1}
	if n := testing.AllocsPerRun(1000, func() { s.Record(2, 0, 0, 1.5); s.Record(9, 0, 0, 1); r.Push(&ev) }); n != 0 {
		t.Fatalf("%g allocations", n)
	}
}

func BenchmarkSketchAdd(b *testing.B) {
	var s Sketch
	x := 100.0
	for b.Loop() {
		s.Add(x)
		x += .25
		if x > 1e6 {
			x = 100
		}
	}
}

func BenchmarkShardRecord(b *testing.B) {
	s := NewBoard(1, NewLayout([][]uint32{{1, 2}, {3, 1}}, 4)).Shard(0)
	for b.Loop() {
		s.Record(1, 1, 2, 120)
	}
}

func TestAtMostIsACumulativeCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Sketch
		xs := rapid.SliceOfN(rapid.Float64Range(1e-6, 1e6), 1, 200).Draw(t, "values")
		for _, x := range xs {
			s.Add(x)
		}
		bound := rapid.Float64Range(1e-6, 1e6).Draw(t, "bound")
		got, sure, most := s.AtMost(bound), uint64(0), uint64(0)
		for _, x := range xs {
			if x <= bound*(1-2*RelativeErrorMax) {
				sure++
			}
			if x <= bound {
				most++
			}
		}
		if got < sure || got > most {
			t.Fatalf("%d values at most %v, want %d to %d", got, bound, sure, most)
		}
		if s.AtMost(math.Inf(1)) != s.Count() || s.AtMost(0) != 0 {
			t.Fatal("the ends do not count everything and nothing")
		}
	})
}
