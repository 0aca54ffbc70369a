package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/arqon/arqon/catalog"
)

// hostResult is what a run says at its end.
type hostResult struct {
	Channel    string        `json:"channel"`
	Release    uint64        `json:"release"`
	Generation uint64        `json:"generation"` // snapshots published
	Phases     []phaseResult `json:"phases"`
	Requests   int           `json:"requests"`
	Dropped    int           `json:"dropped"`
	Torn       int           `json:"torn_snapshots"`
	Swaps      int           `json:"swaps"`
	Trips      int           `json:"guardrail_trips"`
	Rollbacks  int           `json:"rollbacks"`
	Adopted    int           `json:"releases_adopted"`
	Events     []hostEvent   `json:"events"`
}

type phaseResult struct {
	Context   string            `json:"context"`
	Requests  int               `json:"requests"`
	Accuracy  float64           `json:"accuracy"`
	P50NS     float64           `json:"p50_ns"`
	P99NS     float64           `json:"p99_ns"`
	Variant   catalog.VariantID `json:"variant_id"` // that served most
	Served    []servedBy        `json:"served"`
	Swaps     int               `json:"swaps"`
	Trips     int               `json:"guardrail_trips"`
	Rollbacks int               `json:"rollbacks"`
	Dropped   int               `json:"dropped"`
}

type servedBy struct {
	Variant  catalog.VariantID `json:"variant_id"`
	Requests int               `json:"requests"`
}

type hostEvent struct {
	Tick uint64 `json:"tick"`
	What string `json:"what"`
	Text string `json:"text"`
}

// add closes a phase.
func (r *hostResult) add(ph *phase) {
	sort.Float64s(ph.latency)
	p := phaseResult{
		Context: ph.context, Requests: ph.requests, Accuracy: float64(ph.right) / float64(max(1, ph.requests)),
		P50NS: quantile(ph.latency, .5), P99NS: quantile(ph.latency, .99), Swaps: ph.swaps, Dropped: ph.dropped,
		Trips: r.Trips, Rollbacks: r.Rollbacks,
	}
	for _, before := range r.Phases {
		p.Trips -= before.Trips
		p.Rollbacks -= before.Rollbacks
	}
	for id, n := range ph.served {
		p.Served = append(p.Served, servedBy{id, n})
	}
	sort.Slice(p.Served, func(i, j int) bool {
		a, b := p.Served[i], p.Served[j]
		return a.Requests > b.Requests || a.Requests == b.Requests && a.Variant < b.Variant
	})
	if len(p.Served) > 0 {
		p.Variant = p.Served[0].Variant
	}
	r.Phases = append(r.Phases, p)
	r.Requests += p.Requests
	r.Dropped += p.Dropped
	r.Torn += ph.torn
	r.Swaps += p.Swaps
}

// quantile of ascending values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (r hostResult) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "phase\trequests\taccuracy\tp50\tp99\tVariantId\tswaps\trollbacks\tdropped\t")
	for _, p := range r.Phases {
		ids := make([]string, 0, len(p.Served))
		for _, s := range p.Served {
			ids = append(ids, fmt.Sprint(s.Variant))
		}
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.1f µs\t%.1f µs\t%s\t%d\t%d\t%d\t\n", p.Context, p.Requests, p.Accuracy,
			p.P50NS/1e3, p.P99NS/1e3, strings.Join(ids, ","), p.Swaps, p.Rollbacks, p.Dropped)
	}
	if err := t.Flush(); err != nil {
		return // the terminal went away
	}
	fmt.Fprintf(w, "%d requests, %d dropped, %d torn snapshots, %d swaps, %d guardrail trips, %d rollbacks, %d releases adopted while serving\n",
		r.Requests, r.Dropped, r.Torn, r.Swaps, r.Trips, r.Rollbacks, r.Adopted)
}
