package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

func htmlOf(t testing.TB, n gates.Night) string {
	t.Helper()
	return string(text(t, func(b *bytes.Buffer) error { return HTML(b, n) }))
}

func TestGoldenHTML(t *testing.T) {
	n := night(t)
	golden(t, "night.html", []byte(htmlOf(t, n)))
	bad := invalidated(n)
	bad.Candidates = bad.Candidates[:2] // the rest of the page is the same
	golden(t, "invalid.html", []byte(htmlOf(t, bad)))
}

// The page must work with the network down and give nothing away: it names no
// address but SVG's namespace, and runs no script.
func TestHTMLIsSelfContained(t *testing.T) {
	page := strings.ReplaceAll(htmlOf(t, night(t)), `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"http:", "https:", "//", "<script", "src=", "@import", "url(", "<link", "<iframe", "javascript:"} {
		if i := strings.Index(strings.ToLower(page), bad); i >= 0 {
			t.Errorf("the page holds %q: …%s…", bad, page[max(0, i-40):min(len(page), i+60)])
		}
	}
	for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(href[1], "#") {
			t.Errorf("link leaves the page: %s", href[1])
		}
		if !strings.Contains(page, `id="`+href[1][1:]+`"`) {
			t.Errorf("link leads nowhere: %s", href[1])
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[id[1]] {
			t.Errorf("id %q is used twice", id[1])
		}
		ids[id[1]] = true
	}
}

func TestHTMLIsDeterministic(t *testing.T) {
	n := night(t)
	first := htmlOf(t, n)
	if second := htmlOf(t, n); first != second {
		t.Error("two renderings of one night differ")
	}
}

// wellFormed reads an XML text to its end.
func wellFormed(s string) error {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Strict = true
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var svgs = regexp.MustCompile(`(?s)<svg .*?</svg>`)

func TestSVGsAreWellFormedAndDescribed(t *testing.T) {
	all := svgs.FindAllString(htmlOf(t, night(t)), -1)
	if len(all) < 50 {
		t.Fatalf("only %d drawings", len(all))
	}
	for _, s := range all {
		if err := wellFormed(s); err != nil {
			t.Fatalf("%v in %.200s", err, s)
		}
		if !strings.Contains(s, "<title id=") || !strings.Contains(s, "<desc id=") || !strings.Contains(s, `role="img"`) {
			t.Errorf("a drawing without title or description: %.200s", s)
		}
		if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("a drawing with a coordinate that is not a number: %.200s", s)
		}
	}
}

// hostile puts s into every text of a night.
func hostile(n gates.Night, s string) gates.Night {
	n.Run, n.Study, n.Domain, n.Reason, n.Host.CPU = s, s, s, s, s
	n.Controls = append([]gates.Control(nil), n.Controls...)
	for i := range n.Controls {
		n.Controls[i].Name, n.Controls[i].Reason, n.Controls[i].Metric, n.Controls[i].Want = s, s, s, s
	}
	n.Noise = []gates.NoiseFloor{{Context: s, Metric: s}}
	n.Events = []gates.Event{{Context: s, Candidate: s, What: s}}
	n.Candidates = append([]gates.CandidateReport(nil), n.Candidates...)
	for i := range n.Candidates {
		c := &n.Candidates[i]
		c.Name, c.Context, c.Type, c.Why, c.Stop, c.Command, c.WhatIf = s, s, s, s, s, s, []string{s}
		c.Point, c.Lineage = []byte(s), gates.Lineage{Run: s, Engine: s, Origin: s}
		c.Findings = append([]gates.Finding(nil), c.Findings...)
		for j := range c.Findings {
			c.Findings[j].Reason = s
		}
		c.Results = append([]gates.Result(nil), c.Results...)
		for j := range c.Results {
			r := &c.Results[j]
			r.Metric, r.Unit, r.Reason = s, s, s
			if r.Perturbation != nil {
				r.Perturbation = &benchmarks.Perturbation{Kind: s}
			}
		}
		c.Claim.Metric, c.Plan.Metric, c.Plan.Note = s, s, s
		for j := range c.Checks {
			c.Checks[j].Name, c.Checks[j].Detail = s, s
		}
	}
	if n.Portfolio != nil {
		f := *n.Portfolio
		f.Contexts, f.Note = []string{s}, s
		f.Chosen = []gates.PortfolioPick{{Name: s, Losses: []*float64{nil}}}
		n.Portfolio = &f
	}
	return n
}

func TestHostileTextIsEscaped(t *testing.T) {
	n := night(t)
	tags := func(s string) int { return strings.Count(s, "<") }
	for _, s := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'--><svg onload=alert(1)>`, `</title></style><b>`, `]]><x>`, "\x1b[2J\x00\u202etxt", strings.Repeat("long ", 5000),
	} {
		page := htmlOf(t, hostile(n, s))
		harmless := htmlOf(t, hostile(n, "harmless"))
		if tags(page) != tags(harmless) {
			t.Errorf("%.40q adds elements to the page: %d instead of %d", s, tags(page), tags(harmless))
		}
		if i := strings.IndexAny(page, "\x00\x1b\u202e"); i >= 0 {
			t.Errorf("%.40q reaches the page with its control characters: %q", s, page[max(0, i-80):min(i+20, len(page))])
		}
		for _, svg := range svgs.FindAllString(page, -1) {
			if err := wellFormed(svg); err != nil {
				t.Fatalf("%.40q: %v in %.200s", s, err, svg)
			}
		}
	}
}

