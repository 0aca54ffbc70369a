package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// maxPages bounds the candidate sections of one file. A longer night shows
// first those that passed, then the others in the table's order; the rest
// stays in the table and in the machine form.
const maxPages = 60

//go:embed page.tmpl
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML writes the night as one self-contained file: no script, no font, no
// image and no address outside it. Everything from the record is escaped.
func HTML(w io.Writer, n gates.Night) error { return HTMLFor(w, n, Where{}) }

// HTMLFor is HTML with the repository and the channel for the commands.
func HTMLFor(w io.Writer, n gates.Night, at Where) error {
	var b bytes.Buffer
	if err := page.Execute(&b, newPage(&n, at)); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// answer is one of the four questions that a reader comes with.
type answer struct{ Question, Head, Detail, Command string }

type pageView struct {
	Title, Headline, Subtitle, Reason string
	Style                             template.CSS
	Invalid                           bool
	Answers                           []answer
	Funnel                            []funnelView
	Controls                          []controlView
	NoControls                        bool
	Groups                            []groupView
	Heat                              *heatView
	Budget                            []string
	BudgetBar                         template.HTML
	Events                            []string
	Lineage                           []lineageView
	Next                              string
	Commands                          []string
	Explain                           string
	Candidates                        []candidateView
	Omitted                           int
	Facts                             []fact
}

type fact struct{ Name, Value string }

type funnelView struct {
	Gate, Asks, Text string
	Bar              template.HTML
}

type controlView struct{ Word, Class, Name, Place, Want, Reason string }

type groupView struct {
	Line string
	Rows []rowView
}

type rowView struct {
	Anchor, Name, Badge, Standing, Metric, Change, Interval, Evidence, Used, Why string
	HasPage                                                                      bool
}

type heatView struct {
	Contexts []string
	Rows     []heatRow
	Sentence string
}

type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct{ Text, Class string }

type lineageView struct{ Name, Context, From, Type, Claim, Fresh, Point string }

func newPage(n *gates.Night, at Where) pageView {
	v := pageView{
		Title: "Arqon night " + plot.Clean(n.Run, 80), Headline: headline(n) + ".", Subtitle: subtitle(n), Reason: trust(n),
		Style: plot.Style(), Invalid: n.Outcome == gates.Invalid, NoControls: len(n.Controls) == 0,
		Budget: budgetSentences(n), BudgetBar: budgetHTML(n), Next: nextSentence(n, at), Commands: commands(n, at),
		Explain: explaining(n),
	}
	v.Answers = nightAnswers(n, at)
	v.Funnel = funnelViews(n)
	for _, c := range n.Controls {
		v.Controls = append(v.Controls, controlView{
			Word: controlWord(c), Class: badgeClass(controlWord(c)), Name: plot.Clean(c.Name, 60), Place: plot.Clean(controlPlace(c), 120),
			Want: sentence(c.Want), Reason: sentence(c.Reason),
		})
	}
	all := subjects(n)
	shown := pagesOf(all)
	context := "\x00"
	for _, s := range all {
		if s.Context != context {
			context = s.Context
			v.Groups = append(v.Groups, groupView{Line: contextLine(n, context)})
		}
		g := &v.Groups[len(v.Groups)-1]
		g.Rows = append(g.Rows, rowOf(s, shown[s.index]))
		v.Lineage = append(v.Lineage, lineageOf(s))
		if shown[s.index] {
			v.Candidates = append(v.Candidates, newCandidate(s, at))
		} else {
			v.Omitted++
		}
	}
	v.Heat = heatOf(n.Portfolio)
	for i, e := range n.Events {
		if i == 50 {
			v.Events = append(v.Events, fmt.Sprintf("and %d more, in the machine form", len(n.Events)-50))
			break
		}
		v.Events = append(v.Events, eventText(e))
	}
	v.Facts = factsOf(n)
	return v
}

func eventText(e gates.Event) string {
	t := fmt.Sprintf("pair %d", e.Pair+1)
	if e.Candidate != "" {
		t = plot.Clean(e.Candidate, 60) + ", " + t
	}
	return t + ": " + plot.Clean(e.What, 200)
}

// pagesOf chooses the candidates that get a section of their own.
func pagesOf(all []subject) map[int]bool {
	shown := map[int]bool{}
	for _, standing := range []bool{true, false} {
		for _, s := range all {
			if s.stands() == standing && len(shown) < maxPages {
				shown[s.index] = true
			}
		}
	}
	return shown
}

func badgeClass(word string) string {
	switch word {
	case "PASS", "FAIL", "INCONCLUSIVE", "INVALID":
		return word
	}
	return "NONE"
}

func anchor(s subject) string { return fmt.Sprintf("c%d", s.index+1) }

func rowOf(s subject, hasPage bool) rowView {
	r := rowView{
		Anchor: anchor(s), Name: plot.Clean(s.Name, 80), Badge: s.badge().String(), Standing: s.standing(), Why: s.brief(), HasPage: hasPage,
		Metric: "success metric not reached",
	}
	if s.Reference {
		r.Standing = "the baseline itself, " + r.Standing
	}
	if m := s.main; m != nil && m.Decision == gates.Invalid {
		r.Metric = testName(*m) + " could not be judged"
	} else if m != nil {
		r.Metric, r.Change, r.Used = testName(*m), change(*m, m.Change), used(*m)
		if m.Role != benchmarks.Success {
			r.Metric += " (guardrail)"
		}
		if hasInterval(*m) {
			r.Interval = interval(*m)
		}
		r.Evidence = sureness(*m)
	}
	return r
}

func lineageOf(s subject) lineageView {
	l := lineageView{Name: plot.Clean(s.Name, 80), Context: plot.Clean(s.Context, 60), From: lineageText(s.Lineage), Type: plot.Clean(s.Type, 40), Claim: "–", Fresh: "–", Point: pointText(s.Point)}
	if f := s.freshOfClaim(); f != nil && !s.Reference {
		l.Claim, l.Fresh = change(*f, s.Claim.Change), change(*f, f.Change)
	}
	return l
}

// nightAnswers are the four answers for the whole night.
func nightAnswers(n *gates.Night, at Where) []answer {
	stand, all, contexts, served := tally(n)
	why := answer{Question: "Why", Head: fmt.Sprintf("%d of %d passed", stand, all), Detail: refusals(n)}
	much := answer{Question: "By how much", Head: "Nothing", Detail: "No candidate was proven better."}
	if gains := bestGains(n); len(gains) > 0 {
		much.Head, much.Detail = fmt.Sprintf("%d of %s improved", served, plot.Count(contexts, "context")), strings.Join(gains, "; ")+"."
	}
	sure := answer{Question: "How sure", Head: "Nothing was tested"}
	if a := n.Alpha; a.Night > 0 && a.K > 0 {
		sure.Head = "At most " + oneIn(a.Night)
		sure.Detail = fmt.Sprintf("is the chance that anything was promoted falsely tonight: each of %s had to reach e ≥ %s.", plot.Count(a.K, "candidate"), evalue(a.LogBar))
	}
	next := answer{Question: "What next", Head: "Search again", Detail: nextSentence(n, at)}
	if stand > 0 {
		next.Head, next.Detail = "Sign and publish", "The commands are under “What next”."
		if approved(n) {
			next.Head = "Publish and run"
			if at.Embedded {
				next.Head = "Publish"
			}
		}
	}
	if n.Outcome == gates.Invalid {
		why.Head, why.Detail = "A check failed", sentence(n.Reason)
		much.Head, much.Detail = "Nothing counts", "Tonight's numbers are shown, but none of them may be used."
		sure.Head, sure.Detail = "Not sure at all", "A night is only as good as its controls."
		next.Head = "Judge again"
	}
	return []answer{why, much, sure, next}
}

// refusals says where the others were stopped.
func refusals(n *gates.Night) string {
	var parts []string
	for _, g := range gates.Order() {
		stopped := 0
		for i := range n.Candidates {
			if s := newSubject(n, i); !s.stands() && !s.Reference && s.Gate == g {
				stopped++
			}
		}
		if stopped > 0 {
			parts = append(parts, fmt.Sprintf("%d at %s", stopped, g))
		}
	}
	if len(parts) == 0 {
		return "None was stopped."
	}
	return "Stopped: " + strings.Join(parts, ", ") + "."
}

// bestGains lists the best standing candidate of each context.
func bestGains(n *gates.Night) []string {
	var out []string
	done := map[string]bool{}
	for _, s := range subjects(n) {
		if !s.stands() || s.Reference || s.main == nil || done[s.Context] {
			continue
		}
		done[s.Context] = true
		out = append(out, plot.Clean(s.Context, 40)+": "+plot.Clean(s.main.Metric, 40)+" "+changeWords(*s.main, s.main.Change))
	}
	return out
}

func funnelViews(n *gates.Night) []funnelView {
	most := 1
	for _, g := range n.Funnel {
		most = max(most, g.Entered)
	}
	var out []funnelView
	for i, g := range n.Funnel {
		text := fmt.Sprintf("%d entered: %d passed", g.Entered, g.Pass)
		for _, k := range []struct {
			n    int
			word string
		}{{g.Fail, "failed"}, {g.Inconclusive, "inconclusive"}, {g.Invalid, "invalid"}} {
			if k.n > 0 {
				text += fmt.Sprintf(", %d %s", k.n, k.word)
			}
		}
		_, asks, _ := strings.Cut(gateTitle(g.Gate), ": ")
		d := plot.NewStrip(fmt.Sprintf("funnel%d", i), g.Gate, text, 320, 18)
		d.Rect("b-rest", 0, 7, 320, 4, 2)
		x, unit := 0.0, 320/float64(most)
		for _, k := range []struct {
			n     int
			class string
		}{{g.Pass, "b-PASS"}, {g.Fail, "b-FAIL"}, {g.Inconclusive, "b-INCONCLUSIVE"}, {g.Invalid, "b-INVALID"}} {
			if k.n > 0 {
				d.Rect(k.class, x, 2, math.Max(float64(k.n)*unit-1.5, 1), 14, 2)
				x += float64(k.n) * unit
			}
		}
		out = append(out, funnelView{Gate: plot.Clean(g.Gate, 40), Asks: asks, Text: text, Bar: d.Done()})
	}
	return out
}

func heatOf(f *gates.Portfolio) *heatView {
	if f == nil || len(f.Chosen) == 0 {
		return nil
	}
	h := &heatView{Sentence: portfolioSentence(f)}
	for _, c := range f.Contexts {
		h.Contexts = append(h.Contexts, plot.Clean(c, 60))
	}
	best := bestPerContext(f)
	for i, pick := range f.Chosen {
		row := heatRow{Name: plot.Clean(pick.Name, 80)}
		for j := range f.Contexts {
			row.Cells = append(row.Cells, heatCell{Text: lossText(pick, j, best[j] == i), Class: heatClass(pick, j, best[j] == i)})
		}
		h.Rows = append(h.Rows, row)
	}
	return h
}

// heatClass is the shade of a loss; the number in the cell says the same.
func heatClass(p gates.PortfolioPick, j int, best bool) string {
	l, ok := loss(p, j)
	class := ""
	switch {
	case !ok:
	case l <= -.5:
		class = "g3"
	case l <= -.2:
		class = "g2"
	case l <= -.02:
		class = "g1"
	case l >= .2:
		class = "w2"
	case l >= .02:
		class = "w1"
	}
	if best {
		class += " pick"
	}
	return strings.TrimSpace(class)
}

// budgetHTML draws the year's error budget.
func budgetHTML(n *gates.Night) template.HTML {
	a := n.Alpha
	if a.Year <= 0 {
		return ""
	}
	const w = 400.0
	d := plot.NewDrawing("budget", "Error budget of the year", fmt.Sprintf("%s of %s spent, tonight %s.", plot.Percent(a.Spent), plot.Percent(a.Year), plot.Compact(a.Night)), w, 40)
	x := plot.Scale{Lo: 0, Hi: a.Year, From: 0, To: w}
	d.Rect("b-rest", 0, 4, w, 12, 2)
	before := math.Max(0, a.Spent-a.Night)
	d.Rect("dot-ink", 0, 4, x.At(before), 12, 2)
	d.Rect("b-INCONCLUSIVE", x.At(before), 2, math.Max(x.At(a.Spent)-x.At(before), 1.5), 16, 0)
	d.Text("", "start", 0, 34, "spent "+plot.Percent(a.Spent)+" in "+plot.Count(a.Nights, "night"))
	d.Text("", "end", w, 34, "the year's "+plot.Percent(a.Year))
	return d.Done()
}

func factsOf(n *gates.Night) []fact {
	fs := []fact{
		{"Run", plot.Clean(n.Run, 80)},
		{"Study, domain", plot.Clean(n.Study+", "+strings.TrimSpace(n.Domain+" "+n.Version), 160)},
		{"Night seed", fmt.Sprint(n.Seed)},
		{"Host", host(n)},
		{"Built with", plot.Clean(n.Host.Go, 40)},
		{"Time", plot.Clean(n.Started+" to "+n.Ended, 80)},
		{"Outcome", n.Outcome.String() + ": " + plot.Clean(n.Reason, 400)},
		{"Policy", plot.Clean(string(n.PolicyDigest), 80)},
		{"Record", plot.Clean(n.Schema, 40)},
	}
	var out []fact
	for _, f := range fs {
		if strings.Trim(f.Value, " to,") != "" {
			out = append(out, f)
		}
	}
	return out
}

// scopeWords says what a scope lets a candidate do.
func scopeWords(s catalog.Scope) string {
	switch s {
	case catalog.ScopeProd:
		return "production"
	case catalog.ScopeStaging:
		return "staging"
	case catalog.ScopeCanary:
		return "canary only"
	}
	return "none"
}

// mainMeasured is the measured metric whose pairs are worth drawing: the
// success metric if it is measured, else the guardrail that the plan is about,
// else the first one.
func (s subject) mainMeasured() *gates.Result {
	var first *gates.Result
	for i := range s.Results {
		r := &s.Results[i]
		if r.Kind != benchmarks.Measured || r.Gate != gates.GateRegression {
			continue
		}
		if r.Role == benchmarks.Success {
			return r
		}
		if first == nil || r.Metric == s.Plan.Metric && first.Metric != s.Plan.Metric {
			first = r
		}
	}
	return first
}
