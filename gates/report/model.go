package report

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// subject is one candidate with what both forms of the report ask about it.
type subject struct {
	gates.CandidateReport
	night   *gates.Night
	index   int           // in the night
	main    *gates.Result // the result that the headline is about; nil: nothing was measured
	decided *gates.Result // the result that stopped the candidate; nil: none did
	scope   catalog.Scope // the widest scope that the findings carry; "": none
}

// subjects returns the candidates grouped by context in order of appearance,
// and inside a context the ones that go furthest first.
func subjects(n *gates.Night) []subject {
	order := map[string]int{}
	out := make([]subject, 0, len(n.Candidates))
	for i := range n.Candidates {
		c := n.Candidates[i]
		if _, ok := order[c.Context]; !ok {
			order[c.Context] = len(order)
		}
		out = append(out, newSubject(n, i))
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if order[a.Context] != order[b.Context] {
			return order[a.Context] < order[b.Context]
		}
		if a.scope.Rank() != b.scope.Rank() {
			return a.scope.Rank() > b.scope.Rank()
		}
		if a.Reference != b.Reference {
			return b.Reference
		}
		if ra, rb := rank(a.badge()), rank(b.badge()); ra != rb {
			return ra > rb
		}
		return a.gain() > b.gain()
	})
	return out
}

// rank orders badges: PASS first, INVALID last.
func rank(o gates.Outcome) int {
	switch o {
	case gates.Pass:
		return 3
	case gates.Inconclusive:
		return 2
	case gates.Fail:
		return 1
	case gates.Invalid:
		return 0
	}
	return 0
}

func newSubject(n *gates.Night, i int) subject {
	s := subject{CandidateReport: n.Candidates[i], night: n, index: i}
	s.scope = scopeOf(s.Findings)
	for j := range s.Results {
		r := &s.Results[j]
		if r.Decision == gates.Pass || r.Test == gates.TestNone || r.Gate != s.Gate {
			continue
		}
		if s.decided == nil || s.gives(r) && !s.gives(s.decided) || !s.gives(s.decided) && rank(r.Decision) < rank(s.decided.Decision) {
			s.decided = r
		}
	}
	s.main = mainResult(s.Results)
	if s.main == nil && s.decided != nil {
		s.main = s.decided
	}
	return s
}

// gives reports whether the candidate's reason is this result's.
func (s subject) gives(r *gates.Result) bool {
	return r.Reason != "" && strings.Contains(s.Why, r.Reason)
}

// mainResult is the success metric's own test if it was reached; otherwise the
// success metric wherever it was seen first.
func mainResult(rs []gates.Result) *gates.Result {
	for pass := range 2 {
		for i := range rs {
			r := &rs[i]
			if r.Role != benchmarks.Success || r.Perturbation != nil {
				continue
			}
			if pass == 1 || r.Gate == gates.GateRegression {
				return r
			}
		}
	}
	return nil
}

// scopeOf is the widest scope for which every needed gate has passed.
func scopeOf(fs []gates.Finding) catalog.Scope {
	v := gates.Verdict{Findings: fs}
	switch {
	case v.Passed(gates.GateApproval):
		return catalog.ScopeProd
	case v.Passed(gates.GateCanary):
		return catalog.ScopeStaging
	case v.Passed(gates.GateRegression):
		return catalog.ScopeCanary
	}
	return ""
}

// stands reports whether the candidate may be published at all: it passed up
// to the canary gate on a night that counts.
func (s subject) stands() bool {
	return s.night.Outcome == gates.Pass && s.scope.Rank() >= catalog.ScopeStaging.Rank()
}

// badge is the outcome to show. A candidate that passed the five measured
// gates and only waits for people is a PASS (for staging, and says so); on a
// night that does not count everything is INVALID.
func (s subject) badge() gates.Outcome {
	switch {
	case s.night.Outcome == gates.Invalid:
		return gates.Invalid
	case s.stands():
		return gates.Pass
	case s.Outcome == gates.Pass:
		// The last gate that spoke passed, but not all gates spoke.
		return gates.Inconclusive
	}
	return s.Outcome
}

