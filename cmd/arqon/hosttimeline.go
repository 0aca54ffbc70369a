package main

import (
	"fmt"
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
	Limits   []windowLimit     `json:"limits,omitempty"` // signed, for the class, on the series
	Broke    bool              `json:"over_limit"`
	Shadow   *shadowResult     `json:"shadow,omitempty"` // what was tried on copies beside it
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
			w.Broke = w.Broke || next.Broke
			if w.Shadow == nil {
				w.Shadow = next.Shadow
			}
		}
		out = append(out, w)
	}
	return out
}

// limit adds the signed limits of the class that a window was taken for, and
// whether its figures were outside one.
func (h *hostRun) limit(w *windowResult) {
	for _, g := range h.limits {
		if g.Context != "" && g.Context != w.Class {
			continue
		}
		for i, s := range h.plan.series {
			if s.name != g.Metric {
				continue
			}
			x := w.Values[i]
			w.Limits = append(w.Limits, windowLimit{i, g.Min, g.Max})
			w.Broke = w.Broke || g.Min != nil && x < *g.Min || g.Max != nil && x > *g.Max
		}
	}
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
	return fmt.Sprint(r.Requests)
}

// recoveryOf looks at windows in groups of those that are judged together: the
// traffic of one may be of one kind only.
func recoveryOf(ws []windowResult, list []series, judged int) recovery {
	groups := grouped(ws, judged)
	r := recovery{Recovered: len(ws) > 0}
	for i, s := range list {
		k := recoveredAt(groups, i, s.higher)
		r.Recovered = r.Recovered && k < len(groups)
		r.Windows = max(r.Windows, min(k*judged, len(ws)))
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

// grouped averages the values of every n windows.
func grouped(ws []windowResult, n int) []windowResult {
	if n <= 1 {
		return ws
	}
	var out []windowResult
	for i := 0; i < len(ws); i += n {
		group := ws[i:min(i+n, len(ws))]
		mean := windowResult{Values: make([]float64, len(group[0].Values))}
		for _, w := range group {
			for k, x := range w.Values {
				mean.Values[k] += x / float64(len(group))
			}
		}
		out = append(out, mean)
	}
	return out
}

// recoveredAt is the first window that is good with its successors, len(ws)
// if none is.
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
		if row++; worse > band {
			row = 0
		}
		if row == min(recoveryRow, len(ws)) {
			return i - row + 1
		}
	}
	return len(ws)
}
