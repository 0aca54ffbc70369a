package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// Candidate writes one candidate's page for a terminal. name is a candidate's
// name; one that was judged in several contexts gets a page for each. Unknown
// names are an error wrapping ErrNoCandidate.
func Candidate(w io.Writer, n gates.Night, name string, o TextOptions) error {
	p := newPrinter(w, o)
	found := false
	for _, s := range subjects(&n) {
		if s.Name == name || (len(name) >= 8 && strings.HasPrefix(s.Identity.Hex(), name)) {
			if found {
				p.Blank()
			}
			found = true
			p.candidatePage(s)
		}
	}
	if !found {
		return fmt.Errorf("%s: %w; there are: %s", plot.Clean(name, 80), ErrNoCandidate, strings.Join(names(&n, 12), ", "))
	}
	return p.Err()
}

// names lists the first limit candidate names.
func names(n *gates.Night, limit int) []string {
	var out []string
	for _, c := range n.Candidates {
		if name := plot.Clean(c.Name, 60); !slices.Contains(out, name) { // the baseline stands in every context
			out = append(out, name)
		}
	}
	if more := len(out) - limit; more > 0 {
		out = append(out[:limit], fmt.Sprintf("and %d more", more))
	}
	return out
}

func (p *printer) candidatePage(s subject) {
	p.Para(toneOf(s.badge()), 0, 0, s.badge().String()+": "+plot.Clean(s.Name, 80)+" for "+plot.Clean(s.Context, 60)+", "+s.standing()+".")
	p.Para(plot.Plain, 0, 0, s.because())
	if s.night.Outcome == gates.Invalid {
		p.Para(plot.Bad, 0, 0, "The night is INVALID: "+sentence(s.night.Reason))
	}
	p.Blank()
	head, detail := s.howMuch()
	p.Labelled("by how much", 11, plot.Plain, head+". "+detail)
	head, detail = s.howSure()
	p.Labelled("how sure", 11, plot.Plain, head+". "+detail)
	head, detail, command := s.whatNext(p.where)
	p.Labelled("what next", 11, plot.Plain, head+". "+detail)
	if command != "" {
		p.Command(command)
	}
	p.waivers(s)
	p.gatesPassed(s)
	p.forest(s)
	p.race(s)
	p.canaryStages(s)
	p.claim(s)
	p.plan(s)
	p.whatIf(s)
	p.origin(s)
}

func (p *printer) gatesPassed(s subject) {
	p.Heading("Gates")
	seen := map[string]bool{}
	for _, f := range s.Findings {
		seen[f.Gate] = true
		p.gateLine(f.Outcome.String(), toneOf(f.Outcome), f.Gate, sentence(f.Reason))
	}
	for _, g := range gates.Order() {
		if !seen[g] {
			p.gateLine("not reached", plot.Faint, g, "")
		}
	}
}

func (p *printer) gateLine(word string, t plot.Tone, gate, reason string) {
	lines := plot.Wrap(p.PlainText(reason), p.Columns-30, p.Columns-30)
	for i, l := range lines {
		if i == 0 {
			p.Raw("  " + p.Paint(t, plot.Pad(p.PlainText(word), 12)) + "  " + strings.TrimRight(plot.Pad(p.Short(gate, 12), 12)+"  "+l, " ") + "\n")
			continue
		}
		p.Raw(strings.Repeat(" ", 30) + l + "\n")
	}
}

// forest draws every metric with its interval on one axis.
func (p *printer) forest(s subject) {
	if len(s.Results) == 0 {
		return
	}
	p.Heading("Every metric, with its interval")
	const cols = 34
	f := newForest(s.Results, s.night.Policy.MinEffect)
	p.Raw("  " + plot.Pad("", 14) + p.PlainText(axisText(f, cols)) + "\n")
	gate := ""
	for _, row := range f.rows {
		r := row.r
		if r.Gate != gate {
			gate = r.Gate
			p.Raw("  " + p.Paint(plot.Faint, p.PlainText(gateTitle(gate))) + "\n")
		}
		p.Raw("  " + p.Paint(toneOf(r.Decision), plot.Pad(r.Decision.String(), 12)) + "  " + p.PlainText(f.textRow(row, cols)) +
			"  " + p.Paint(plot.Strong, p.Short(testName(r), max(p.Columns-cols-18, 12))) + "\n")
		p.Para(plot.Plain, 16, 0, forestText(r))
	}
	p.Para(plot.Faint, 2, 0, "Dots mark where the test passes: the whole interval (for an exact metric the estimate) must lie there. Each row has its own scale: its tolerance or its limit.")
}

