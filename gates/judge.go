package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// Judge judges one night's candidates. A Judge is used for one call of Night.
type Judge struct {
	Domain      benchmarks.Domain
	Description benchmarks.Description
	Baseline    benchmarks.Bundle
	Policy      Policy    // DefaultPolicy(), changed
	Seed        seed.Root // the night's: fresh, never the search's
	Run         string
	Study       string
	Host        Host

	LedgerPath string             // the night's raw answers and findings; a resumed night finds them here
	AlphaPath  string             // the year's error budget, shared by all nights of a repository
	AnchorPath string             // the epoch's anchor and what promotions since have drawn; "": none is kept. See PinAnchor
	NoisePath  string             // what identical builds showed in earlier nights of a repository; "": no history is kept
	Anchor     *benchmarks.Bundle // of the variant that AnchorOf names, to be measured beside candidates; nil: not at hand

	Approvers int       // keys that may approve where the night publishes; 0: it publishes nowhere
	Waivers   []Grant   // signatures checked by the caller
	Adoption  *Adoption // of a policy that protects less than the last night's; nil: nobody adopted it

	Signer     Signer      // of charges; nil: they are not signed
	Checker    Checker     // of charges; nil: signatures are not looked at
	AlphaHeads []AlphaHead // what other runs remember of the year's ledger: see AlphaHeads

	StartCanary StartCanary      // nil: the canary gate is INCONCLUSIVE
	Approver    Approver         // nil: the approval gate is INCONCLUSIVE
	Progress    func(Step)       // nil: silent
	Now         func() time.Time // nil: the record carries no times
	Command     string           // what re-derives the night; "" = "arqon report RUN"

	rec    *recorder
	pairer *benchmarks.Pairer
	order  map[string][]benchmarks.Metric // by context
	base   arm
	twin   arm // the baseline again, for identical pairs
	anchor arm // the epoch's anchor, when it is measured
	evals  map[string]evaluation
	night  *Night
	packed map[artifacts.Digest]bool      // series that the night already holds
	items  map[artifacts.Digest][]float32 // unpacked series
	noise  map[string]map[string]NoiseFloor
	known  map[string]*evalue.Noise // by where pairs were measured, and metric
	plans  map[plannedFor]planned

	spin    func() int64   // tests: instead of the machine's spin
	options ledger.Options // tests: of the night's ledger
}

// Step is what a progress display may want to know.
type Step struct {
	Candidate string // "" while controls run
	Context   string
	Gate      string // a gate's name, or "control", "noise"
	Pairs     int    // measured so far; 0: not measuring pairs
	PairsMax  int
	Done      int // candidates judged
	Total     int
	Outcome   Outcome // of the gate; meaningful if Spoke
	Spoke     bool
}

// arm opens an instance when it is first needed and keeps it.
type arm struct {
	bundle benchmarks.Bundle
	in     benchmarks.Instance
}

func (a *arm) open(ctx context.Context, d benchmarks.Domain) (benchmarks.Instance, error) {
	if a.in == nil {
		in, err := d.Open(ctx, a.bundle)
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		a.in = in
	}
	return a.in, nil
}

func (a *arm) close() error {
	if a.in == nil {
		return nil
	}
	err := a.in.Close()
	a.in = nil
	return err
}

// Night registers the candidates, takes the night's error budget, runs the
// controls and then every candidate through the gates in order. It returns the
// record and one verdict a candidate, in the candidates' order.
//
// An error means that the question could not be answered now (cancelled, disk
// full, budget spent, foreign ledger); everything measured so far is in the
// ledger and the same call goes on from there. A refusal is never an error.
func (j *Judge) Night(ctx context.Context, candidates []Candidate) (night Night, verdicts []Verdict, err error) {
	if err := j.check(candidates); err != nil {
		return Night{}, nil, err
	}
	rec, err := openRecorder(j.LedgerPath, uint64(j.Seed), j.options)
	if err != nil {
		return Night{}, nil, fmt.Errorf("gates ledger: %w", err)
	}
	j.rec = rec
	defer func() { err = errors.Join(err, rec.close()) }()
	j.begin()
	if err := j.waive(); err != nil {
		return Night{}, nil, err
	}
	reg, err := j.registration(candidates)
	if err != nil {
		return Night{}, nil, err
	}
	if err := rec.register(&reg); err != nil {
		return Night{}, nil, fmt.Errorf("gates ledger %s: %w", j.LedgerPath, err)
	}
	j.night.Started = reg.Started
	if err := j.checkGrants(reg.Started); err != nil {
		return Night{}, nil, err
	}
	charge, err := j.charge(reg)
	if err != nil {
		return Night{}, nil, err
	}
	j.night.Alpha, err = recall(rec, "alpha", func() (Alpha, error) {
		budget := AlphaLedger{Path: j.AlphaPath, Signer: j.Signer, Checker: j.Checker, Heads: j.AlphaHeads}
		return budget.Take(ctx, j.Policy.Budget(), charge)
	})
	if err != nil {
		return Night{}, nil, err
	}
	if err := j.night.Alpha.remember(filepath.Dir(j.LedgerPath)); err != nil {
		return Night{}, nil, err
	}
	if err := j.readAnchor(candidates); err != nil {
		return Night{}, nil, err
	}
	verdicts, err = j.run(ctx, candidates)
	if err != nil {
		return Night{}, nil, err
	}
	j.night.Ended, err = recall(rec, "ended", func() (string, error) { return j.now(), nil })
	if err != nil {
		return Night{}, nil, err
	}
	if j.night.clock() {
		for i := range verdicts { // the last word on the first gate
			verdicts[i].Findings = append(verdicts[i].Findings, Finding{Gate: GateCorrectness, Outcome: Invalid, Reason: j.night.Reason})
		}
	}
	if err := j.night.digest(); err != nil {
		return Night{}, nil, err
	}
	return *j.night, verdicts, errors.Join(j.writePromotions(), j.writeHistory(ctx))
}

