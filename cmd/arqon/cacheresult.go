package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/arqon/arqon/catalog"
)

// cacheResult is what run says of a cache at its end.
type cacheResult struct {
	Channel    string        `json:"channel"`
	Release    uint64        `json:"release"`
	Generation uint64        `json:"generation"`
	Entries    int           `json:"entries"`
	Phases     []*cachePhase `json:"phases"`
	Requests   int           `json:"requests"`
	Dropped    int           `json:"dropped"`
	Wrong      int           `json:"wrong_values"`
	Torn       int           `json:"torn_snapshots"`
	Swaps      int           `json:"swaps"`
	Moved      int           `json:"entries_handed_over"`
	Trips      int           `json:"guardrail_trips"`
	Rollbacks  int           `json:"rollbacks"`
	Adopted    int           `json:"releases_adopted"`
	Events     []hostEvent   `json:"events"`
}

// cachePhase is one context's traffic and what became of it.
type cachePhase struct {
	Context   string            `json:"context"`
	Requests  int               `json:"requests"`
	HitRatio  float64           `json:"hit_ratio"`
	Start     float64           `json:"hit_ratio_start"`   // of the first tenth
	Settled   float64           `json:"hit_ratio_settled"` // of the second half
	LRU       float64           `json:"lru_settled"`       // what LRU alone has there, from the first phase on
	Bound     float64           `json:"bound_settled"`     // Belady's
	Variant   catalog.VariantID `json:"variant_id"`        // that served most
	Served    []servedBy        `json:"served"`
	Swaps     int               `json:"swaps"`
	Moved     int               `json:"entries_handed_over"`
	Trips     int               `json:"guardrail_trips"`
	Rollbacks int               `json:"rollbacks"`
	Dropped   int               `json:"dropped"`
	Wrong     int               `json:"wrong_values"`
	Torn      int               `json:"torn_snapshots"`

	hits, late, early       int
	moved, trips, rollbacks int // before the phase
	served                  map[catalog.VariantID]int
}

// add closes a phase.
func (r *cacheResult) add(p *cachePhase, h *cacheRun) {
	n := h.flags.requests
	p.HitRatio = float64(p.hits) / float64(max(1, p.Requests))
	p.Start = float64(p.early) / float64(max(1, n/10))
	p.Settled = float64(p.late) / float64(max(1, n-n/2))
	p.Moved, p.Trips, p.Rollbacks = h.live.Moved()-p.moved, h.result.Trips-p.trips, h.result.Rollbacks-p.rollbacks
	for id, n := range p.served {
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
	r.Wrong += p.Wrong
	r.Torn += p.Torn
	r.Swaps += p.Swaps
}

func (r *cacheResult) finish(h *cacheRun) {
	r.Release, r.Generation = h.rt.Load().Release(), h.rt.Load().Generation()
	r.Moved, r.Trips, r.Rollbacks, r.Adopted = h.live.Moved(), h.result.Trips, h.result.Rollbacks, h.result.Adopted
	if r.Events = h.result.Events; r.Events == nil {
		r.Events = []hostEvent{}
	}
}

func (r *cacheResult) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "phase\trequests\thit ratio\tstart\tsettled\tLRU\tbound\tVariantId\tswaps\thanded over\trollbacks\tdropped\t")
	for _, p := range r.Phases {
		ids := make([]string, 0, len(p.Served))
		for _, s := range p.Served {
			ids = append(ids, fmt.Sprint(s.Variant))
		}
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%s\t%d\t%d\t%d\t%d\t\n", p.Context, p.Requests, p.HitRatio, p.Start, p.Settled,
			p.LRU, p.Bound, strings.Join(ids, ","), p.Swaps, p.Moved, p.Rollbacks, p.Dropped)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d entries: %d requests, %d dropped, %d wrong values, %d torn snapshots, %d swaps handed %d entries over, %d guardrail trips, %d rollbacks, %d releases adopted while serving\n"+
		"start: the first tenth of a phase; settled, LRU and bound (Belady's): its second half\n",
		r.Entries, r.Requests, r.Dropped, r.Wrong, r.Torn, r.Swaps, r.Moved, r.Trips, r.Rollbacks, r.Adopted)
	return err
}
