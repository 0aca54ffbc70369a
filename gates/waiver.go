package gates

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
)

// What a night under waivers or under a looser policy is refused with.
var (
	// ErrWaiver: a waiver does not hold tonight.
	ErrWaiver = errors.New("waiver refused")
	// ErrLooser: the policy protects less than the last one, and not enough
	// approvers have adopted it.
	ErrLooser = errors.New("the policy protects less than the last night's")
)

// LooseningSignatures is how many approvers must adopt a looser policy; fewer
// only where there are fewer.
const LooseningSignatures = 2

// Grant is a waiver with what the caller found out about its signatures.
type Grant struct {
	Waiver  catalog.Waiver `json:"waiver"`
	File    artifacts.Ref  `json:"file"`    // what was signed
	Signers int            `json:"signers"` // distinct approvers whose signatures hold
}

// Adoption says that approvers want a policy that protects less.
type Adoption struct {
	Policy  artifacts.Digest `json:"policy"`
	File    artifacts.Digest `json:"file"` // what was signed
	Signers int              `json:"signers"`
}

// Declared is what a metric would be held to without a waiver.
type Declared struct {
	Tolerance float64  `json:"tolerance"`
	Limit     *float64 `json:"limit,omitempty"`
}

// checkGrants refuses waivers that may not be used by anybody tonight: too
// few signatures, too long, not begun or expired at the start.
func (j *Judge) checkGrants(started string) error {
	if len(j.Waivers) == 0 {
		return nil
	}
	begun, err := time.Parse(time.RFC3339, started)
	if err != nil {
		return fmt.Errorf("a night without a clock cannot tell whether a waiver holds: %w", ErrWaiver)
	}
	if j.Approvers == 0 {
		return fmt.Errorf("nobody here may waive anything: a waiver is signed by the approvers of the repository that the night publishes to: %w", ErrWaiver)
	}
	for i, g := range j.Waivers {
		w := g.Waiver
		at := fmt.Sprintf("waiver %d (%s of %s)", i+1, w.Metric, w.Context)
		if need := min(j.Policy.WaiverSignatures, j.Approvers); g.Signers < need {
			return fmt.Errorf("%s: %d of %d signatures: %w", at, g.Signers, need, ErrWaiver)
		}
		if w.Expires.Sub(w.Created) > time.Duration(j.Policy.WaiverDays)*24*time.Hour {
			return fmt.Errorf("%s: holds from %s to %s, the policy allows %d days: %w",
				at, w.Created.Format(time.DateOnly), w.Expires.Format(time.DateOnly), j.Policy.WaiverDays, ErrWaiver)
		}
		if begun.Before(w.Created) || !begun.Before(w.Expires) {
			return fmt.Errorf("%s: holds from %s to %s, the night began at %s: %w",
				at, w.Created.Format(time.RFC3339), w.Expires.Format(time.RFC3339), started, ErrWaiver)
		}
	}
	return nil
}

// waive widens the metrics that the waivers name and writes down what they
// would be held to without. The widened numbers are part of the registration,
// so nothing can be waived once the first pair is measured.
func (j *Judge) waive() error {
	for i, g := range j.Waivers {
		w := g.Waiver
		at := fmt.Sprintf("waiver %d", i+1)
		if w.Study != j.Study {
			return fmt.Errorf("%s: is for study %q, this is %q: %w", at, w.Study, j.Study, ErrWaiver)
		}
		c := slices.IndexFunc(j.night.Contexts, func(c ContextRecord) bool { return c.Name == w.Context })
		if c < 0 {
			return fmt.Errorf("%s: context %q is not judged: %w", at, w.Context, ErrWaiver)
		}
		m := slices.IndexFunc(j.order[w.Context], func(m benchmarks.Metric) bool { return m.Name == w.Metric })
		if m < 0 {
			return fmt.Errorf("%s: %s has no metric %q: %w", at, w.Context, w.Metric, ErrWaiver)
		}
		wide, err := widened(j.order[w.Context][m], w)
		if err != nil {
			return fmt.Errorf("%s: %s of %s: %w: %w", at, w.Metric, w.Context, err, ErrWaiver)
		}
		r := &j.night.Contexts[c].Metrics[m]
		declared := r.Declared
		if declared == nil {
			declared = &Declared{Tolerance: r.Tolerance, Limit: r.Limit}
		}
		*r = record(wide)
		r.Declared = declared
		j.order[w.Context][m] = wide
	}
	j.night.Waivers = j.Waivers
	return nil
}

