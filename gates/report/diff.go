package report

import (
	"fmt"
	"io"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// Diff writes what changed from night a to night b: the conditions, then every
// candidate that is only in one of them, that changed its verdict, or whose
// estimates lie outside each other's interval. Candidates are matched by
// context and identity.
func Diff(w io.Writer, a, b gates.Night, o TextOptions) error {
	p := newPrinter(w, o)
	p.Para(plot.Strong, 0, 0, "From "+plot.Clean(a.Run, 80)+" to "+plot.Clean(b.Run, 80))
	p.Para(plot.Plain, 0, 0, "before: "+headline(&a)+".")
	p.Para(plot.Plain, 0, 0, "after:  "+headline(&b)+".")
	p.conditions(&a, &b)

	old := map[string]subject{}
	before := subjects(&a)
	for _, s := range before {
		old[matchKey(s)] = s
	}
	seen := map[string]bool{}
	same := 0
	p.Heading("Candidates")
	for _, s := range subjects(&b) {
		k := matchKey(s)
		seen[k] = true
		prev, ok := old[k]
		if !ok {
			p.diffLine("new", plot.Plain, s, s.badge().String()+", "+s.standing())
			continue
		}
		if !p.changed(prev, s) {
			same++
		}
	}
	for _, s := range before {
		if !seen[matchKey(s)] {
			p.diffLine("gone", plot.Plain, s, "was "+s.badge().String()+", "+s.standing())
		}
	}
	p.Para(plot.Faint, 2, 0, fmt.Sprintf("%s with the same verdict and compatible estimates.", plot.Count(same, "candidate")))
	return p.Err()
}

func matchKey(s subject) string {
	if s.Identity != "" {
		return s.Context + "\x00" + string(s.Identity)
	}
	return s.Context + "\x00" + s.Name
}

// conditions lists what would explain a difference.
func (p *printer) conditions(a, b *gates.Night) {
	rows := [][3]string{
		{"outcome", a.Outcome.String(), b.Outcome.String()},
		{"study", a.Study, b.Study},
		{"domain", a.Domain + " " + a.Version, b.Domain + " " + b.Version},
		{"seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed)},
		{"host", host(a), host(b)},
		{"policy", a.PolicyDigest.Short(), b.PolicyDigest.Short()},
		{"candidates", fmt.Sprint(a.Alpha.K), fmt.Sprint(b.Alpha.K)},
		{"bar", evalue(a.Alpha.LogBar), evalue(b.Alpha.LogBar)},
	}
	var out [][]plot.Cell
	for _, r := range rows {
		if r[1] != r[2] {
			out = append(out, []plot.Cell{{Text: r[0]}, {Text: r[1]}, {Text: r[2]}})
		}
	}
	p.Heading("Conditions")
	if len(out) == 0 {
		p.Para(plot.Plain, 2, 0, "Equal: same study, seed, host, policy and bar.")
		return
	}
	p.Table([]string{"what", "before", "after"}, out, 2)
}

func (p *printer) diffLine(word string, t plot.Tone, s subject, text string) {
	p.Raw("  " + p.Paint(t, plot.Pad(p.PlainText(word), 8)) + "  " + p.Paint(plot.Strong, p.Short(plot.Clean(s.Name, 60)+" for "+plot.Clean(s.Context, 40), max(p.Columns-12, 12))) + "\n")
	p.Para(plot.Plain, 12, 0, text)
}

// changed prints how a candidate differs between the nights, if it does.
func (p *printer) changed(a, b subject) bool {
	var notes []string
	word, t := "moved", plot.Unsure
	if a.badge() != b.badge() || a.scope != b.scope {
		word = "verdict"
		if rank(b.badge()) < rank(a.badge()) {
			t = plot.Bad
		} else if rank(b.badge()) > rank(a.badge()) {
			t = plot.Good
		}
		notes = append(notes, a.badge().String()+" ("+a.standing()+") → "+b.badge().String()+" ("+b.standing()+"). "+sentence(b.Why))
	}
	for _, rb := range b.Results {
		for _, ra := range a.Results {
			if sameQuestion(ra, rb) && apart(ra, rb) {
				notes = append(notes, fmt.Sprintf("%s: %s %s → %s %s: the intervals do not meet.", testName(rb),
					change(ra, ra.Change), interval(ra), change(rb, rb.Change), interval(rb)))
			}
		}
	}
	if len(notes) == 0 {
		return false
	}
	p.diffLine(word, t, b, notes[0])
	for _, s := range notes[1:] {
		p.Para(plot.Plain, 12, 0, s)
	}
	return true
}

// sameQuestion reports whether two results asked the same of the same metric.
func sameQuestion(a, b gates.Result) bool {
	if a.Gate != b.Gate || a.Metric != b.Metric || a.Test != b.Test || a.Compare != b.Compare {
		return false
	}
	if (a.Perturbation == nil) != (b.Perturbation == nil) {
		return false
	}
	return a.Perturbation == nil || *a.Perturbation == *b.Perturbation
}

// apart reports whether the two estimates cannot both be right: their
// intervals do not meet, or exact values differ.
func apart(a, b gates.Result) bool {
	alo, ahi := ends(a)
	blo, bhi := ends(b)
	return ahi < blo || bhi < alo
}

// ends are the interval of a change; without one, the estimate itself.
func ends(r gates.Result) (lo, hi float64) {
	lo, hi = r.Change, r.Change
	if r.Lower != nil {
		lo = *r.Lower
	}
	if r.Upper != nil {
		hi = *r.Upper
	}
	return lo, hi
}
