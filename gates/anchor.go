package gates

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
)

// A tolerance that every promotion may use up compounds: fifty times one
// percent is sixty-four. So an epoch pins an anchor, the baseline of the night
// that began it, and holds every candidate to one tolerance against it.
//
// Where the anchor's artifact is at hand, candidates that stand beside tonight's
// baseline are measured beside the anchor too (anchor_pairs.go), at the level of
// one candidate: nothing adds up. Where it is not, every promotion since draws
// its upper confidence limit (how much worse it may be) from one tolerance a
// guardrail, and a candidate passes only if what its baseline has drawn and its
// own limit together stay inside. Limits below 0 give back.
//
// What is summed are limits that hold at the level of a candidate each, so the
// sum holds for a chain of n promotions at n times that level. The price is
// that the budget ends even when nothing got worse: then a new epoch is pinned,
// which is a decision of people.

const anchorPurpose = "arqon anchor ledger/1"

// The kinds of record in an anchor ledger.
const (
	kindPinned   uint16 = 1
	kindPromoted uint16 = 2
)

// ErrNoAnchor: there is no anchor ledger at the path.
var ErrNoAnchor = errors.New("no anchor is pinned")

// AnchorRecord is what a night knew of its epoch before the first pair.
type AnchorRecord struct {
	Epoch    int              `json:"epoch"` // 1, 2, 3, …
	Run      string           `json:"run"`   // the night whose baseline was pinned
	Identity artifacts.Digest `json:"identity"`
	Baseline artifacts.Digest `json:"baseline"`           // tonight's; empty: no reference was judged
	Drawn    []AnchorDraw     `json:"drawn"`              // by tonight's baseline, when it is not the anchor itself
	Measured bool             `json:"measured,omitempty"` // the anchor itself is measured beside the candidates
}

// AnchorDraw is how much of one tolerance has been drawn: worse by at most
// this, as a log ratio or a difference, in one context.
type AnchorDraw struct {
	Context string  `json:"context"`
	Metric  string  `json:"metric"`
	Worse   float64 `json:"worse"`
}

type pinned struct {
	Epoch    int              `json:"epoch"`
	Run      string           `json:"run"`
	Identity artifacts.Digest `json:"identity"`
}

type promoted struct {
	Run      string           `json:"run"`
	Identity artifacts.Digest `json:"identity"`
	Baseline artifacts.Digest `json:"baseline"`
	Context  string           `json:"context"`
	Drawn    []AnchorDraw     `json:"drawn"` // since the anchor, this promotion included
}

// anchorFile is an anchor ledger as it was read.
type anchorFile struct {
	pin        pinned
	promotions []promoted // of the last epoch
}

func (a *anchorFile) visit(r ledger.Record) error {
	switch r.Kind {
	case kindPinned:
		a.promotions = nil
		return json.Unmarshal(r.Payload, &a.pin)
	case kindPromoted:
		var p promoted
		if err := json.Unmarshal(r.Payload, &p); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		a.promotions = append(a.promotions, p)
		return nil
	}
	return fmt.Errorf("record %d: kind %d is not known", r.Seq, r.Kind)
}

// openAnchor opens an anchor ledger for appending; create makes one.
func openAnchor(path string, create bool) (*ledger.Log, *anchorFile, error) {
	a := &anchorFile{}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, nil, fmt.Errorf("anchor ledger %s: %w", path, ErrNoAnchor)
		}
		log, err := ledger.Create(path, ledger.Header{Purpose: anchorPurpose}, ledger.Options{})
		return log, a, err
	}
	log, info, err := ledger.Open(path, ledger.Options{}, a.visit)
	if err == nil && info.Header.Purpose != anchorPurpose {
		err = errors.Join(fmt.Errorf("%s: its purpose is %.80q: %w", path, info.Header.Purpose, ledger.ErrForeign), log.Close())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("anchor ledger: %w", err)
	}
	return log, a, nil
}

