package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"sort"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

type candidateView struct {
	Anchor, Name, Badge, Verdict, Context string
	Answers                               []answer
	Gates                                 []gateView
	Axis                                  template.HTML
	Forest                                []forestView
	Figures                               []figureView
	Checks                                []string
	Items                                 []string
	Canary                                []stageView
	CanaryText                            string
	Plan                                  []string
	Waivers                               []string
	Claim                                 string
	Budget                                string
	Controls                              string
	WhatIf                                []string
	Facts                                 []fact
	Command                               string
}

type gateView struct{ Gate, Word, Class, Asks, Reason string }

type forestView struct {
	Group, Name, Word, Class, Numbers, Asks, Reason string
	Plot                                            template.HTML
}

type figureView struct {
	Title, Text string
	Plot        template.HTML
	Legend      []string
}

type stageView struct{ Share, Pairs, Harm, Metric, Word, Reason string }

func newCandidate(s subject, at Where) candidateView {
	v := candidateView{
		Anchor: anchor(s), Name: plot.Clean(s.Name, 80), Badge: s.badge().String(), Context: plot.Clean(s.Context, 60), Verdict: s.verdictNumbers(),
		Plan: planSentences(s.Plan), Waivers: waiverSentences(s), Claim: claimSentence(s), Command: plot.Clean(s.Command, 400),
	}
	v.Answers = s.answers(at)
	v.Gates = gateViews(s)
	v.forest(s)
	v.figures(s)
	for _, c := range s.Checks {
		if !c.Pass && len(v.Checks) < 10 {
			v.Checks = append(v.Checks, fmt.Sprintf("%s, seed %d: %s", plot.Clean(c.Name, 80), c.Seed, sentence(c.Detail)))
		}
	}
	if s.Canary != nil {
		v.CanaryText = canarySentence(s.Canary)
		for _, st := range s.Canary.Stages {
			v.Canary = append(v.Canary, stageView{Share: plot.ShareOf(st.Share), Pairs: fmt.Sprint(st.Pairs), Harm: evalue(st.LogHarm), Metric: plot.Clean(st.Metric, 60), Word: st.Outcome.String(), Reason: sentence(st.Reason)})
		}
	}
	v.Controls = controlsSentence(s)
	v.Budget = budgetSentence(s)
	for _, t := range s.WhatIf {
		v.WhatIf = append(v.WhatIf, sentence(t))
	}
	v.Facts = candidateFacts(s)
	return v
}

// verdictNumbers is the one sentence of why, with the numbers in it.
func (s subject) verdictNumbers() string {
	t := strings.ToUpper(s.standing()[:1]) + s.standing()[1:]
	r := s.question()
	if r == nil || r.Decision == gates.Invalid || !s.stands() && s.decided == nil {
		return t + ". " + s.because()
	}
	t += fmt.Sprintf(": %s %s", testName(*r), changeWords(*r, r.Change))
	if hasInterval(*r) {
		t += ", " + level(r.Alpha) + " interval " + interval(*r)
	}
	switch {
	case r.Limit != nil && r.Test == gates.TestLimit:
		_, limit := apartValues(unitOf(*r), r.Candidate, *r.Limit)
		t += ", limit " + limit
	case r.Test == gates.TestNotWorse:
		t += ", " + required(*r)
	}
	if q := sureness(*r); q != "no test" {
		t += ", " + q
	}
	return t + ", " + used(*r) + "."
}

// answers are the four answers for one candidate.
func (s subject) answers(at Where) []answer {
	passed := 0
	for _, f := range s.Findings {
		if f.Outcome == gates.Pass {
			passed++
		}
	}
	why := answer{Question: "Why", Head: fmt.Sprintf("%d of %s passed", passed, plot.Count(len(gates.Order()), "gate")), Detail: s.because()}
	if s.night.Outcome == gates.Invalid {
		why.Head, why.Detail = "The night is invalid", sentence(s.night.Reason)
	}
	much := answer{Question: "By how much"}
	much.Head, much.Detail = s.howMuch()
	sure := answer{Question: "How sure"}
	sure.Head, sure.Detail = s.howSure()
	next := answer{Question: "What next"}
	next.Head, next.Detail, next.Command = s.whatNext(at)
	return []answer{why, much, sure, next}
}