func TestTerminalIsSafeAndASCIIIsASCII(t *testing.T) {
	n := hostile(night(t), "\x1b[2J\x07\u202e<b>\u2192\n$(rm -rf .)")
	for _, o := range []TextOptions{{}, {Terminal: plot.Terminal{ASCII: true}}, {Terminal: plot.Terminal{ASCII: true, Width: 40}}} {
		out := text(t, func(b *bytes.Buffer) error {
			if err := Text(b, n, o); err != nil {
				return err
			}
			return Candidate(b, n, n.Candidates[0].Name, o)
		})
		for i, r := range string(out) {
			if r != '\n' && r < 0x20 || r == 0x202e || o.ASCII && r > 0x7e {
				t.Fatalf("%+v: rune %q at byte %d", o, r, i)
			}
		}
	}
}

// A night with hundreds of candidates stays a file that a phone can open, and
// says what it left out.
func TestHTMLIsBounded(t *testing.T) {
	n := night(t)
	base := n.Candidates
	n.Candidates = nil
	for i := range 400 {
		c := base[i%len(base)]
		c.Name = fmt.Sprintf("%s-%d", c.Name, i)
		n.Candidates = append(n.Candidates, c)
	}
	long := base[4]
	long.Name = "long"
	for i := range 20000 {
		p := base[4].Pairs[i%len(base[4].Pairs)]
		p.Index = i
		long.Pairs = append(long.Pairs, p)
	}
	n.Candidates = append(n.Candidates, long)
	page := htmlOf(t, n)
	if got := strings.Count(page, `class="cand"`); got != maxPages {
		t.Errorf("%d sections, want %d", got, maxPages)
	}
	if !strings.Contains(page, fmt.Sprintf("%d of them have no page here", 401-maxPages)) {
		t.Error("the page does not say what it left out")
	}
	if len(page) > 6<<20 {
		t.Errorf("%d bytes", len(page))
	}
}

func TestInvalidNightPromotesNothing(t *testing.T) {
	n := invalidated(night(t))
	page := htmlOf(t, n)
	terminal := string(text(t, func(b *bytes.Buffer) error { return Text(b, n, TextOptions{}) }))
	if !strings.HasPrefix(terminal, "INVALID night") {
		t.Errorf("the terminal page starts with %.60q", terminal)
	}
	if at := strings.Index(page, "<strong>INVALID.</strong>"); at < 0 || at > strings.Index(page, "<h2") {
		t.Error("INVALID is not on top of the page")
	}
	for _, word := range []string{"ready for staging", "approved for production", "arqon sign", "arqon publish", "arqon run"} {
		if strings.Contains(page, word) || strings.Contains(terminal, word) {
			t.Errorf("an invalid night says %q", word)
		}
	}
	for _, badge := range regexp.MustCompile(`<tr><td><span class="badge (\w+)">`).FindAllStringSubmatch(page[strings.Index(page, `aria-label="Table of candidates"`):strings.Index(page, `id="controls"`)], -1) {
		if badge[1] != "INVALID" {
			t.Errorf("a candidate of an invalid night has the badge %s", badge[1])
		}
	}
}

