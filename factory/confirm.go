package factory

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/arqon/arqon/benchmarks"
)

// A winner of a search was also the luckiest; so twice as many finalists as
// candidates are measured again, with seeds that the search has not used, at
// full fidelity, and only that second measurement ranks them.
const finalistsPerCandidate = 2

// finalistsLooked is how many of a context's best points finalists are picked
// from.
const finalistsLooked = 256

// nearEqual is the difference in loss, relative to the better one, within
// which another variant type or engine is preferred over a little more.
const nearEqual = .02

// confirm measures finalists afresh, keeps the best of each context, and
// measures those in every other context for the portfolio.
func (s *search) confirm(ctx context.Context) error {
	d, k := s.cfg.Description, s.cfg.Study.Candidates
	finalists, rest := make([][]Outcome, len(d.Scenarios)), make([][]Outcome, len(d.Scenarios))
	for c := range d.Scenarios {
		better := s.better(c)
		finalists[c] = pick(better, finalistsPerCandidate*k, s.engineOf)
		rest[c] = without(better, points(finalists[c]))
	}
	baseline, err := s.confirmBaseline(ctx)
	if err != nil {
		return err
	}
	afresh := func(by [][]Outcome) ([][]Outcome, error) {
		fresh, err := s.again(ctx, "finalists", by, func(c int, o Outcome) job {
			return s.job(d.Scenarios[c], o.Point, "confirm", 1, confirmPairs, baseline[c].Values)
		})
		for c := range fresh {
			fresh[c] = slices.DeleteFunc(fresh[c], func(o Outcome) bool { return !(o.Loss < 0) })
			sort.SliceStable(fresh[c], func(i, j int) bool { return fresh[c][i].Loss < fresh[c][j].Loss })
		}
		return fresh, err
	}
	fresh, err := afresh(finalists)
	if err != nil {
		return err
	}
	s.out.Finalists = make([][]Outcome, len(d.Scenarios))
	for c := range fresh {
		s.out.Finalists[c], err = s.within(ctx, c, fresh[c], rest[c], func(more []Outcome) ([]Outcome, error) {
			one := make([][]Outcome, len(d.Scenarios))
			one[c] = more
			again, err := afresh(one)
			return again[c], err
		})
		if err != nil {
			return err
		}
	}
	return s.matrix(ctx)
}

// confirmBaseline returns the baseline's deterministic values under the
// confirmation's seeds, by context; paired contexts bring their own.
func (s *search) confirmBaseline(ctx context.Context) ([]measurement, error) {
	d := s.cfg.Description
	point, err := d.Space.Normalize(d.Baseline)
	if err != nil {
		return nil, err
	}
	var jobs []job
	var where []int
	for c, sc := range d.Scenarios {
		if j := s.job(sc, point, "confirm", 1, confirmPairs, nil); !j.paired {
			jobs, where = append(jobs, j), append(where, c)
		}
	}
	out := make([]measurement, len(d.Scenarios))
	err = s.measureAll(ctx, kindConfirm, jobs, func(i int, x measurement) (Outcome, error) {
		out[where[i]] = x
		return outcome(jobs[i].scenario.Name, point, x, 0, -1), nil
	})
	return out, err
}

// better returns a context's better-than-baseline points, best first, each
// once, without those that measure the same as a better one.
func (s *search) better(context int) []Outcome {
	d := s.cfg.Description
	name := d.Scenarios[context].Name
	var out []Outcome
	for i, t := range s.out.Trials {
		if t.Context != name || t.Cached || !(float64(t.Loss) < 0) {
			continue
		}
		p, err := benchmarks.DecodePoint(d.Space, t.Point)
		if err != nil {
			continue // cannot be: it was asked
		}
		out = append(out, Outcome{Context: name, Point: p, Type: t.Type, Values: t.Values, Change: t.Change, Loss: float64(t.Loss), Trial: i})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Loss < out[j].Loss })
	distinct := out[:0]
	for _, o := range out {
		same := false
		for _, kept := range distinct {
			same = same || kept.Loss == o.Loss && maps.Equal(kept.Values, o.Values)
		}
		if !same {
			distinct = append(distinct, o)
		}
		if len(distinct) == finalistsLooked {
			break
		}
	}
	return distinct
}