func gateViews(s subject) []gateView {
	var out []gateView
	for _, g := range gates.Order() {
		_, asks, _ := strings.Cut(gateTitle(g), ": ")
		v := gateView{Gate: g, Word: "not reached", Class: "NONE", Asks: asks}
		for _, f := range s.Findings {
			if f.Gate == g {
				v.Word, v.Class, v.Reason = f.Outcome.String(), f.Outcome.String(), sentence(f.Reason)
			}
		}
		out = append(out, v)
	}
	return out
}

func (v *candidateView) forest(s subject) {
	if len(s.Results) == 0 {
		return
	}
	f := newForest(s.Results, s.night.Policy.MinEffect)
	v.Axis = axisHTML(f, v.Anchor+"-axis")
	gate := ""
	for i, row := range f.rows {
		r := row.r
		fv := forestView{
			Name: testName(r), Word: r.Decision.String(), Class: r.Decision.String(), Numbers: numbers(r), Asks: asks(r),
			Plot: forestHTML(f, row, fmt.Sprintf("%s-f%d", v.Anchor, i)),
		}
		if r.Decision != gates.Pass {
			fv.Reason = sentence(r.Reason)
		}
		if r.Gate != gate {
			gate = r.Gate
			fv.Group = gateTitle(gate)
		}
		v.Forest = append(v.Forest, fv)
	}
}

// asks is what a forest row's numbers are held against.
func asks(r gates.Result) string {
	if r.Decision == gates.Invalid {
		return required(r)
	}
	return values(r) + "; " + required(r)
}

// figures adds the charts that the record has data for.
func (v *candidateView) figures(s subject) {
	for i, g := range raceGroups(s) {
		fig := figureView{
			Title: "Evidence as it came in",
			Text:  "e grows when the data speak for the candidate. It may be looked at after every " + g.unit + ": the bar holds at any stopping time.",
			Plot:  raceHTML(g, fmt.Sprintf("%s-race%d", v.Anchor, i)),
		}
		styles := []string{"solid", "dashed", "dotted", "dash-dotted"}
		for j, r := range g.rs {
			fig.Legend = append(fig.Legend, fmt.Sprintf("%s: %s (%s), %s", styles[j], testName(r), r.Test, sureness(r)))
		}
		if g.unit == "pair" {
			fig.Text += stopText(s)
		} else if n := g.rs[0].Race.N; n[0] > 1 {
			fig.Text += fmt.Sprintf(" The record keeps e from item %s on, every %s items; straight lines join what it keeps.", plot.Grouped(float64(n[0])), plot.Grouped(float64(n[1]-n[0])))
		}
		v.Figures = append(v.Figures, fig)
	}
	v.pairFigures(s)
	v.itemFigures(s)
	if fresh := s.freshOfClaim(); fresh != nil && !s.Reference {
		text := v.Claim
		v.Claim = "" // said with the figure
		v.Figures = append(v.Figures, figureView{Title: "The search's claim and the fresh estimate", Text: text, Plot: claimHTML(s, *fresh, v.Anchor+"-claim"), Legend: []string{"diamond: what the search saw", "dot and bar: what the gates measured, with its interval"}})
	}
}

