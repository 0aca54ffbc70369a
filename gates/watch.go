package gates

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/gates/evalue"
)

// watch judges the pairs of a canary: pure, the same live and replayed.
type watch struct {
	j       *Judge
	context string
	series  []watched // of the metrics that the first pair showed
	pairs   int
	gone    string
}

// watched is one metric of a canary: s decides that it is not worse than
// tolerance and margin, alarm that it does harm.
type watched struct {
	*measuredSeries
	alarm *evalue.Harm
	line  float64 // the change at which the alarm's harm begins
}

// where names the noise of live traffic: it is not that of the pairs that the
// gates measure themselves.
func (w *watch) where() string { return "canary/" + w.context }

func (w *watch) add(p PairRecord) {
	if w.pairs == 0 {
		w.open(p)
	}
	w.pairs++
	for _, s := range w.series {
		if s.add(p); s.bad == nil {
			d := s.d.Pairs().Differences()
			s.alarm.Add(d[len(d)-1])
		}
	}
}

func (w *watch) open(first PairRecord) {
	p := w.j.Policy
	for _, m := range w.j.order[w.context] {
		_, a := first.A[m.Name]
		_, b := first.B[m.Name]
		if !a || !b {
			continue
		}
		noise := w.j.learned(w.where(), m.Name)
		harm := p.question(m, p.CanaryHarmAlpha, 1)
		alarm := evalue.NewHarm(harm, noise, p.CanaryPairsMax)
		q := p.question(m, p.CanaryAlpha, 1)
		q.Tolerance += p.CanaryMargin
		if q.Tolerance > 0 {
			q.Goal = evalue.NotWorse
		}
		w.series = append(w.series, watched{newSeries(m, q, noise), alarm, changeBound(m, harm.Line())})
	}
	if len(w.series) == 0 {
		w.gone = "the runtime shows none of the context's metrics"
	}
}

// learn teaches the night what the canary showed of the traffic's noise.
func (w *watch) learn() {
	for _, s := range w.series {
		w.j.learn(w.where(), s.measuredSeries)
	}
}

// bad is why the pairs cannot be judged, or "".
func (w *watch) bad() string {
	if w.gone != "" {
		return w.gone
	}
	for _, s := range w.series {
		if s.bad != nil {
			return s.bad.Error()
		}
	}
	return ""
}

func (w *watch) harmBar() float64 {
	return evalue.LogBar(len(w.series), w.j.Policy.CanaryHarmAlpha)
}

// harm is the largest log e-value for harm.
func (w *watch) harm() (logE float64, metric string) {
	for i, s := range w.series {
		if e := s.alarm.LogE(); i == 0 || e > logE {
			logE, metric = e, s.metric.Name
		}
	}
	return logE, metric
}

// line is where harm of a metric begins, in words.
func (w *watch) line(metric string) string {
	for _, s := range w.series {
		if s.metric.Name == metric {
			return number(s.metric, s.line)
		}
	}
	return ""
}

// harmless is the smallest log e-value for "not worse than tolerance and
// margin".
func (w *watch) harmless() float64 {
	low := math.Inf(1)
	for _, s := range w.series {
		low = min(low, s.d.Claim())
	}
	return low
}

// words names the metric that is furthest from harmless.
func (w *watch) words() string {
	low, at := math.Inf(1), -1
	for i, s := range w.series {
		if e := s.d.Claim(); e < low {
			low, at = e, i
		}
	}
	if at < 0 {
		return "nothing was seen"
	}
	s := w.series[at]
	m := s.metric
	return fmt.Sprintf("closest: %s %s, tolerance with margin %s, %s", m.Name, changeWords(m, s.d.Estimate()),
		number(m, changeBound(m, s.question.Tolerance)), eWords(low, -math.Log(w.j.Policy.CanaryAlpha)))
}