// axisText labels the forest's axis over n columns.
func axisText(f forest, n int) string {
	left, right := "better", "worse"
	zero := int(math.Round(f.x(0, 0, float64(n-1))))
	b := []rune(strings.Repeat(" ", n))
	copy(b, []rune(left))
	copy(b[n-len(right):], []rune(right))
	if zero > len(left) && zero < n-len(right)-1 {
		b[zero] = '0'
	}
	return "  " + string(b)
}

// gateTitle says what a gate asks, in a few words.
func gateTitle(g string) string {
	switch g {
	case gates.GateCorrectness:
		return "correctness: does it still compute the right thing"
	case gates.GateEnvelope:
		return "envelope: absolute limits"
	case gates.GateRobustness:
		return "robustness: under disturbances, compared with the baseline under the same"
	case gates.GateRegression:
		return "regression: better where it counts, not worse anywhere else"
	case gates.GateCanary:
		return "canary: beside the baseline in the real runtime"
	case gates.GateApproval:
		return "approval: signatures of people"
	}
	return plot.Clean(g, 40)
}

// forestText is a forest row in words and numbers.
func forestText(r gates.Result) string {
	if r.Decision == gates.Invalid {
		return numbers(r) + "; " + required(r)
	}
	return values(r) + ", " + numbers(r) + "; " + required(r)
}

// race draws log e against pairs or items for the main result.
func (p *printer) race(s subject) {
	r := s.main
	if r == nil || !hasRace(*r) {
		return
	}
	cols := min(60, p.Columns-16)
	rows := 4
	if p.Terminal.ASCII {
		rows = 6
	}
	lo, hi := raceRange(*r)
	p.Heading("Evidence as it came in (" + plot.Clean(r.Metric, 60) + ", log scale)")
	lines := p.Sparkline(r.Race.LogE, lo, hi, cols, rows)
	level := plot.Scale{Lo: lo, Hi: hi, From: float64(rows) - 0.5, To: -0.5}
	bar := int(math.Round(level.At(r.LogBar)))
	one := int(math.Round(level.At(0)))
	for i, l := range lines {
		label := ""
		switch i {
		case bar:
			label = "bar " + evalue(r.LogBar)
		case one:
			label = "no evidence"
		}
		p.Raw("  " + plot.PadLeft(p.PlainText(label), 11) + " " + p.PlainText("│") + l + "\n")
	}
	last := r.Race.N[len(r.Race.N)-1]
	p.Para(plot.Faint, 14, 0, fmt.Sprintf("1 to %s; ends at e = %s, bar %s.%s", plot.Count(last, unitName(*r)), evalue(r.LogE), evalue(r.LogBar), stopText(s)))
}

// hasRace reports whether there is a race to draw.
func hasRace(r gates.Result) bool {
	return len(r.Race.LogE) >= 2 && len(r.Race.N) == len(r.Race.LogE)
}

func unitName(r gates.Result) string {
	if strings.HasSuffix(used(r), "pair") || strings.HasSuffix(used(r), "pairs") {
		return "pair"
	}
	return "item"
}

// stopText says why measuring pairs ended.
func stopText(s subject) string {
	t := ""
	if s.Stop != "" {
		t = " Measuring ended: " + sentence(s.Stop)
	}
	if s.PairFailed != "" {
		t += " The next pair could not be measured: " + sentence(s.PairFailed)
	}
	return t
}

// raceRange is the drawn range of log e: the bar always in sight, and a race
// that ran far past it cut so that the crossing stays visible.
func raceRange(r gates.Result) (lo, hi float64) {
	lo, hi = -2, 2
	for _, e := range r.Race.LogE {
		if !math.IsNaN(e) {
			lo, hi = math.Min(lo, e), math.Max(hi, e)
		}
	}
	if r.LogBar > 0 {
		hi = math.Max(r.LogBar*1.15, math.Min(hi, r.LogBar*2.2))
		lo = math.Max(lo, -r.LogBar*1.2)
	}
	return lo, hi
}

func (p *printer) canaryStages(s subject) {
	if s.Canary == nil {
		return
	}
	p.Heading("Canary in the real runtime")
	p.Para(plot.Plain, 2, 0, canarySentence(s.Canary))
	var rows [][]plot.Cell
	for _, st := range s.Canary.Stages {
		rows = append(rows, []plot.Cell{
			{Text: plot.ShareOf(st.Share), Right: true}, {Text: fmt.Sprint(st.Pairs), Right: true}, {Text: evalue(st.LogHarm), Right: true},
			{Text: st.Outcome.String(), Tone: toneOf(st.Outcome)}, {Text: sentence(st.Reason)},
		})
	}
	if len(rows) > 0 {
		p.Table([]string{"traffic", "pairs", "e of harm", "outcome", "why"}, rows, 4)
	}
}

func canarySentence(c *gates.CanaryRecord) string {
	s := "The rollback was not rehearsed."
	if c.Rehearsed {
		s = "The rollback was rehearsed first and worked."
	}
	if c.Failed != "" {
		s += " Failed: " + sentence(c.Failed)
	}
	if c.RolledBack != "" {
		s += " Rolled back: " + sentence(c.RolledBack)
	}
	return s
}

