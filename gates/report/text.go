package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// Text writes the night page for a terminal.
func Text(w io.Writer, n gates.Night, o TextOptions) error {
	p := newPrinter(w, o)
	p.nightHead(&n)
	p.controls(&n)
	p.funnel(&n)
	p.candidates(&n)
	p.portfolio(&n)
	p.budget(&n)
	p.next(&n)
	return p.Err()
}

// toneOf maps an outcome to a tone; the word is always printed too.
func toneOf(o gates.Outcome) plot.Tone {
	switch o {
	case gates.Pass:
		return plot.Good
	case gates.Fail:
		return plot.Bad
	case gates.Inconclusive, gates.Invalid:
	}
	return plot.Unsure
}

func (p *printer) nightHead(n *gates.Night) {
	t := plot.Good
	if n.Outcome != gates.Pass || standing(n) == 0 {
		t = plot.Unsure
	}
	if n.Outcome == gates.Invalid {
		t = plot.Bad
	}
	p.Para(t, 0, 0, headline(n)+".")
	if t := trust(n); t != "" {
		p.Para(plot.Plain, 0, 0, t)
	}
	p.Para(plot.Faint, 0, 2, subtitle(n))
}

// subtitle says which night this is.
func subtitle(n *gates.Night) string {
	parts := []string{"run " + plot.Clean(n.Run, 80), "study " + plot.Clean(n.Study, 80), "domain " + plot.Clean(strings.TrimSpace(n.Domain+" "+n.Version), 80),
		fmt.Sprintf("seed %d", n.Seed)}
	if h := host(n); h != "" {
		parts = append(parts, h)
	}
	if n.Started != "" {
		parts = append(parts, plot.Clean(n.Started, 40))
	}
	return strings.Join(parts, " · ")
}

func host(n *gates.Night) string {
	h := strings.TrimSpace(plot.Clean(n.Host.OS, 20) + "/" + plot.Clean(n.Host.Arch, 20))
	if h == "/" {
		return ""
	}
	if n.Host.CPU != "" {
		h = plot.Clean(n.Host.CPU, 60) + ", " + h
	}
	if n.Host.Cores > 0 {
		h += ", " + plot.Count(n.Host.Cores, "core")
	}
	return h
}

func (p *printer) controls(n *gates.Night) {
	p.Heading("Controls (the night's checks on itself)")
	if len(n.Controls) == 0 {
		p.Para(plot.Unsure, 2, 0, "No control was run: nothing shows that tonight's measurements could be trusted.")
		return
	}
	var rows [][]plot.Cell
	for _, c := range n.Controls {
		rows = append(rows, []plot.Cell{
			{Text: controlWord(c), Tone: toneOf(c.Outcome)}, {Text: c.Name}, {Text: controlPlace(c)}, {Text: sentence(c.Reason)},
		})
	}
	p.Table([]string{"outcome", "control", "where", "what it saw"}, rows, 3)
}

// controlWord is a control's outcome: one that could not apply is not a doubt.
func controlWord(c gates.Control) string {
	if c.Outcome == gates.Inconclusive {
		return "N/A"
	}
	return c.Outcome.String()
}

func controlPlace(c gates.Control) string {
	if c.Metric == "" {
		return c.Context
	}
	return c.Context + ", " + c.Metric
}

func (p *printer) funnel(n *gates.Night) {
	if len(n.Funnel) == 0 {
		return
	}
	p.Heading("Gates (every candidate meets them in this order)")
	var rows [][]plot.Cell
	most := 1
	for _, g := range n.Funnel {
		most = max(most, g.Entered)
	}
	num := func(k int) plot.Cell { return plot.Cell{Text: fmt.Sprint(k), Right: true} }
	for _, g := range n.Funnel {
		bar := strings.Repeat("█", barCells(g.Pass, most)) + strings.Repeat("░", barCells(g.Entered, most)-barCells(g.Pass, most))
		rows = append(rows, []plot.Cell{{Text: g.Gate}, num(g.Entered), num(g.Pass), num(g.Fail), num(g.Inconclusive), num(g.Invalid), {Text: bar}})
	}
	p.Table([]string{"gate", "entered", "pass", "fail", "inconcl.", "invalid", ""}, rows, 6)
}