// charge is what the night takes from the year's ledger.
func (j *Judge) charge(reg registration) (Charge, error) {
	b, err := json.Marshal(reg)
	if err != nil {
		return Charge{}, err
	}
	waivers, err := j.waiverDigests()
	if err != nil {
		return Charge{}, err
	}
	return Charge{
		Run: j.Run, Year: j.year(reg.Started), Alpha: j.Policy.Night(), K: len(reg.Candidates),
		Candidates: artifacts.DigestOf(b), Waivers: waivers,
		Study: j.Study, Approvers: j.Approvers, Rules: &j.Policy, Adoption: j.Adoption,
	}, nil
}

// begin resets what a night accumulates.
func (j *Judge) begin() {
	d := j.Description
	j.night = &Night{
		Schema: NightSchema, Wording: wordingNow, Run: j.Run, Study: j.Study, Domain: d.Name, Version: d.Version,
		Seed: uint64(j.Seed), Host: j.Host, Policy: j.Policy, PolicyDigest: j.Policy.Digest(),
		Controls: []Control{}, Noise: []NoiseFloor{}, Candidates: []CandidateReport{}, Funnel: []GateCount{},
	}
	j.order = map[string][]benchmarks.Metric{}
	for _, s := range d.Scenarios {
		ms := d.In(s)
		j.order[s.Name] = ms
		c := ContextRecord{Name: s.Name, Metrics: []MetricRecord{}}
		for _, m := range ms {
			c.Metrics = append(c.Metrics, record(m))
		}
		j.night.Contexts = append(j.night.Contexts, c)
	}
	j.pairer = benchmarks.NewPairer(d)
	j.pairer.Spin = j.spin
	j.evals = map[string]evaluation{}
	j.packed, j.items = map[artifacts.Digest]bool{}, map[artifacts.Digest][]float32{}
	j.noise = map[string]map[string]NoiseFloor{}
	j.known = map[string]*evalue.Noise{}
	j.plans = map[plannedFor]planned{}
	j.base, j.twin, j.anchor = arm{bundle: j.Baseline}, arm{bundle: j.Baseline}, arm{}
	if j.Anchor != nil {
		j.anchor.bundle = *j.Anchor
	}
}

func (j *Judge) check(candidates []Candidate) error {
	if err := j.Policy.Check(); err != nil {
		return err
	}
	if j.LedgerPath == "" || j.AlphaPath == "" {
		return errors.New("judge: LedgerPath and AlphaPath are needed: nothing is judged off the record")
	}
	if len(candidates) == 0 {
		return errors.New("judge: no candidates")
	}
	seen := map[string]bool{}
	for i, c := range candidates {
		k := keyOf(c)
		if seen[k] {
			return fmt.Errorf("candidate %d (%s): registered twice for context %s", i, c.Variant.Name, c.Context)
		}
		seen[k] = true
		s, ok := j.Description.Scenario(c.Context)
		if !ok {
			return fmt.Errorf("candidate %d (%s): context %q is not in the domain %s", i, c.Variant.Name, c.Context, j.Description.Name)
		}
		if _, ok := successOf(j.Description.In(s)); !ok {
			return fmt.Errorf("context %s: no success metric", c.Context)
		}
	}
	return nil
}

// keyOf names a candidate in ledgers and coin streams.
func keyOf(c Candidate) string { return c.Context + "/" + string(c.Variant.Identity) }

func (j *Judge) registration(candidates []Candidate) (registration, error) {
	b, err := json.Marshal(j.night.Contexts)
	if err != nil {
		return registration{}, fmt.Errorf("contexts: %w", err)
	}
	r := registration{
		Run: j.Run, Seed: uint64(j.Seed), Policy: j.Policy.Digest(), Contexts: artifacts.DigestOf(b), Started: j.now(),
	}
	for _, c := range candidates {
		k := keyOf(c)
		if c.Reference {
			k += "/reference"
		}
		r.Candidates = append(r.Candidates, k)
	}
	return r, nil
}

