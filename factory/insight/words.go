package insight

import (
	"fmt"
	"math"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/plot"
)

// change prints a change of the success metric: "−42.1 %", or in its unit.
func (c Context) change(x float64) string {
	if c.Compare == string(benchmarks.Difference) {
		return plot.Signed(x, plot.DecimalsFor(x)+1) + plot.Spaced(c.Unit)
	}
	return plot.SignedPercent(x)
}

func (c Context) changeOrNone(x *float64) string {
	if x == nil {
		return "nothing"
	}
	return c.change(*x)
}

// askedWords say how many of its points an engine has asked. What an outside
// proposer leaves of its share goes to an engine, which then asks more.
func (e Engine) askedWords() string {
	asked, budget := plot.Grouped(float64(e.Asked)), plot.Grouped(float64(e.Budget))
	switch {
	case e.Budget == 0:
		return asked
	case e.Asked > e.Budget:
		return fmt.Sprintf("%s: its %s and %s that a proposer left", asked, budget, plot.Grouped(float64(e.Asked-e.Budget)))
	}
	return asked + " of " + budget
}

// question is the context's aim in words.
func (c Context) question() string {
	return fmt.Sprintf("%s, %s is better", plot.Clean(c.Metric, 60), c.Direction)
}

// headline says what came out.
func (c Context) headline() string {
	w := c.Winner
	if w == nil {
		return "no winner yet"
	}
	s := fmt.Sprintf("%s %s", plot.Clean(c.Metric, 60), c.change(w.Change))
	if w.Interval != nil {
		lo, hi := math.Min(w.Interval[0], w.Interval[1]), math.Max(w.Interval[0], w.Interval[1])
		if lo != hi {
			s += fmt.Sprintf(" (95 %%: %s to %s)", c.change(lo), c.change(hi))
		}
	}
	return s
}

// foundBy says who found the winner, and when.
func (c Context) foundBy() string {
	w := c.Winner
	switch {
	case w == nil && c.Asked == 0:
		return "nothing has been asked yet"
	case w == nil && !c.ended:
		return "the search has not ended: what looks best is measured afresh then"
	case w == nil:
		return "measured afresh, no point that keeps the limits is better than the baseline"
	case w.At == 0:
		return "what runs today was not beaten"
	}
	return fmt.Sprintf("found by %s as point %s of %s", plot.Clean(w.Engine, 40), plot.Grouped(float64(w.At)), plot.Grouped(float64(c.Asked)))
}

// notesShown bounds the lines about trouble; the JSON form holds all.
const notesShown = 8

// noteWords say what outside proposers had trouble with, and which finalists
// left for a measured guardrail.
func (c Context) noteWords() (out []string) {
	for i, n := range c.Notes {
		if i == notesShown {
			return append(out, fmt.Sprintf("and %d more, in the JSON form", len(c.Notes)-notesShown))
		}
		who := ""
		if n.Engine != "" {
			who = plot.Clean(n.Engine, 40) + ": "
		}
		out = append(out, who+plot.Clean(n.Text, 300))
	}
	return out
}

// noiseWords are one sentence for each thing that is known about the noise.
func (c Context) noiseWords() (out []string) {
	n := c.Noise
	if !n.Measured {
		out = append(out, fmt.Sprintf("%s is deterministic: the same point on the same data measures the same.", plot.Clean(c.Metric, 60)))
	}
	if s := n.Baseline; s != nil {
		out = append(out, fmt.Sprintf("Noise floor: %s of the baseline scatter by ±%s (robust standard deviation). Two single samples closer than about %s tell nothing apart.",
			plot.Count(s.N, "sample"), c.scatter(*s, s.Sigma), c.scatter(*s, 2*math.Sqrt2*s.Sigma)))
	}
	if s := n.Repeats; s != nil {
		out = append(out, fmt.Sprintf("Samples of points that were measured again scatter by ±%s around their point's median (%s).", c.scatter(*s, s.Sigma), plot.Count(s.N, "sample")))
	}
	if s := n.Optimism; s != nil {
		how := "looked better in the search than afresh"
		if s.Median < 0 {
			how = "looked worse in the search than afresh"
		}
		out = append(out, fmt.Sprintf("%s measured again %s by %s (median).", plot.Count(s.N, "finalist"), how, c.scatter(*s, math.Abs(s.Median))))
	}
	if n.Measured && n.Baseline == nil && n.Repeats == nil {
		out = append(out, "A trial here is a set of pairs beside the baseline, of which the journal keeps the medians: arqon report shows the night's A/A controls.")
	}
	return out
}