func barCells(k, most int) int {
	if k > 0 {
		return max(1, k*20/most)
	}
	return 0
}

func (p *printer) candidates(n *gates.Night) {
	p.Heading("Candidates")
	if len(n.Candidates) == 0 {
		p.Para(plot.Plain, 2, 0, "None reached the gates.")
		return
	}
	context := "\x00"
	for _, s := range subjects(n) {
		if s.Context != context {
			context = s.Context
			p.Raw("  " + p.Paint(plot.Strong, p.PlainText(contextLine(n, context))) + "\n")
		}
		p.candidateLine(s)
	}
}

// contextLine says what a context got out of the night.
func contextLine(n *gates.Night, context string) string {
	stand, all := 0, 0
	for _, s := range subjects(n) {
		if s.Context == context && !s.Reference {
			all++
			if s.stands() {
				stand++
			}
		}
	}
	if all == 0 {
		return plot.Clean(context, 60) + ": the search brought no candidate, the baseline stays"
	}
	line := fmt.Sprintf("%s: %d of %d proven better", plot.Clean(context, 60), stand, all)
	if stand == 0 && n.Outcome == gates.Pass {
		line += ", the baseline stays"
	}
	return line
}

func (p *printer) candidateLine(s subject) {
	name := plot.Clean(s.Name, 60)
	if s.Reference {
		name += " (baseline)"
	}
	badge := p.PlainText(s.badge().String())
	p.Raw("    " + p.Paint(toneOf(s.badge()), plot.Pad(badge, 12)) + "  " + p.Paint(plot.Strong, p.Short(name, max(p.Columns-18, 12))) + "\n")
	if s.main != nil {
		p.Para(plot.Plain, 18, 0, testName(*s.main)+" "+numbers(*s.main))
	}
	p.Para(plot.Faint, 18, 0, s.brief())
	if w := s.underWaivers(); w != "" {
		p.Para(plot.Plain, 18, 0, "Judged"+w+".")
	}
}

// numbers is a result in one line: change, interval, evidence, sample.
func numbers(r gates.Result) string {
	if r.Decision == gates.Invalid {
		return "could not be judged"
	}
	parts := []string{change(r, r.Change)}
	if r.Test == gates.TestLimit && r.Limit != nil {
		v, limit := apartValues(unitOf(r), r.Candidate, *r.Limit)
		parts[0] = v + " against the limit " + limit
	}
	if hasInterval(r) {
		parts[0] += " " + interval(r)
	}
	if s := sureness(r); s != "no test" {
		parts = append(parts, s)
	}
	return strings.Join(append(parts, used(r)), "; ")
}

func (p *printer) portfolio(n *gates.Night) {
	if n.Portfolio == nil || len(n.Portfolio.Chosen) == 0 {
		return
	}
	f := n.Portfolio
	p.Heading("Portfolio (search's loss by context: below 0 is better than the baseline)")
	head := []string{"variant"}
	best := bestPerContext(f)
	for _, c := range f.Contexts {
		head = append(head, p.Short(c, 12))
	}
	var rows [][]plot.Cell
	for i, pick := range f.Chosen {
		row := []plot.Cell{{Text: plot.Clean(pick.Name, 40)}}
		for j := range f.Contexts {
			row = append(row, plot.Cell{Text: lossText(pick, j, best[j] == i), Right: true})
		}
		rows = append(rows, row)
	}
	p.Table(head, rows, 0)
	p.Para(plot.Plain, 2, 0, portfolioSentence(f))
}

// bestPerContext returns the index of the pick with the smallest loss in each
// context, −1 if none was measured there.
func bestPerContext(f *gates.Portfolio) []int {
	best := make([]int, len(f.Contexts))
	for j := range best {
		best[j] = -1
		for i, pick := range f.Chosen {
			l, ok := loss(pick, j)
			if !ok {
				continue
			}
			if b, okb := loss(f.Chosen[max(best[j], 0)], j); best[j] < 0 || !okb || l < b {
				best[j] = i
			}
		}
	}
	return best
}

// loss is a pick's loss in context j, if it was measured there.
func loss(p gates.PortfolioPick, j int) (float64, bool) {
	if j >= len(p.Losses) || p.Losses[j] == nil || math.IsNaN(*p.Losses[j]) {
		return 0, false
	}
	return *p.Losses[j], true
}