func (j *Judge) now() string {
	if j.Now == nil {
		return ""
	}
	return j.Now().UTC().Format(time.RFC3339)
}

// clock makes a night that ended before it started INVALID: its times, its
// expiry and its year's budget mean nothing. A night without a clock has none
// that could go back.
func (n *Night) clock() (back bool) {
	started, err := time.Parse(time.RFC3339, n.Started)
	if err != nil {
		return false
	}
	ended, err := time.Parse(time.RFC3339, n.Ended)
	if err != nil || !ended.Before(started) {
		return false
	}
	n.Outcome, n.Reason = Invalid, fmt.Sprintf("the clock went back: started %s, ended %s", n.Started, n.Ended)
	return true
}

func (j *Judge) year(started string) int {
	t, err := time.Parse(time.RFC3339, started)
	if err != nil {
		return 0 // no clock was given: one budget for all
	}
	return t.Year()
}

// run is everything after the registration: the same code judges and replays.
func (j *Judge) run(ctx context.Context, candidates []Candidate) (verdicts []Verdict, err error) {
	defer func() { err = errors.Join(err, j.base.close(), j.twin.close(), j.anchor.close()) }()
	j.night.Alpha.LogBar = evalue.LogBar(j.night.Alpha.K, j.night.Alpha.Night)
	if err := j.controls(ctx); err != nil {
		return nil, err
	}
	reports := make([]CandidateReport, len(candidates))
	verdicts = make([]Verdict, len(candidates))
	for done, i := range referencesFirst(candidates) {
		c := candidates[i]
		t := &trial{j: j, c: c, key: keyOf(c), metrics: j.order[c.Context], arm: arm{bundle: c.Bundle}}
		t.done, t.total = done, len(candidates)
		if err := t.judge(ctx); err != nil {
			return nil, errors.Join(err, t.arm.close())
		}
		if err := t.arm.close(); err != nil {
			return nil, fmt.Errorf("%s: close: %w", c.Variant.Name, err)
		}
		reports[i], verdicts[i] = t.rep, t.verdict()
	}
	j.night.Candidates = reports
	j.conclude()
	return verdicts, nil
}

// referencesFirst orders the candidates: identical builds show the noise that
// the others plan with.
func referencesFirst(candidates []Candidate) []int {
	var order []int
	for _, references := range []bool{true, false} {
		for i, c := range candidates {
			if c.Reference == references {
				order = append(order, i)
			}
		}
	}
	return order
}

// broken is why the night's controls make it INVALID, or "".
func (j *Judge) broken() string {
	for _, c := range j.night.Controls {
		if c.Outcome == Fail || c.Outcome == Invalid {
			return fmt.Sprintf("control %s failed: %s", c.Name, c.Reason)
		}
	}
	return ""
}

// conclude counts.
func (j *Judge) conclude() {
	n := j.night
	n.Outcome, n.Reason = Pass, ""
	if why := j.broken(); why != "" {
		n.Outcome, n.Reason = Invalid, why
	}
	for _, g := range Order() {
		count := GateCount{Gate: g}
		for _, c := range n.Candidates {
			for _, f := range c.Findings {
				if f.Gate == g {
					count.add(f.Outcome)
				}
			}
		}
		n.Funnel = append(n.Funnel, count)
	}
	if n.Outcome == Pass {
		passed := 0
		for _, c := range n.Candidates {
			if c.Outcome == Pass {
				passed++
			}
		}
		n.Reason = fmt.Sprintf("%d of %d candidates passed every gate before approval", passed, len(n.Candidates))
	}
}

func (c *GateCount) add(o Outcome) {
	c.Entered++
	switch o {
	case Pass:
		c.Pass++
	case Fail:
		c.Fail++
	case Inconclusive:
		c.Inconclusive++
	case Invalid:
		c.Invalid++
	}
}

func successOf(ms []benchmarks.Metric) (benchmarks.Metric, bool) {
	for _, m := range ms {
		if m.Role == benchmarks.Success {
			return m, true
		}
	}
	return benchmarks.Metric{}, false
}

func (j *Judge) step(s Step) {
	if j.Progress != nil && j.rec.log != nil {
		j.Progress(s)
	}
}

// verdict is what a publish gets.
func (t *trial) verdict() Verdict {
	return Verdict{
		Candidate: t.c.Variant.Identity, Context: t.c.Context, Reference: t.c.Reference,
		Findings: append([]Finding(nil), t.rep.Findings...), Curves: orEmptyCurves(t.rep.Curves),
		Expectations: orEmptyExpectations(t.rep.Expectations), Waivers: t.rep.Waivers, variant: t.c.Variant, envelope: t.c.Envelope,
	}
}

func orEmptyCurves(c []catalog.LatencyCurve) []catalog.LatencyCurve {
	if c == nil {
		return []catalog.LatencyCurve{}
	}
	return c
}

func orEmptyExpectations(e []catalog.Expectation) []catalog.Expectation {
	if e == nil {
		return []catalog.Expectation{}
	}
	return e
}
