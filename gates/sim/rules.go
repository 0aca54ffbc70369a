package sim

import (
	"fmt"
	"math"
	"sort"

	"golang.org/x/perf/benchmath"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Measure measures a candidate: the arms in order, true is the candidate,
// false the baseline. The samples come back in the same order.
type Measure func(id int, arms []bool) ([]float64, error)

// Outcome is what a rule said about one candidate.
type Outcome struct {
	ID int
	evalue.Decision
	samples int             // that it took
	decider *evalue.Decider // of our own rule, for the interval
}

// rule decides one night.
type rule interface {
	night(n int, q evalue.Question, ids []int, measure Measure, say func(Outcome) error) error
}

// Rules are the names of the decision rules.
var Rules = []string{"ours", "ebh", "elond", "naive", "benchstat", "fixed"}

// Judge is the rule of the gates, on a night of candidates: pair after pair in
// the order of seeded coins until each one is decided. What the noise looks
// like is learned from the candidates already decided.
type Judge struct {
	Seed seed.Root
	// Nights that were judged before this one, so that two nights with one
	// number have different coins.
	Nights int
}

// Night decides every id and says so, in the order of the ids. It counts as
// one more of Nights.
func (j *Judge) Night(n int, q evalue.Question, ids []int, measure Measure, say func(Outcome) error) error {
	if err := q.Check(); err != nil {
		return err
	}
	root := seed.Root(seed.Derive(j.Seed, "gate/night", uint64(n), uint64(j.Nights)))
	j.Nights++
	noise := &evalue.Noise{}
	for at, id := range ids {
		d := evalue.NewDecider(q, noise)
		pair, samples := 0, 0
		for n := d.Next(); n > 0; n = d.Next() {
			n = min(n, pairsAtOnce)
			arms, first := order(root, at, pair, n)
			values, err := measure(id, arms)
			if err != nil {
				return err
			}
			samples += len(values)
			if len(values) != len(arms) {
				d.Refuse(fmt.Sprintf("%d samples for %d arms: the metric vanished", len(values), len(arms)))
				break
			}
			for i := range n {
				a, b := values[2*i], values[2*i+1]
				if first[i] {
					a, b = b, a
				}
				d.Add(a, b)
			}
			pair += n
		}
		if err := say(Outcome{ID: id, Decision: d.Decide(), samples: samples, decider: d}); err != nil {
			return err
		}
		noise.Add(d.Pairs().Differences())
	}
	return nil
}

func (j *Judge) night(n int, q evalue.Question, ids []int, measure Measure, say func(Outcome) error) error {
	return j.Night(n, q, ids, measure, say)
}

// selecting measures as ours does and promotes what pick selects from the
// e-values at the stop, over a night or one candidate after another.
type selecting struct {
	judge *Judge
	pick  func(logE []float64, alpha float64) []int
}

func (s selecting) night(n int, q evalue.Question, ids []int, measure Measure, say func(Outcome) error) error {
	var outs []Outcome
	var logE []float64
	err := s.judge.Night(n, q, ids, measure, func(o Outcome) error {
		o.Promote = false
		outs, logE = append(outs, o), append(logE, o.LogE)
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range s.pick(logE, q.Alpha) {
		outs[i].Promote = true
	}
	for _, o := range outs {
		if err := say(o); err != nil {
			return err
		}
	}
	return nil
}

// pairsAtOnce bounds one request.
const pairsAtOnce = 512

// order draws the coins of n pairs from pair on: arms in measuring order, and
// for each pair whether the candidate comes first.
func order(root seed.Root, at, pair, n int) (arms, candidateFirst []bool) {
	arms = make([]bool, 0, 2*n)
	candidateFirst = make([]bool, n)
	for i := range n {
		c := seed.Coin(root, "gate/pair", uint64(at), uint64(pair+i))
		candidateFirst[i] = c
		arms = append(arms, c, !c)
	}
	return arms, candidateFirst
}

// fixedSize is a rule that takes n pairs of every candidate and then decides.
type fixedSize struct {
	seed   seed.Root
	pairs  int
	better func(a, b []float64) bool
}

func (f fixedSize) night(n int, _ evalue.Question, ids []int, measure Measure, say func(Outcome) error) error {
	root := seed.Root(seed.Derive(f.seed, "sim/night/fixed", uint64(n)))
	for at, id := range ids {
		arms, first := order(root, at, 0, f.pairs)
		v, err := measure(id, arms)
		if err != nil {
			return err
		}
		a, b := make([]float64, f.pairs), make([]float64, f.pairs)
		for i := range f.pairs {
			a[i], b[i] = v[2*i], v[2*i+1]
			if first[i] {
				a[i], b[i] = b[i], a[i]
			}
		}
		out := Outcome{ID: id, samples: len(v)}
		out.Pairs, out.Promote, out.Estimate = f.pairs, f.better(a, b), mean(b)/mean(a)-1
		if err := say(out); err != nil {
			return err
		}
	}
	return nil
}

// naive compares the means of ten runs each.
func naive(root seed.Root, q evalue.Question) rule {
	limit := 1.0
	if q.Goal == evalue.NotWorse {
		limit += q.Tolerance
	}
	return fixedSize{seed: root, pairs: 10, better: func(a, b []float64) bool { return mean(b) < limit*mean(a) }}
}

// benchstat is its default rule on ten runs each: the Mann–Whitney U test at
// .05; better is a significant decrease, not worse is no significant increase
// beyond the tolerance.
func benchstat(root seed.Root, q evalue.Question) rule {
	return fixedSize{seed: root, pairs: 10, better: func(a, b []float64) bool {
		sa, sb := benchmath.NewSample(a, &benchmath.DefaultThresholds), benchmath.NewSample(b, &benchmath.DefaultThresholds)
		ca, cb := benchmath.AssumeNothing.Summary(sa, .95).Center, benchmath.AssumeNothing.Summary(sb, .95).Center
		c := benchmath.AssumeNothing.Compare(sa, sb)
		significant := c.P <= c.Alpha
		if q.Goal == evalue.NotWorse {
			return !(significant && cb > ca*(1+q.Tolerance))
		}
		return significant && cb < ca
	}}
}

// signedRank is the exact one-sided Wilcoxon signed-rank test on n paired log
// ratios at alpha/K.
func signedRank(root seed.Root, q evalue.Question, pairs int) rule {
	theta := 0.0
	if q.Goal == evalue.NotWorse {
		theta = math.Log1p(q.Tolerance)
	}
	need := rankBar(pairs, q.Alpha/float64(q.Candidates))
	return fixedSize{seed: root, pairs: pairs, better: func(a, b []float64) bool {
		d := make([]float64, len(a))
		for i := range a {
			d[i] = theta - (math.Log(b[i]) - math.Log(a[i]))
		}
		return rankSum(d) >= need
	}}
}

// rankSum is the sum of the ranks of |d| over the positive d.
func rankSum(d []float64) int {
	at := make([]int, len(d))
	for i := range at {
		at[i] = i
	}
	sort.Slice(at, func(i, j int) bool { return math.Abs(d[at[i]]) < math.Abs(d[at[j]]) })
	w := 0
	for rank, i := range at {
		if d[i] > 0 {
			w += rank + 1
		}
	}
	return w
}

// rankBar is the smallest rank sum with tail probability ≤ alpha under
// symmetry; one more than the largest possible sum if there is none.
func rankBar(n int, alpha float64) int {
	top := n * (n + 1) / 2
	p := make([]float64, top+1)
	p[0] = 1
	sum := 0
	for k := 1; k <= n; k++ {
		for s := sum; s >= 0; s-- {
			p[s+k] += p[s] / 2
			p[s] /= 2
		}
		sum += k
	}
	tail := 0.0
	for s := top; s >= 0; s-- {
		tail += p[s]
		if tail > alpha {
			return s + 1
		}
	}
	return 0
}

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}