func (p *printer) claim(s subject) {
	if t := claimSentence(s); t != "" {
		p.Heading("What the search claimed")
		p.Para(plot.Plain, 2, 0, t)
	}
}

// claimSentence sets the search's claim beside the fresh estimate.
func claimSentence(s subject) string {
	if s.Reference || s.Claim.Metric == "" {
		return ""
	}
	fresh := s.freshOfClaim()
	if fresh == nil {
		return fmt.Sprintf("The search saw a change of %s in %s over %s. No fresh estimate was made.",
			plot.SignedPercent(s.Claim.Change), plot.Clean(s.Claim.Metric, 60), plot.Count(s.Claim.Evaluations, "evaluation"))
	}
	t := fmt.Sprintf("The search saw %s in %s over %s; fresh data say %s.", change(*fresh, s.Claim.Change), plot.Clean(fresh.Metric, 60),
		plot.Count(s.Claim.Evaluations, "evaluation"), change(*fresh, fresh.Change))
	if d := worse(*fresh, fresh.Change) - worse(*fresh, s.Claim.Change); d > 0 {
		t += " The claim was too good by " + points(*fresh, d) + ", as the best of many tries usually is."
	}
	return t + " Search data never enter the estimate."
}

// points prints a distance between two changes: of two percentages it is in
// points.
func points(r gates.Result, d float64) string {
	f, unit := changeScale(r)
	if unit == "%" {
		unit = "points"
	}
	return strings.Trim(plot.Fixed(math.Abs(f*d), plot.DecimalsFor(f*d))+plot.NBSP+unit, plot.NBSP)
}

// freshOfClaim is the gates' own result for the claimed metric.
func (s subject) freshOfClaim() *gates.Result {
	for i := range s.Results {
		r := &s.Results[i]
		if r.Metric == s.Claim.Metric && r.Perturbation == nil && r.Gate == gates.GateRegression {
			return r
		}
	}
	return nil
}

func (p *printer) plan(s subject) {
	lines := planSentences(s.Plan)
	if len(lines) == 0 {
		return
	}
	p.Heading("What tonight could and could not see")
	for _, l := range lines {
		p.Para(plot.Plain, 2, 0, l)
	}
}

// planSentences say power and blind spot as planned before the first pair.
func planSentences(pl gates.Plan) []string {
	var out []string
	if pl.Metric != "" {
		out = append(out, fmt.Sprintf("Planned on %s: one pair has noise of %s; to find a change of %s, %s were needed and at most %s allowed: power %s.",
			plot.Clean(pl.Metric, 60), plot.Percent(pl.PairSD), plot.Percent(pl.MinEffect), plot.Count(pl.PairsNeeded, "pair"), plot.Grouped(float64(pl.PairsMax)), plot.Percent(pl.Power)))
		if pl.BlindSpot > 0 {
			out = append(out, fmt.Sprintf("Blind spot: a change smaller than %s would more likely than not have been missed tonight.", plot.Percent(pl.BlindSpot)))
		}
	}
	if pl.Underpower {
		out = append(out, "Underpowered: the cap cannot reach 80 % power, so no pair was measured.")
	}
	if pl.Note != "" {
		out = append(out, sentence(pl.Note))
	}
	return out
}

func (p *printer) whatIf(s subject) {
	if len(s.WhatIf) == 0 {
		return
	}
	p.Heading("What would change the verdict")
	for _, t := range s.WhatIf {
		p.Para(plot.Plain, 2, 2, "- "+sentence(t))
	}
}

func (p *printer) origin(s subject) {
	p.Heading("Where it comes from")
	l := s.Lineage
	p.Labelled("found by", 8, plot.Plain, lineageText(l))
	p.Labelled("point", 8, plot.Plain, plot.Clean(string(s.Point), 600))
	p.Labelled("identity", 8, plot.Plain, plot.Clean(string(s.Identity), 80))
	if s.PairsDigest != "" {
		p.Labelled("pairs", 8, plot.Plain, fmt.Sprintf("%d, %s", len(s.Pairs), s.PairsDigest))
	}
	if s.Command != "" {
		p.Para(plot.Faint, 2, 0, "Derive this page again:")
		p.Command(s.Command)
	}
}

func lineageText(l gates.Lineage) string {
	t := plot.Clean(l.Engine, 40)
	if t == "" {
		t = "hand"
	}
	t += fmt.Sprintf(", trial %d", l.Trial)
	if l.Origin != "" {
		t += ", from " + plot.Clean(l.Origin, 80)
	}
	if l.Run != "" {
		t += ", run " + plot.Clean(l.Run, 80)
	}
	return t
}