func (v *candidateView) pairFigures(s subject) {
	r := s.mainMeasured()
	if r == nil {
		return
	}
	points := pairPoints(s.Pairs, r.Metric)
	if len(points) < 2 {
		return
	}
	marked := 0
	ys := make([]float64, len(points))
	var base, cand []float64
	for i, p := range points {
		ys[i] = p.ratio
		if p.marked {
			marked++
		}
	}
	for _, p := range s.Pairs {
		if a, b := p.A[r.Metric], p.B[r.Metric]; a > 0 && b > 0 {
			base, cand = append(base, a), append(cand, b)
		}
	}
	sort.Float64s(ys)
	sort.Float64s(base)
	sort.Float64s(cand)
	run := figureView{
		Title: "Every pair of " + plot.Clean(r.Metric, 60) + ", in time order",
		Text:  fmt.Sprintf("Candidate against the baseline measured next to it; a coin chose which went first. %s.", disturbed(marked, len(points))),
		Plot:  runHTML(s, *r, points, v.Anchor+"-run"), Legend: []string{"filled: baseline first", "ring: candidate first", "diamond: machine disturbed", "long dashes: median"},
	}
	if len(tolerances(*r)) > 1 {
		run.Legend = append(run.Legend, "short dashes: tolerance")
	}
	diamonds := markedPairs(points)
	for _, e := range s.night.Events {
		if e.Candidate == s.Name && e.Context == s.Context && !diamonds[e.Pair] {
			run.Legend = append(run.Legend, fmt.Sprintf("dotted line: %s (pair %d)", plot.Clean(e.What, 80), e.Pair+1))
			if len(run.Legend) > 8 {
				break
			}
		}
	}
	if len(points) > maxPoints {
		run.Text += fmt.Sprintf(" %d of %s are drawn.", maxPoints, plot.Count(len(points), "pair"))
	}
	v.Figures = append(v.Figures, run,
		figureView{Title: "Distribution of the paired changes", Text: fmt.Sprintf("Half of the pairs lie below %s, nine tenths between %s and %s.", plot.SignedPercent(quantileSorted(ys, .5)), plot.SignedPercent(quantileSorted(ys, .05)), plot.SignedPercent(quantileSorted(ys, .95))), Plot: ecdfHTML(*r, ys, v.Anchor+"-ecdf")},
		figureView{Title: "Shift of the quantiles of " + plot.Clean(r.Metric, 60), Text: "How much the candidate moves each tenth of the distribution: a flat line is a shift, a slope means that fast and slow cases moved differently.", Plot: shiftHTML(*r, base, cand, v.Anchor+"-shift")})
}

func disturbed(marked, all int) string {
	if marked == 0 {
		return "The machine was undisturbed throughout"
	}
	return fmt.Sprintf("The machine was disturbed in %d of %s", marked, plot.Count(all, "pair"))
}

// itemFigures explain results that were judged item by item.
func (v *candidateView) itemFigures(s subject) {
	for i := range s.Results {
		r := &s.Results[i]
		if r.Gate != gates.GateRegression || r.BaseItems == "" || r.CandItems == "" {
			continue
		}
		a, b := series(s.night, r.BaseItems), series(s.night, r.CandItems)
		if len(a) == 0 || len(a) != len(b) {
			continue
		}
		if yesNo(a) && yesNo(b) {
			v.Items = append(v.Items, discordance(*r, a, b))
			continue
		}
		base, cand := widen(a), widen(b)
		sort.Float64s(base)
		sort.Float64s(cand)
		if i > 0 && len(v.Figures) > 8 {
			continue
		}
		v.Figures = append(v.Figures, figureView{
			Title:  "Distribution of " + plot.Clean(r.Metric, 60) + " over the items",
			Text:   fmt.Sprintf("Mean %s; the middle item %s → %s.", values(*r), plot.Value(unitOf(*r), quantileSorted(base, .5)), plot.Value(unitOf(*r), quantileSorted(cand, .5))),
			Plot:   itemsHTML(*r, base, cand, fmt.Sprintf("%s-items%d", v.Anchor, i)),
			Legend: []string{"solid: candidate", "dashed: baseline"},
		})
	}
}

// series unpacks the named items; DecodeNight has checked them already.
func series(n *gates.Night, d artifacts.Digest) []float32 {
	for _, s := range n.Series {
		if s.Digest == d {
			xs, err := s.Floats()
			if err != nil {
				return nil // the page shows the result without its items
			}
			return xs
		}
	}
	return nil
}

func widen(xs []float32) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = float64(x)
	}
	return out
}

func yesNo(xs []float32) bool {
	for _, x := range xs {
		if x != 0 && x != 1 {
			return false
		}
	}
	return true
}

