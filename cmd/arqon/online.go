package main

import (
	"math"
	"os"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// The signed bounds of a release's life online.
const (
	windowRequests = 200 // requests before a guardrail judges
	coolDownTicks  = 3   // windows after a snapback in which nothing is tried
	experimentsMax = 1
	slackSD        = 6.0 // standard errors of a window's mean below what was proved
)

// onlinePolicy derives the guardrails that the runtime enforces: for every
// context and every metric whose requests score between two bounds (accuracy,
// hit ratio), a window may not be worse than the worst approved entry by more
// than chance explains. Such a metric needs no clock and no comparison, so a
// breach means that the world is not the one that the gates saw.
func onlinePolicy(night gates.Night, entries []catalog.Entry) catalog.Policy {
	p := catalog.Policy{
		Guardrails: []catalog.Guardrail{}, MaxExperiments: experimentsMax,
		CoolDownTicks: coolDownTicks, WindowRequests: windowRequests,
	}
	for _, c := range night.Contexts {
		for _, m := range c.Metrics {
			if m.Range == nil || m.Compare != benchmarks.Difference {
				continue
			}
			worst, known := worstApproved(entries, c.Name, m.Name, m.Direction)
			if !known {
				continue
			}
			slack := slackSD * .5 * (m.Range[1] - m.Range[0]) / math.Sqrt(windowRequests)
			limit := worst - slack
			if m.Direction == benchmarks.Lower {
				limit = worst + slack
				p.Guardrails = append(p.Guardrails, catalog.Guardrail{Metric: m.Name, Context: c.Name, Max: &limit})
				continue
			}
			p.Guardrails = append(p.Guardrails, catalog.Guardrail{Metric: m.Name, Context: c.Name, Min: &limit})
		}
	}
	return p
}

// worstApproved is the worst value that an approved entry was shown to have in
// the context: of those that are better than the baseline where there is one.
func worstApproved(entries []catalog.Entry, context, metric string, d benchmarks.Direction) (worst float64, known bool) {
	for _, reference := range []bool{false, true} {
		for _, e := range entries {
			if e.Reference != reference {
				continue
			}
			for _, x := range e.Expectations {
				if x.Context != context || x.Metric != metric {
					continue
				}
				if !known || d == benchmarks.Lower && x.Value > worst || d == benchmarks.Higher && x.Value < worst {
					worst, known = x.Value, true
				}
			}
		}
		if known {
			return worst, true
		}
	}
	return 0, false
}

// cpuName is what the kernel calls the processor, for reports.
func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