// standing says in a few words what the badge means for the candidate.
func (s subject) standing() string {
	switch {
	case s.night.Outcome == gates.Invalid:
		return "not usable: the night is invalid"
	case s.scope == catalog.ScopeProd:
		return "approved for production" + s.underWaivers()
	case s.stands():
		return "ready for staging" + s.underWaivers()
	}
	switch s.badge() {
	case gates.Fail:
		return "refused at " + s.gateName()
	case gates.Invalid:
		return "not judged: " + s.gateName() + " was invalid"
	case gates.Inconclusive, gates.Pass:
	}
	return "not proven at " + s.gateName()
}

func (s subject) gateName() string {
	if s.Gate == "" {
		return "the first gate"
	}
	return plot.Clean(s.Gate, 40)
}

// gain is how much better the success metric is, for sorting only.
func (s subject) gain() float64 {
	if s.main == nil {
		return 0
	}
	return -worse(*s.main, s.main.Change)
}

// sentence makes sure that text from the record starts and ends like a
// sentence. A first word that could be a metric's name is left alone.
func sentence(t string) string {
	t = plot.Clean(t, 1200)
	if t == "" {
		return t
	}
	if first, _, _ := strings.Cut(t, " "); (len(first) > 1 || first == "a") && strings.Trim(first, "abcdefghijklmnopqrstuvwxyz,") == "" {
		t = strings.ToUpper(t[:1]) + t[1:]
	}
	switch t[len(t)-1] {
	case '.', '!', '?':
		return t
	}
	return t + "."
}

// because is the reason to show beside the badge: a candidate that only waits
// for people is explained by what it proved.
func (s subject) because() string {
	t := sentence(s.Why)
	for _, f := range s.Findings {
		if f.Gate == gates.GateApproval && f.Outcome != gates.Pass && f.Reason != s.Why {
			t = strings.TrimSpace(t + " Approval: " + strings.TrimSpace(plot.Clean(f.Reason, 400)) + ".")
		}
	}
	if t == "" {
		return sentence(s.standing())
	}
	return t
}

// brief is the reason for a table: of a candidate that passed, what it reached
// and at what price, since its change stands in the next column.
func (s subject) brief() string {
	if !s.stands() || s.Reference || s.main == nil {
		return s.because()
	}
	held := map[string]bool{}
	for _, r := range s.Results {
		if r.Gate == gates.GateRegression && r.Role == benchmarks.GuardRole && r.Decision == gates.Pass {
			held[r.Metric] = true
		}
	}
	t := plot.Clean(s.main.Metric, 60) + " " + values(*s.main)
	if len(held) > 0 {
		t += "; not worse on " + plot.Count(len(held), "guardrail")
	}
	if s.scope != catalog.ScopeProd {
		t += "; waits for approval"
	}
	return t + "."
}

// question is the result that the answers are about: what stopped a candidate
// that was stopped, the success metric of one that was not.
func (s subject) question() *gates.Result {
	if !s.stands() && s.decided != nil {
		return s.decided
	}
	return s.main
}

// stoppedStage is the canary stage that stopped the candidate, if one did.
func (s subject) stoppedStage() *gates.CanaryStage {
	if s.Canary == nil || s.Gate != gates.GateCanary || s.Outcome == gates.Pass {
		return nil
	}
	for i := range s.Canary.Stages {
		if st := &s.Canary.Stages[i]; st.Outcome != gates.Pass {
			return st
		}
	}
	return nil
}

// howMuch answers "by how much": the change in words and the values.
func (s subject) howMuch() (head, detail string) {
	r := s.question()
	if st := s.stoppedStage(); st != nil {
		head = "Stopped at " + plot.ShareOf(st.Share) + " of the traffic"
		detail = sentence(st.Reason)
		if s.main != nil {
			detail += fmt.Sprintf(" The success metric %s was %s (%s).", plot.Clean(s.main.Metric, 60), changeWords(*s.main, s.main.Change), betterWorse(*s.main, s.main.Change))
		}
		return head, detail
	}
	switch {
	case r == nil:
		return "Not measured", "The candidate was stopped before its success metric was compared."
	case r.Decision == gates.Invalid:
		return "Not known", sentence(testName(*r) + " could not be judged")
	case s.Reference:
		return changeWords(*r, r.Change), plot.Clean(r.Metric, 60) + ", " + values(*r) + ". The baseline against itself: it should be unchanged."
	}
	detail = fmt.Sprintf("%s, %s: %s.", testName(*r), values(*r), betterWorse(*r, r.Change))
	if !r.Exact && hasInterval(*r) && (r.Lower == nil || *r.Lower < 0) && (r.Upper == nil || *r.Upper > 0) {
		detail = fmt.Sprintf("%s, %s; the interval includes no change at all.", testName(*r), values(*r))
	}
	if r != s.main {
		detail += " It " + required(*r) + "."
		if s.main != nil {
			detail += fmt.Sprintf(" The success metric %s was %s (%s).", plot.Clean(s.main.Metric, 60), changeWords(*s.main, s.main.Change), betterWorse(*s.main, s.main.Change))
		}
	}
	return changeWords(*r, r.Change), detail
}