// widened is the metric under the waiver, which must give up something.
func widened(m benchmarks.Metric, w catalog.Waiver) (benchmarks.Metric, error) {
	if w.Tolerance != nil {
		if m.Role == benchmarks.Success {
			return m, errors.New("is the success metric: a candidate that is not better is not wanted")
		}
		if *w.Tolerance <= m.Tolerance {
			return m, fmt.Errorf("tolerance %v gives up nothing, %v is in force", *w.Tolerance, m.Tolerance)
		}
		m.Tolerance = *w.Tolerance
		return m, nil
	}
	if m.Limit == nil {
		return m, errors.New("has no limit to waive")
	}
	if wider := *w.Limit > *m.Limit; *w.Limit == *m.Limit || wider != (m.Direction != benchmarks.Higher) {
		return m, fmt.Errorf("limit %v gives up nothing, %v is in force", *w.Limit, *m.Limit)
	}
	limit := *w.Limit
	m.Limit = &limit
	return m, nil
}

// waivers are those that a candidate is judged under. The baseline is held to
// be the same as itself, which no tolerance touches.
func (j *Judge) waivers(c Candidate) (out []Grant) {
	for _, g := range j.Waivers {
		if g.Waiver.Context == c.Context && (!c.Reference || g.Waiver.Tolerance == nil) {
			out = append(out, g)
		}
	}
	return out
}

// waiverDigests name the waivers on the error budget's ledger: by what they
// say, so that one more signature is no new waiver.
func (j *Judge) waiverDigests() ([]artifacts.Digest, error) {
	var out []artifacts.Digest
	for i, g := range j.Waivers {
		b, err := catalog.EncodeWaiver(g.Waiver)
		if err != nil {
			return nil, fmt.Errorf("waiver %d: %w: %w", i+1, err, ErrWaiver)
		}
		out = append(out, artifacts.DigestOf(b))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// waiversSpent refuses a charge whose waivers are more than the year's budget
// has left. One waiver may hold for many nights and counts once.
func waiversSpent(past []charged, most int, c Charge) error {
	if len(c.Waivers) == 0 {
		return nil
	}
	used := slices.Clone(c.Waivers)
	for _, p := range past {
		if p.Year == c.Year {
			used = append(used, p.Waivers...)
		}
	}
	slices.Sort(used)
	if n := len(slices.Compact(used)); n > most {
		return fmt.Errorf("%d waivers in %d, the policy's waivers_year allows %d: %w", n, c.Year, most, ErrWaiver)
	}
	return nil
}

// adopted refuses a charge under a policy that protects less than the last one
// of the same study, unless enough approvers have adopted it.
func adopted(past []charged, c Charge) error {
	if c.Rules == nil || c.Approvers == 0 {
		return nil // nothing is published from such a night
	}
	var last *Policy
	for _, p := range past {
		if p.Study == c.Study && p.Rules != nil && p.Approvers > 0 {
			last = p.Rules
		}
	}
	if last == nil {
		return nil
	}
	looser := last.Looser(*c.Rules)
	need := min(LooseningSignatures, c.Approvers)
	if len(looser) == 0 || (c.Adoption != nil && c.Adoption.Policy == c.Rules.Digest() && c.Adoption.Signers >= need) {
		return nil
	}
	return fmt.Errorf("%v: want %d approvers to adopt it: %w", looser, need, ErrLooser)
}

// Preflight says before a search what would be refused after it: a policy that
// cannot be, a waiver that does not hold, a budget that is spent, a looser
// policy that nobody adopted. It measures and writes nothing, and says nothing
// about a night whose ledger exists.
func (j *Judge) Preflight() error {
	if _, err := os.Stat(j.LedgerPath); err == nil {
		return nil
	}
	if err := j.Policy.Check(); err != nil {
		return err
	}
	j.begin()
	started := j.now()
	if err := errors.Join(j.waive(), j.checkGrants(started)); err != nil {
		return err
	}
	c, err := j.charge(registration{Started: started, Candidates: []string{"not yet known"}})
	if err != nil {
		return err
	}
	var past []charged
	if _, err := os.Stat(j.AlphaPath); err == nil {
		l := AlphaLedger{Path: j.AlphaPath, Checker: j.Checker}
		if _, err := ledger.Read(j.AlphaPath, l.visit(&past)); err != nil { // a torn tail is mended by the charge
			return fmt.Errorf("alpha ledger: %w", err)
		}
	}
	if _, _, err := spend(past, j.Policy.Budget(), c); err != nil {
		return fmt.Errorf("alpha ledger %s: %w", j.AlphaPath, err)
	}
	return nil
}