// discordance says in which items the two disagree, which is all that a paired
// comparison of yes and no can learn from.
func discordance(r gates.Result, a, b []float32) string {
	var both, onlyA, onlyB, none int
	for i := range a {
		switch {
		case a[i] == 1 && b[i] == 1:
			both++
		case a[i] == 1:
			onlyA++
		case b[i] == 1:
			onlyB++
		default:
			none++
		}
	}
	g := func(n int) string { return plot.Grouped(float64(n)) }
	return fmt.Sprintf("%s, item by item: both right on %s, only the baseline on %s, only the candidate on %s, neither on %s of %s.",
		plot.Clean(r.Metric, 60), g(both), g(onlyA), g(onlyB), g(none), plot.Count(len(a), "item"))
}

// itemsHTML draws both distribution functions of a metric over the items.
func itemsHTML(r gates.Result, base, cand []float64, id string) template.HTML {
	lo := math.Min(base[0], cand[0])
	hi := math.Max(base[len(base)-1], cand[len(cand)-1])
	lo, hi = plot.Padded(math.Min(lo, 0), hi, .04)
	lo = math.Max(lo, math.Min(base[0], math.Min(cand[0], 0)))
	d := plot.NewDrawing(id, "Distribution over the items", fmt.Sprintf("%s: mean %s.", plot.Clean(r.Metric, 60), values(r)), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: 0, Hi: 1, From: plot.ChartBottom, To: plot.ChartTop}
	d.Frame(x, y, plot.Ticks(lo, hi, 4), []float64{0, .25, .5, .75, 1}, func(v float64) string { return plot.Value(unitOf(r), v) },
		func(v float64) string { return plot.Fixed(100*v, 0) + plot.NBSP + "%" }, plot.Clean(r.Metric, 40)+" of one item, share of items below")
	for i, xs := range [][]float64{base, cand} {
		px, py := steps(xs, x, y)
		px, py = append(px, plot.ChartRight), append(py, y.At(1))
		d.Polyline([]string{"curve2", "curve"}[i], px, py)
	}
	return d.Done()
}

// controlsSentence says what the night's controls mean for this candidate.
func controlsSentence(s subject) string {
	good, all := controlsHeld(s.night)
	switch {
	case all == 0:
		return "No control applied to this night."
	case s.night.Outcome == gates.Invalid:
		return behaved(good, all) + ": the night is INVALID and so is everything on this page."
	}
	t := behaved(good, all) + "."
	for _, f := range s.night.Noise {
		if f.Context == s.Context {
			t += fmt.Sprintf(" In this context identical code differed by up to %s in %s.", plot.Percent(f.Floor), plot.Clean(f.Metric, 60))
		}
	}
	return t
}

// budgetSentence says what part of the night's error this candidate could use.
func budgetSentence(s subject) string {
	a := s.night.Alpha
	if a.Test <= 0 {
		return ""
	}
	return fmt.Sprintf("This candidate's share of tonight's error budget is %s: the night's %s over %s. Spent this year, tonight included: %s of %s.",
		oneIn(a.Test), oneIn(a.Night), plot.Count(a.K, "candidate"), plot.Percent(a.Spent), plot.Percent(a.Year))
}

func candidateFacts(s subject) []fact {
	fs := []fact{
		{"Found by", lineageText(s.Lineage)},
		{"Type", plot.Clean(s.Type, 60)},
		{"Point", pointText(s.Point)},
		{"Identity", plot.Clean(string(s.Identity), 80)},
		{"Widest scope", scopeWords(s.scope)},
	}
	if s.PairsDigest != "" {
		fs = append(fs, fact{"Raw pairs", fmt.Sprintf("%d, %s", len(s.Pairs), plot.Clean(string(s.PairsDigest), 80))})
	}
	for _, c := range s.Curves {
		fs = append(fs, fact{"Latency in " + plot.Clean(c.Context, 40), fmt.Sprintf("p50 %s, p99 %s over %s", plot.Value("ns", c.P50NS), plot.Value("ns", c.P99NS), plot.Count(c.Samples, "sample"))})
	}
	return fs
}

// pointText is the point on one line.
func pointText(p json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, p); err != nil {
		return plot.Clean(string(p), 600)
	}
	return plot.Clean(strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(b.String()), 600)
}