func lossText(p gates.PortfolioPick, j int, best bool) string {
	l, ok := loss(p, j)
	if !ok {
		return "n/a"
	}
	s := plot.Signed(l, plot.DecimalsFor(l))
	if math.Abs(l) >= 1000 {
		s = "infeasible"
	}
	if best {
		s += " *"
	}
	return s
}

func portfolioSentence(f *gates.Portfolio) string {
	s := fmt.Sprintf("Choosing one of %s by context closes %s of the gap between the single best variant and the best variant everywhere. * marks the best in its context.",
		plot.Count(len(f.Chosen), "variant"), plot.Percent(f.GapClosed))
	if f.Note != "" {
		s += " " + sentence(f.Note)
	}
	return s
}

func (p *printer) budget(n *gates.Night) {
	p.Heading("Error budget")
	for _, s := range budgetSentences(n) {
		p.Para(plot.Plain, 2, 0, s)
	}
}

// budgetSentences explain the error control in words and numbers.
func budgetSentences(n *gates.Night) []string {
	a := n.Alpha
	var out []string
	if a.Night > 0 && a.K > 0 {
		out = append(out, fmt.Sprintf("The chance that anything at all was promoted falsely tonight is at most %s; %s registered before the first measurement, so each had to reach e ≥ %s.",
			oneIn(a.Night), plot.Count(a.K, "candidate")+" "+wasWere(a.K), evalue(a.LogBar)))
	}
	if a.Year > 0 {
		out = append(out, fmt.Sprintf("This year: %s of %s spent in %s, %s left.",
			plot.Percent(a.Spent), plot.Percent(a.Year), plot.Count(a.Nights, "night"), plot.Percent(math.Max(0, a.Year-a.Spent))))
	}
	if t := noiseSentence(n); t != "" {
		out = append(out, t)
	}
	if len(out) == 0 {
		out = append(out, "No error budget was charged: nothing was tested.")
	}
	return out
}

// noiseSentence lists what identical code did tonight, by context.
func noiseSentence(n *gates.Night) string {
	if len(n.Noise) == 0 {
		return ""
	}
	context, t := "\x00", "Noise floor: so much did identical code differ tonight, and no smaller change is claimed."
	for _, f := range n.Noise {
		sep := ", "
		if f.Context != context {
			context, sep = f.Context, " "+plot.Clean(f.Context, 60)+": "
			if strings.HasSuffix(t, "%") {
				sep = ";" + sep
			}
		}
		t += sep + plot.Clean(f.Metric, 60) + " " + plot.Percent(f.Floor)
	}
	return t + "."
}

func wasWere(k int) string {
	if k == 1 {
		return "was"
	}
	return "were"
}

func (p *printer) next(n *gates.Night) {
	p.Heading("What next")
	p.Para(plot.Plain, 2, 0, nextSentence(n, p.where))
	for _, c := range commands(n, p.where) {
		p.Command(c)
	}
	if c := explaining(n); c != "" {
		p.Para(plot.Faint, 2, 0, "Why a metric was judged as it was:")
		p.Command(c)
	}
}

// explaining is the command that explains one of the metrics, "" if a night
// ended before any was judged.
func explaining(n *gates.Night) string {
	if m := anyMetric(n); m != "" {
		return "arqon report " + ShellWord(n.Run) + " --explain " + ShellWord(m)
	}
	return ""
}

func anyMetric(n *gates.Night) string {
	for i := range n.Candidates {
		if s := newSubject(n, i); s.main != nil {
			return s.main.Metric
		}
	}
	return ""
}

func nextSentence(n *gates.Night, w Where) string {
	last := "run it:"
	if w.Embedded {
		last = "look at what your service will take over:"
	}
	switch {
	case n.Outcome == gates.Invalid:
		return "Nothing may be promoted. Find out why a control failed, then run another night; pairs already measured are kept."
	case candidatesOf(n) == 0:
		return "The search brought nothing that keeps the limits and is better than the baseline. Look at how it went, and give it more evaluations or a wider space."
	case standing(n) == 0:
		return "There is nothing to publish. Look at what would change the verdicts, then search again."
	}
	if approved(n) {
		return "The approvals are in, and the night publishes by itself then. Check what was published, and " + last
	}
	return "Sign the proposal, publish it, check what was published, and " + last
}
