package main

import (
	"math"

	"github.com/arqon/arqon/catalog"
)

// windowsMax bounds the windows that a result keeps of a phase.
const windowsMax = 512

// windowResult is one window in the history of a run.
type windowResult struct {
	Tick     uint64            `json:"tick"`
	Class    string            `json:"class"`      // what the host took the traffic for
	Variant  catalog.VariantID `json:"variant_id"` // that served most
	Requests int               `json:"requests"`
	Values   []float64         `json:"values"`           // one a series
	Limits   []windowLimit     `json:"limits,omitempty"` // signed, for the phase's context, on the series
	Broke    bool              `json:"over_limit"`
	Beyond   bool              `json:"out_of_reach,omitempty"` // over a limit that nothing could have kept
	Shadow   *shadowResult     `json:"shadow,omitempty"`       // what was tried on copies beside it
}

// shadowResult is what a variant showed on copies of a window's requests.
type shadowResult struct {
	Variant catalog.VariantID `json:"variant_id"`
	Values  []float64         `json:"values,omitempty"` // one a series
	shadowCount
}

// windowLimit is a guardrail of the release on one of the series.
type windowLimit struct {
	Series int      `json:"series"`
	Min    *float64 `json:"min,omitempty"`
	Max    *float64 `json:"max,omitempty"`
}

// thin keeps every k-th window, the smallest k that leaves at most n; it is over
// a limit if one that it stands for was.
func thin(ws []windowResult, n int) []windowResult {
	if len(ws) <= n {
		return ws
	}
	k := (len(ws) + n - 1) / n
	out := make([]windowResult, 0, n)
	for i := 0; i < len(ws); i += k {
		w := ws[i]
		for _, next := range ws[i:min(i+k, len(ws))] {
			w.Broke, w.Beyond = w.Broke || next.Broke, w.Beyond || next.Beyond
			if w.Shadow == nil {
				w.Shadow = next.Shadow
			}
		}
		out = append(out, w)
	}
	return out
}

// limit adds the signed limits of the context whose traffic a window was. The
// runtime can only guard what the host took the traffic for: a limit of another
// context promises nothing about this one.
func (h *hostRun) limit(w *windowResult, context string) {
	for _, g := range h.limits {
		if g.Context != "" && g.Context != context {
			continue
		}
		for i, s := range h.plan.series {
			if s.name == g.Metric {
				w.Limits = append(w.Limits, windowLimit{i, g.Min, g.Max})
			}
		}
	}
}

// overLimit marks the windows of a phase whose figures, those that are judged
// together averaged, were outside a signed limit. best is what could have been
// had in a group of them, nil if the domain does not know: where even that is
// outside, the limit was out of reach.
func overLimit(ws []windowResult, judged int, best func(g span) []float64) {
	for _, g := range inGroups(len(ws), judged) {
		group := ws[g.from:g.to]
		broke := breaks(group, meanOf(group).Values)
		beyond := broke && best != nil && breaks(group, best(g))
		for i := range group {
			group[i].Broke, group[i].Beyond = broke && !beyond, beyond
		}
	}
}

// breaks reports whether values, one a series, break a limit of a group.
func breaks(group []windowResult, values []float64) bool {
	for _, w := range group {
		for _, l := range w.Limits {
			if x := values[l.Series]; l.Min != nil && x < *l.Min || l.Max != nil && x > *l.Max {
				return true
			}
		}
	}
	return false
}

// counting counts the windows of a kind.
func counting(ws []windowResult, is func(windowResult) bool) (n int) {
	for _, w := range ws {
		if is(w) {
			n++
		}
	}
	return n
}

// recovery is how a host came through the change at the beginning of a phase.
// A series has recovered at the first window from which on two in a row are no
// worse than what the last third of the phase settles at, by more than three
// of its standard deviations.
type recovery struct {
	Recovered   bool `json:"recovered"`   // every series did
	Windows     int  `json:"windows"`     // until the last one did
	Requests    int  `json:"requests"`    // the same in requests
	Oscillation int  `json:"oscillation"` // changes of the variant that serves after that
	OverLimit   int  `json:"over_limit"`  // windows after that whose figures were outside a signed limit
}

const (
	recoveryBandSD = 3
	recoveryRow    = 2
	recoveryLegend = "recovered after: requests until every figure is as good as in the last third of the phase (two windows in a row within three standard deviations)"
)

func (r recovery) String() string {
	if !r.Recovered {
		return "not"
	}
	return grouped(r.Requests)
}

// recoveryOf looks at windows in groups of those that are judged together: the
// traffic of one may be of one kind only.
func recoveryOf(ws []windowResult, list []series, judged int) recovery {
	groups := inGroups(len(ws), judged)
	means := make([]windowResult, len(groups))
	for i, g := range groups {
		means[i] = meanOf(ws[g.from:g.to])
	}
	r := recovery{Recovered: len(ws) > 0}
	for i, s := range list {
		k := recoveredAt(means, i, s.higher)
		if k == len(groups) {
			r.Recovered, r.Windows = false, len(ws)
			continue
		}
		r.Windows = max(r.Windows, groups[k].from)
	}
	for i, w := range ws {
		if i < r.Windows {
			r.Requests += w.Requests
			continue
		}
		if i > r.Windows && w.Variant != ws[i-1].Variant {
			r.Oscillation++
		}
		if w.Broke {
			r.OverLimit++
		}
	}
	return r
}

// span is a group of windows: [from, to).
type span struct{ from, to int }

// inGroups cuts a phase of n windows into groups of those that are judged
// together. What is left at its end goes to the last group: fewer windows than
// judged show chance, or one of the kinds of traffic that come in runs.
func inGroups(n, judged int) []span {
	var out []span
	for from := 0; from < n; from += judged {
		if n-from < judged && len(out) > 0 {
			out[len(out)-1].to = n
			break
		}
		out = append(out, span{from, min(from+judged, n)})
	}
	return out
}

// meanOf averages what windows show, by requests. It is over a limit if one of
// them is.
func meanOf(ws []windowResult) windowResult {
	mean := windowResult{Values: make([]float64, len(ws[0].Values))}
	for _, w := range ws {
		mean.Requests += w.Requests
		mean.Broke = mean.Broke || w.Broke
	}
	for _, w := range ws {
		for k, x := range w.Values {
			mean.Values[k] += x * float64(w.Requests) / float64(max(1, mean.Requests))
		}
	}
	return mean
}

// recoveredAt is the first window that is good with its successors, len(ws)
// if none is. One over a signed limit is not good, whatever the phase settles
// at.
func recoveredAt(ws []windowResult, series int, higher bool) int {
	end := ws[len(ws)*2/3:]
	mean, n := 0.0, float64(len(end))
	for _, w := range end {
		mean += w.Values[series] / n
	}
	variance := 0.0
	for _, w := range end {
		d := w.Values[series] - mean
		variance += d * d / max(1, n-1)
	}
	band := recoveryBandSD * math.Sqrt(variance)
	row := 0
	for i, w := range ws {
		worse := w.Values[series] - mean
		if higher {
			worse = -worse
		}
		if row++; worse > band || w.Broke {
			row = 0
		}
		if row == min(recoveryRow, len(ws)) {
			return i - row + 1
		}
	}
	return len(ws)
}