func (c Context) scatter(s Scatter, x float64) string {
	if s.Relative {
		return plot.Percent(x)
	}
	return plot.Compact(x) + plot.Spaced(c.Unit)
}

// importanceWords says how far the shares can be believed.
func (i Importance) words() string {
	s := fmt.Sprintf("By %s of %s; the forest predicts %s of the variance at points it has not seen", i.Method, plot.Count(i.Points, "point"), plot.Percent(math.Max(0, i.Explained)))
	if i.Explained < .3 {
		return s + ": too little to read an order into the shares."
	}
	return s + "."
}

// pairWords names interactions that are worth a word.
func (i Importance) pairWords() string {
	var parts []string
	for _, p := range i.Pairs {
		if p.Share >= .01 {
			parts = append(parts, fmt.Sprintf("%s with %s %s", plot.Clean(p.Knobs[0], 40), plot.Clean(p.Knobs[1], 40), plot.Percent(p.Share)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Together, beyond each alone: " + strings.Join(parts, ", ") + "."
}

// lineageWords says what the steps are.
func (w Winner) lineageWords() string {
	if w.Ancestors {
		return "Its ancestors, oldest first: of each point the better parent."
	}
	return "The best points of its engine until then, oldest first; the engine names no parents."
}

// knobWords is "kernel a → b, rate 0.1 → 0.2".
func knobWords(list []KnobChange) string {
	if len(list) == 0 {
		return "as the baseline"
	}
	var parts []string
	for _, k := range list {
		parts = append(parts, fmt.Sprintf("%s %s → %s", plot.Clean(k.Knob, 40), plot.Clean(k.From, 60), plot.Clean(k.To, 60)))
	}
	return strings.Join(parts, ", ")
}

// summary is the run in one sentence.
func (o Overview) summary() string {
	state := "still searching, or interrupted"
	if o.Ended {
		state = plot.Clean(o.Stop, 120)
		if state == "" {
			state = "ended"
		}
	}
	kind := "A night's search"
	if o.Search == "alone" {
		kind = "A search alone"
	}
	return fmt.Sprintf("%s over %s: %s asked in %s; %s", kind, plot.Clean(o.Domain, 60),
		plot.Count(o.Asked, "point"), plot.Count(len(o.Contexts), "context"), state)
}

// portfolioWords say which variants are needed, and what they are worth.
func (o Overview) portfolioWords() string {
	if o.Portfolio == nil {
		return ""
	}
	var names []string
	for _, c := range o.Portfolio.Chosen {
		names = append(names, plot.Clean(c.Name, 60))
	}
	return fmt.Sprintf("Portfolio, greedily: %s close %s of the gap between the single best and the best of each of %s: %s.",
		plot.Count(len(names), "variant"), plot.Percent(o.Portfolio.GapClosed), plot.Count(len(o.Portfolio.Contexts), "context"), strings.Join(names, ", "))
}

// archiveWords describes a map.
func (c Context) archiveWords() string {
	a := c.Archive
	return fmt.Sprintf("%s of %s reached, %s better than the baseline. Each shows the best feasible point measured there.",
		plot.Count(len(a.Elites), "cell"), plot.Grouped(float64(a.Cells)), plot.Grouped(float64(a.Better)))
}