// howSure answers "how sure": interval, e-value against its bar, and what it
// was based on.
func (s subject) howSure() (head, detail string) {
	r := s.question()
	if st := s.stoppedStage(); st != nil {
		harm := s.night.Policy.CanaryHarmAlpha
		if harm <= 0 || st.LogHarm < -math.Log(harm) {
			return "Not shown to be harmless", "The canary widens only when the candidate is shown not to be worse than its tolerance, and rolls back when it is shown to be."
		}
		return "Harm shown", fmt.Sprintf("Evidence of harm e = %s after %s at this stage; a harmless candidate gets to %s at most once in as many tries.", evalue(st.LogHarm), plot.Count(st.Pairs, "pair"), plot.Compact(plot.RoundSig(1/harm, 3)))
	}
	if s.Gate == gates.GateCorrectness && s.badge() == gates.Fail {
		return "Certain", "A counterexample needs no statistics; it can be repeated with its seed."
	}
	if r == nil {
		return "Nothing to be sure of", "No comparison was made."
	}
	if r.Decision == gates.Invalid {
		return "The measurement cannot be trusted", "That is neither for nor against the candidate."
	}
	switch {
	case r.Exact:
		head = "Exact"
		detail = "The metric is deterministic: the same build gives the same value. "
	case r.LogBar > 0 && r.LogE >= r.LogBar:
		head = "Proven"
		detail = fmt.Sprintf("Were it not so, evidence this strong would turn up at most once in %s tries; once in %s was asked for. ", oddsWords(r.LogE), evalue(r.LogBar))
	case r.LogBar > 0:
		head = "Not proven"
		detail = fmt.Sprintf("Evidence e = %s, the bar is %s. ", evalue(r.LogE), evalue(r.LogBar))
	default:
		head = "No test"
	}
	if hasInterval(*r) {
		detail += level(r.Alpha) + " interval " + interval(*r) + ", "
	}
	if strings.HasSuffix(detail, ". ") || detail == "" {
		return head, detail + "From " + used(*r) + "."
	}
	return head, detail + "from " + used(*r) + "."
}

// oddsWords prints e as "31,000" or "10^15".
func oddsWords(logE float64) string {
	if s := evalue(logE); s != "" && logE < 16 {
		return s
	}
	return "10^" + plot.Fixed(logE/2.302585092994046-0.5, 0)
}

// headline is the one line for the whole night.
func headline(n *gates.Night) string {
	if n.Outcome == gates.Invalid {
		return "INVALID night: nothing may be promoted"
	}
	k, all, contexts, served := tally(n)
	switch {
	case all == 0:
		return "No candidates were judged"
	case k == 0:
		return fmt.Sprintf("None of %s passed: the baseline stays everywhere", plot.Count(all, "candidate"))
	}
	verb := "are"
	if k == 1 {
		verb = "is"
	}
	return fmt.Sprintf("%d of %s %s proven better, in %d of %s", k, plot.Count(all, "candidate"), verb, served, plot.Count(contexts, "context"))
}

// tally counts standing candidates, all candidates (the reference aside),
// contexts judged and contexts with a standing candidate.
func tally(n *gates.Night) (stand, all, contexts, served int) {
	seen, won := map[string]bool{}, map[string]bool{}
	for i := range n.Candidates {
		s := newSubject(n, i)
		seen[s.Context] = true
		if s.Reference {
			continue
		}
		all++
		if s.stands() {
			stand++
			won[s.Context] = true
		}
	}
	return stand, all, len(seen), len(won)
}