// PinAnchor begins a new epoch at path (created if absent) with the baseline of
// a judged night as its anchor, and returns the epoch's number.
func PinAnchor(path string, n Night) (epoch int, err error) {
	id := referenceOf(n.Candidates)
	if id == "" {
		return 0, fmt.Errorf("night %s: its baseline was not judged as a reference: nothing to pin", n.Run)
	}
	if n.Outcome != Pass {
		return 0, fmt.Errorf("night %s is %s: %s: nothing to pin", n.Run, n.Outcome, n.Reason)
	}
	log, a, err := openAnchor(path, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	b, err := json.Marshal(pinned{Epoch: a.pin.Epoch + 1, Run: n.Run, Identity: id})
	if err != nil {
		return 0, err
	}
	_, err = log.AppendSync(kindPinned, b)
	return a.pin.Epoch + 1, err
}

func referenceOf(cs []CandidateReport) artifacts.Digest {
	for _, c := range cs {
		if c.Reference {
			return c.Identity
		}
	}
	return ""
}

// anchored is what the ledger says about tonight's baseline.
func (a *anchorFile) anchored(baseline artifacts.Digest) *AnchorRecord {
	out := &AnchorRecord{Epoch: a.pin.Epoch, Run: a.pin.Run, Identity: a.pin.Identity, Baseline: baseline, Drawn: []AnchorDraw{}}
	latest := map[string]promoted{} // by context
	for _, p := range a.promotions {
		if p.Identity == baseline {
			latest[p.Context] = p
		}
	}
	for _, p := range a.promotions {
		if q, ok := latest[p.Context]; ok && p.Run == q.Run && p.Identity == q.Identity {
			out.Drawn = append(out.Drawn, p.Drawn...)
			delete(latest, p.Context)
		}
	}
	return out
}

// drawn is what the baseline has used of a metric's tolerance; known is false
// for a baseline that is neither the anchor nor a promotion since.
func (a *AnchorRecord) drawn(context, metric string) (worse float64, known bool) {
	if a.Baseline != "" && a.Baseline == a.Identity {
		return 0, true
	}
	for _, d := range a.Drawn {
		if d.Context == context && d.Metric == metric {
			return d.Worse, true
		}
	}
	return 0, false
}

// readAnchor fills in the night's anchor record, if the caller keeps one.
func (j *Judge) readAnchor(candidates []Candidate) error {
	if j.AnchorPath == "" {
		return nil
	}
	a, err := recall(j.rec, "anchor", func() (AnchorRecord, error) {
		file, err := readAnchorFile(j.AnchorPath)
		if err != nil {
			return AnchorRecord{}, err
		}
		baseline := artifacts.Digest("")
		for _, c := range candidates {
			if c.Reference {
				baseline = c.Variant.Identity
			}
		}
		out := file.anchored(baseline)
		out.Measured = j.Anchor != nil && baseline != out.Identity
		return *out, nil
	})
	if err == nil && a.Measured && j.Anchor == nil {
		err = fmt.Errorf("the anchor of epoch %d was at hand when the night began and is not now: %w", a.Epoch, ErrNoAnchor)
	}
	j.night.Anchor = &a
	return err
}

// AnchorOf names the variant that the ledger at path has pinned last.
func AnchorOf(path string) (artifacts.Digest, error) {
	file, err := readAnchorFile(path)
	if err != nil {
		return "", err
	}
	return file.pin.Identity, nil
}

func readAnchorFile(path string) (*anchorFile, error) {
	file := &anchorFile{}
	info, err := ledger.Read(path, file.visit)
	if err = whole(path, info, err); err != nil {
		return nil, fmt.Errorf("anchor ledger: %w", err)
	}
	if info.Header.Purpose != anchorPurpose || file.pin.Epoch == 0 {
		return nil, fmt.Errorf("anchor ledger %s: %w", path, ErrNoAnchor)
	}
	return file, nil
}

// writePromotions notes what tonight's promotions have drawn, once: each may be
// the baseline of a later night.
func (j *Judge) writePromotions() (err error) {
	if j.night.Anchor == nil || j.night.Outcome != Pass {
		return nil
	}
	log, a, err := openAnchor(j.AnchorPath, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if a.pin.Epoch != j.night.Anchor.Epoch {
		return nil // a new epoch began meanwhile: tonight was judged in the old one
	}
	for _, c := range j.night.Candidates {
		if c.Outcome != Pass || c.Reference {
			continue
		}
		p := promoted{Run: j.Run, Identity: c.Identity, Baseline: j.night.Anchor.Baseline, Context: c.Context, Drawn: drawsOf(c)}
		if slices.ContainsFunc(a.promotions, func(q promoted) bool {
			return q.Run == p.Run && q.Identity == p.Identity && q.Context == p.Context
		}) {
			continue
		}
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if _, err := log.AppendSync(kindPromoted, b); err != nil {
			return err
		}
	}
	return nil
}

// drawsOf reads the sums off the anchor results.
func drawsOf(c CandidateReport) []AnchorDraw {
	out := []AnchorDraw{}
	for _, r := range c.Results {
		if r.Test == TestAnchor && r.Drawn != nil {
			out = append(out, AnchorDraw{Context: c.Context, Metric: r.Metric, Worse: *r.Drawn})
		}
	}
	return out
}

// worsePair is how much worse a paired difference is: positive is worse.
func worsePair(m benchmarks.Metric, d float64) float64 {
	if m.Direction == benchmarks.Higher {
		return -d
	}
	return d
}

// anchorRoom is how much worse than tonight's baseline, which has drawn
// already, the candidate may be, as a paired difference.
func (s *measuredSeries) anchorRoom() float64 { return s.question.Worse(s.metric.Tolerance) - s.drawn }

// upperLimit is how much worse than tonight's baseline the candidate may be, at
// the level of one claim; +Inf while that cannot be told.
func (s *measuredSeries) upperLimit() float64 {
	return s.d.WorseMost(s.question.Alpha / float64(s.question.Candidates))
}

// anchorResult judges one guardrail against the anchor. worse is the estimate
// and limit the upper limit of how much worse than tonight's baseline the
// candidate is, on the paired scale.
func (t *trial) anchorResult(r Result, m benchmarks.Metric, worse, limit float64) Result {
	a := t.j.night.Anchor
	r.Test, r.Lower, r.Upper, r.Alpha, r.Race = TestAnchor, nil, nil, 0, Race{}
	drawn, known := a.drawn(t.c.Context, m.Name)
	if !known {
		r.Decision = Inconclusive
		r.Reason = fmt.Sprintf("%s: tonight's baseline is neither the anchor of epoch %d nor a promotion since: pin a new epoch", m.Name, a.Epoch)
		return r
	}
	r.Change = pairChange(m, worsePair(m, drawn+worse))
	bound := worsePair(m, pairBound(m, m.Tolerance))
	sum := drawn + limit
	r.Decision = Inconclusive
	if finite(sum) {
		r.Drawn = &sum
		edge := finitePointer(pairChange(m, worsePair(m, sum)))
		if r.Lower, r.Upper = nil, edge; m.Direction == benchmarks.Higher {
			r.Lower, r.Upper = edge, nil
		}
		switch {
		case sum <= bound+exactSlack:
			r.Decision = Pass
		case r.Exact:
			r.Decision = Fail
		}
	}
	upper := "cannot be told yet"
	if finite(sum) {
		upper = number(m, pairChange(m, worsePair(m, sum)))
	}
	r.Reason = fmt.Sprintf("%s against the anchor of epoch %d: upper limit %s, of which earlier promotions drew %s, one tolerance is %s",
		m.Name, a.Epoch, upper, number(m, pairChange(m, worsePair(m, drawn))), number(m, changeBound(m, m.Tolerance)))
	return r
}

// onPaper adds what the chain of promotions allows where the anchor is not at
// hand.
func (t *trial) onPaper(a, b evaluation) {
	for _, m := range t.metrics {
		if m.Role == benchmarks.Success {
			continue
		}
		r := newResult(GateRegression, TestAnchor, m)
		if m.Kind == benchmarks.Measured {
			s := t.series[m.Name]
			r.N, r.LogBar = s.len(), t.logBar()
			if s.bad != nil || t.pairsFailed != "" || r.N == 0 {
				continue // the guardrail itself says so
			}
			r.Baseline, r.Candidate = median(s.a), median(s.b)
			r.LogE = s.ask(TestAnchor, 0).logE
			r = t.anchorResult(r, m, s.d.Pairs().Median(), s.upperLimit())
		} else {
			if missing(m, a, b) != "" {
				continue
			}
			r.Exact, r.Baseline, r.Candidate = true, a.values[m.Name], b.values[m.Name]
			worse := exactWorse(m, r.Baseline, r.Candidate)
			r = t.anchorResult(r, m, worse, worse)
		}
		t.rep.Results = append(t.rep.Results, r)
	}
}

// exactWorse is a deterministic change on the paired scale.
func exactWorse(m benchmarks.Metric, a, b float64) float64 {
	worse := m.Worse(a, b)
	if m.Compare != benchmarks.Ratio {
		return worse
	}
	return worsePair(m, math.Log1p(max(signed(m, worse), -1+1e-12)))
}
