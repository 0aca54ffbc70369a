package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/arqon/arqon/gates"
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
	return p.err
}

// toneOf maps an outcome to a tone; the word is always printed too.
func toneOf(o gates.Outcome) tone {
	switch o {
	case gates.Pass:
		return good
	case gates.Fail:
		return bad
	case gates.Inconclusive, gates.Invalid:
	}
	return unsure
}

func (p *printer) nightHead(n *gates.Night) {
	t := good
	if n.Outcome != gates.Pass || standing(n) == 0 {
		t = unsure
	}
	if n.Outcome == gates.Invalid {
		t = bad
	}
	p.para(t, 0, 0, headline(n)+".")
	if t := trust(n); t != "" {
		p.para(plain, 0, 0, t)
	}
	p.para(faint, 0, 2, subtitle(n))
}

// subtitle says which night this is.
func subtitle(n *gates.Night) string {
	parts := []string{"run " + clean(n.Run, 80), "study " + clean(n.Study, 80), "domain " + clean(strings.TrimSpace(n.Domain+" "+n.Version), 80),
		fmt.Sprintf("seed %d", n.Seed)}
	if h := host(n); h != "" {
		parts = append(parts, h)
	}
	if n.Started != "" {
		parts = append(parts, clean(n.Started, 40))
	}
	return strings.Join(parts, " · ")
}

func host(n *gates.Night) string {
	h := strings.TrimSpace(clean(n.Host.OS, 20) + "/" + clean(n.Host.Arch, 20))
	if h == "/" {
		return ""
	}
	if n.Host.CPU != "" {
		h = clean(n.Host.CPU, 60) + ", " + h
	}
	if n.Host.Cores > 0 {
		h += ", " + count(n.Host.Cores, "core")
	}
	return h
}

func (p *printer) controls(n *gates.Night) {
	p.heading("Controls (the night's checks on itself)")
	if len(n.Controls) == 0 {
		p.para(unsure, 2, 0, "No control was run: nothing shows that tonight's measurements could be trusted.")
		return
	}
	var rows [][]cell
	for _, c := range n.Controls {
		rows = append(rows, []cell{
			{s: controlWord(c), tone: toneOf(c.Outcome)}, {s: c.Name}, {s: controlPlace(c)}, {s: sentence(c.Reason)},
		})
	}
	p.table([]string{"outcome", "control", "where", "what it saw"}, rows, 3)
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
	p.heading("Gates (every candidate meets them in this order)")
	var rows [][]cell
	most := 1
	for _, g := range n.Funnel {
		most = max(most, g.Entered)
	}
	num := func(k int) cell { return cell{s: fmt.Sprint(k), right: true} }
	for _, g := range n.Funnel {
		bar := strings.Repeat("█", barCells(g.Pass, most)) + strings.Repeat("░", barCells(g.Entered, most)-barCells(g.Pass, most))
		rows = append(rows, []cell{{s: g.Gate}, num(g.Entered), num(g.Pass), num(g.Fail), num(g.Inconclusive), num(g.Invalid), {s: bar}})
	}
	p.table([]string{"gate", "entered", "pass", "fail", "inconcl.", "invalid", ""}, rows, 6)
}

func barCells(k, most int) int {
	if k > 0 {
		return max(1, k*20/most)
	}
	return 0
}

func (p *printer) candidates(n *gates.Night) {
	p.heading("Candidates")
	if len(n.Candidates) == 0 {
		p.para(plain, 2, 0, "None reached the gates.")
		return
	}
	context := "\x00"
	for _, s := range subjects(n) {
		if s.Context != context {
			context = s.Context
			p.raw("  " + p.paint(strong, p.plainText(contextLine(n, context))) + "\n")
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
	line := fmt.Sprintf("%s: %d of %d proven better", clean(context, 60), stand, all)
	if stand == 0 && n.Outcome == gates.Pass {
		line += ", the baseline stays"
	}
	return line
}

func (p *printer) candidateLine(s subject) {
	name := clean(s.Name, 60)
	if s.Reference {
		name += " (baseline)"
	}
	badge := p.plainText(s.badge().String())
	p.raw("    " + p.paint(toneOf(s.badge()), pad(badge, 12)) + "  " + p.paint(strong, p.short(name, max(p.cols-18, 12))) + "\n")
	if s.main != nil {
		p.para(plain, 18, 0, testName(*s.main)+" "+numbers(*s.main))
	}
	p.para(faint, 18, 0, s.brief())
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
	p.heading("Portfolio (search's loss by context: below 0 is better than the baseline)")
	head := []string{"variant"}
	best := bestPerContext(f)
	for _, c := range f.Contexts {
		head = append(head, p.short(c, 12))
	}
	var rows [][]cell
	for i, pick := range f.Chosen {
		row := []cell{{s: clean(pick.Name, 40)}}
		for j := range f.Contexts {
			row = append(row, cell{s: lossText(pick, j, best[j] == i), right: true})
		}
		rows = append(rows, row)
	}
	p.table(head, rows, 0)
	p.para(plain, 2, 0, portfolioSentence(f))
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
	s := signed(l, decimalsFor(l))
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
		count(len(f.Chosen), "variant"), percent(f.GapClosed))
	if f.Note != "" {
		s += " " + sentence(f.Note)
	}
	return s
}

func (p *printer) budget(n *gates.Night) {
	p.heading("Error budget")
	for _, s := range budgetSentences(n) {
		p.para(plain, 2, 0, s)
	}
}

// budgetSentences explain the error control in words and numbers.
func budgetSentences(n *gates.Night) []string {
	a := n.Alpha
	var out []string
	if a.Night > 0 && a.K > 0 {
		out = append(out, fmt.Sprintf("The chance that anything at all was promoted falsely tonight is at most %s; %s registered before the first measurement, so each had to reach e ≥ %s.",
			oneIn(a.Night), count(a.K, "candidate")+" "+wasWere(a.K), evalue(a.LogBar)))
	}
	if a.Year > 0 {
		out = append(out, fmt.Sprintf("This year: %s of %s spent in %s, %s left.",
			percent(a.Spent), percent(a.Year), count(a.Nights, "night"), percent(math.Max(0, a.Year-a.Spent))))
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
			context, sep = f.Context, " "+clean(f.Context, 60)+": "
			if strings.HasSuffix(t, "%") {
				sep = ";" + sep
			}
		}
		t += sep + clean(f.Metric, 60) + " " + percent(f.Floor)
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
	p.heading("What next")
	p.para(plain, 2, 0, nextSentence(n))
	for _, c := range commands(n, p.opts.Where) {
		p.command(c)
	}
	p.para(faint, 2, 0, "Why a metric was judged as it was:")
	p.command("arqon report " + shellWord(n.Run) + " --explain " + shellWord(anyMetric(n)))
}

func anyMetric(n *gates.Night) string {
	for i := range n.Candidates {
		if s := newSubject(n, i); s.main != nil {
			return s.main.Metric
		}
	}
	return "METRIC"
}

func nextSentence(n *gates.Night) string {
	switch {
	case n.Outcome == gates.Invalid:
		return "Nothing may be promoted. Find out why a control failed, then run another night; pairs already measured are kept."
	case standing(n) == 0:
		return "There is nothing to publish. Look at what would change the verdicts, then search again."
	}
	if approved(n) {
		return "The approvals are in, and the night publishes by itself then. Check what was published, and run it:"
	}
	return "Sign the proposal, publish it, check what was published, and run it:"
}