// A zero night is INVALID and must not break any page.
func TestEmptyNight(t *testing.T) {
	n := gates.Night{Schema: gates.NightSchema}
	if !strings.Contains(htmlOf(t, n), "INVALID") {
		t.Error("a zero night is not INVALID")
	}
	text(t, func(b *bytes.Buffer) error { return Text(b, n, TextOptions{}) })
	text(t, func(b *bytes.Buffer) error { return Diff(b, n, n, TextOptions{}) })
	if err := Candidate(io.Discard, n, "x", TextOptions{}); !errors.Is(err, ErrNoCandidate) {
		t.Errorf("%v, want ErrNoCandidate", err)
	}
	if err := Explain(io.Discard, n, "x", TextOptions{}); !errors.Is(err, ErrNoMetric) {
		t.Errorf("%v, want ErrNoMetric", err)
	}
}

// FuzzPages renders odd numbers and texts: no panic, well-formed drawings, the
// same bytes twice.
func FuzzPages(f *testing.F) {
	f.Add("x", "ns", 1.0, 2.0, .1, 3.0, 12.0, 5, uint8(0))
	f.Add("<script>", "", 0.0, 0.0, 0.0, -1.0, 0.0, 0, uint8(1))
	f.Add("a\x00b", "1", -1e300, 1e300, 1e-300, 1e308, -1e308, -4, uint8(255))
	f.Add("\xff\xfe", "share", math.Inf(1), math.NaN(), math.Inf(-1), 1.0, 1.0, 1<<40, uint8(7))
	f.Fuzz(func(t *testing.T, name, unit string, base, cand, tol, logE, logBar float64, n int, bits uint8) {
		pick := func(k uint8) bool { return bits>>k&1 == 1 }
		r := gates.Result{
			Gate: gates.GateRegression, Metric: name, Unit: unit, Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Kind: benchmarks.Measured, Role: benchmarks.Success,
			Test: gates.TestBetter, Tolerance: tol, Baseline: base, Candidate: cand, Change: cand - base, LogE: logE, LogBar: logBar, N: n, Decision: gates.Outcome(bits % 5), Reason: name,
			Race: gates.Race{N: []int{1, n}, LogE: []float64{logBar, logE}},
		}
		if pick(0) {
			r.Direction, r.Compare, r.Kind = benchmarks.Higher, benchmarks.Difference, benchmarks.Deterministic
		}
		if pick(1) {
			r.Lower = &base
		}
		if pick(2) {
			r.Upper = &cand
		}
		if pick(3) {
			r.Test, r.Limit = gates.TestLimit, &tol
		}
		r.Exact = pick(4)
		night := gates.Night{
			Run: name, Outcome: gates.Pass, Alpha: gates.Alpha{Year: tol, Night: base, Spent: cand, Test: base, K: n, LogBar: logBar},
			Candidates: []gates.CandidateReport{{
				Name: name, Identity: artifacts.Digest(name), Context: unit, Gate: gates.GateRegression, Outcome: gates.Outcome(bits % 4), Results: []gates.Result{r},
				Plan: gates.Plan{Metric: name, PairSD: base, Power: cand, PairsNeeded: n}, Claim: gates.Claim{Metric: name, Change: base},
				Pairs: []gates.PairRecord{{Index: 0, A: map[string]float64{name: base}, B: map[string]float64{name: cand}}, {Index: n, A: map[string]float64{name: cand}, B: map[string]float64{name: base}}},
			}},
			Portfolio: &gates.Portfolio{Contexts: []string{name}, Chosen: []gates.PortfolioPick{{Name: name, Losses: []*float64{&base, &cand}}}, GapClosed: tol},
		}
		page := htmlOf(t, night)
		if page != htmlOf(t, night) {
			t.Fatal("not deterministic")
		}
		for _, svg := range svgs.FindAllString(page, -1) {
			if err := wellFormed(svg); err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		o := TextOptions{Terminal: plot.Terminal{ASCII: pick(5), Color: pick(6), Width: n}}
		text(t, func(b *bytes.Buffer) error { return Text(b, night, o) })
		text(t, func(b *bytes.Buffer) error { return Candidate(b, night, name, o) })
		text(t, func(b *bytes.Buffer) error { return Explain(b, night, name, o) })
		text(t, func(b *bytes.Buffer) error { return Diff(b, night, night, o) })
	})
}