func (s *search) engineOf(o Outcome) string {
	if o.Trial < 0 {
		return ""
	}
	return s.out.Trials[o.Trial].Engine
}

// pick takes k of the outcomes, which come best first: each time the best one
// left, unless a near-equal one is of a variant type that has not been picked,
// or comes from an engine that has not.
func pick(from []Outcome, k int, engineOf func(Outcome) string) []Outcome {
	left := append([]Outcome(nil), from...)
	var out []Outcome
	types, engines := map[string]int{}, map[string]int{}
	for len(out) < k && len(left) > 0 {
		best := 0
		reach := left[0].Loss + float64(nearEqual*math.Abs(left[0].Loss))
		rank := func(o Outcome) int { return 2*types[o.Type] + engines[engineOf(o)] }
		for i := 1; i < len(left) && left[i].Loss <= reach; i++ {
			if rank(left[i]) < rank(left[best]) {
				best = i
			}
		}
		types[left[best].Type]++
		engines[engineOf(left[best])]++
		out = append(out, left[best])
		left = append(left[:best], left[best+1:]...)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Loss < out[j].Loss })
	return out
}

// again measures outcomes in the contexts under whose index they stand.
func (s *search) again(ctx context.Context, step string, by [][]Outcome, how func(context int, o Outcome) job) ([][]Outcome, error) {
	var jobs []job
	var from []Outcome
	var where []int
	for c, outs := range by {
		for _, o := range outs {
			jobs = append(jobs, how(c, o))
			from, where = append(from, o), append(where, c)
		}
	}
	out := make([][]Outcome, len(by))
	done := 0
	err := s.measureAll(ctx, kindConfirm, jobs, func(i int, x measurement) (Outcome, error) {
		o := outcome(jobs[i].scenario.Name, jobs[i].point, x, loss(jobs[i].metrics, x), from[i].Trial)
		out[where[i]] = append(out[where[i]], o)
		done++
		s.progress.Step(step, done, len(jobs), "")
		return o, nil
	})
	return out, err
}

// matrix knows every finalist in every context: in its own as confirmed, in
// the others as the search measured it there, or measures it now. The others
// do not decide what is proposed, only what the portfolio prefers and what the
// envelope warns of, so the search's fidelity is enough.
func (s *search) matrix(ctx context.Context) error {
	d := s.cfg.Description
	row := map[string]int{}
	for _, outs := range s.out.Finalists {
		for _, o := range outs {
			if key := string(o.Point.Canonical()); !has(row, key) {
				row[key] = len(s.out.Points)
				s.out.Points = append(s.out.Points, json.RawMessage(key))
				s.out.Matrix = append(s.out.Matrix, make([]Outcome, len(s.out.Finalists)))
			}
		}
	}
	for c, outs := range s.out.Finalists {
		for _, o := range outs {
			s.out.Matrix[row[string(o.Point.Canonical())]][c] = o
		}
	}
	missing := make([][]Outcome, len(s.out.Finalists))
	for r, key := range s.out.Points {
		p, err := benchmarks.DecodePoint(d.Space, key)
		if err != nil {
			return err
		}
		for c, sc := range d.Scenarios {
			cell := &s.out.Matrix[r][c]
			if cell.Context != "" {
				continue
			}
			if x, known := s.known[c][p.Digest()]; known {
				metrics, _ := needed(d, sc)
				*cell = outcome(sc.Name, p, x, loss(metrics, x), -1)
				continue
			}
			missing[c] = append(missing[c], Outcome{Point: p, Trial: -1})
		}
	}
	found, err := s.again(ctx, "portfolio", missing, func(c int, o Outcome) job {
		return s.job(d.Scenarios[c], o.Point, "search", s.cfg.Study.Fidelity, searchPairs, s.baseline[c].Values)
	})
	for c, outs := range found {
		for _, o := range outs {
			s.out.Matrix[row[string(o.Point.Canonical())]][c] = o
		}
	}
	return err
}

func has[K comparable, V any](m map[K]V, k K) bool {
	_, ok := m[k]
	return ok
}
