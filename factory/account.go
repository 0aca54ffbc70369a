package factory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// Account is what a search has done, read off its run's directory without
// touching it: for people who look, never for a decision. The run may still be
// growing.
type Account struct {
	Run          string
	Study        Study
	Description  benchmarks.Description // with the study's contexts and limits
	Alone        bool                   // a search alone (discover); else that of a night
	Lanes        []AccountLane
	Observations []Observation // in the order of the journal
	Stop         string        // why the search ended; "" while it has not
	Ended        bool
	Notes        []Note           // what outside proposers had trouble with
	Portfolio    *gates.Portfolio // of a night whose search has ended
	Winners      []Winner         // by context, best first; none before the search has ended
	JournalHead  string
}

// AccountLane is one engine's part of a context's budget.
type AccountLane struct {
	Context string `json:"context"`
	Engine  string `json:"engine"`
	Budget  int    `json:"budget"` // evaluations; of a search alone, those of the whole context
}

// Note is something that happened to an engine, or, without one, to a finalist.
type Note struct {
	Context string `json:"context"`
	Engine  string `json:"engine,omitempty"`
	Text    string `json:"text"`
}

// The purposes of an observation.
const (
	ForBaseline = "baseline" // what runs today
	ForSearch   = "search"   // asked by an engine
	ForRace     = "race"     // a finalist again, among others
	ForClaim    = "claim"    // the winner afresh, or a night's finalists
)

// Observation is one measurement, or a set of pairs, of a point in a context.
type Observation struct {
	Context string
	Purpose string
	Engine  string // "" for the baseline
	Lane    int    // index in Account.Lanes; −1: none, or not known
	Index   int    // within the lane; −1 likewise
	Origin  string
	Parents []int // indexes within the lane that the point descends from, where the engine said
	Point   benchmarks.Point
	Values  map[string]float64
	Change  map[string]float64 // against the baseline, signed as measured
	Loss    float64            // as the search ranks: 0 is the baseline, below 1 feasible, +Inf failed
	Failed  string
	Cached  bool // answered from memory
}

// Feasible says that the observation kept every limit and tolerance.
func (o Observation) Feasible() bool { return feasible(o.Loss) }

// Winner is a point that a search recommends for a context: a candidate of a
// night, the recommendation of a search alone.
type Winner struct {
	Context  string
	Name     string // of a candidate; "" of a search alone
	Point    benchmarks.Point
	Engine   string
	Origin   string
	Metric   string  // the success metric
	Change   float64 // what fresh samples say, against the baseline
	Interval *[2]float64
	Found    int // index in Account.Observations of its first search measurement; −1: none
}

// ReadAccount reads the run in a directory. A run of which the search has not
// begun, or one written before runs kept their description, is ErrNoAccount.
func ReadAccount(path string) (Account, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Account{}, err
	}
	r := &Run{Path: path}
	f, err := r.identify()
	if err != nil {
		return Account{}, err
	}
	// Not load: a run that this version could not go on with can still be
	// looked at.
	if err := r.readStudy(); err != nil {
		return Account{}, err
	}
	a := Account{Run: f.Name, Study: r.Study}
	raw, err := readLimited(r.file(fileDescription), maxStudyBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("%s: no %s in it: %w", path, fileDescription, ErrNoAccount)
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(raw, &a.Description); err != nil {
		return a, fmt.Errorf("%s: %w", r.file(fileDescription), err)
	}
	a.Description.Space = a.Description.Space.Typed()
	if a.Description.Baseline, err = a.Description.Space.Normalize(a.Description.Baseline); err != nil {
		return a, fmt.Errorf("%s: baseline: %w", r.file(fileDescription), err)
	}
	if err := a.readJournal(r, artifacts.DigestOf(raw)); err != nil {
		return a, err
	}
	return a, a.readWinners(r)
}

// ErrNoAccount: the run does not hold what an account needs.
var ErrNoAccount = errors.New("nothing to show yet")

// fileDescription is what the search took the domain for: the journal holds
// its digest.
const fileDescription = "description.json"

// keepDescription writes the description that the search works by.
func (r *Run) keepDescription(d benchmarks.Description) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("description of %s: %w", d.Name, err)
	}
	return r.write(fileDescription, b)
}

// readJournal reads the journal of the night, or else that of the search
// alone.
func (a *Account) readJournal(r *Run, description artifacts.Digest) error {
	path, purpose := r.file(fileJournal), journalPurpose
	if there, err := r.exists(fileJournal); err != nil {
		return err
	} else if !there {
		path, purpose, a.Alone = r.file(fileSearch), recommendPurpose, true
	}
	take := accounting{Account: a, domain: description, path: path}
	info, err := ledger.Read(path, take.record)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no journal in it: %w", r.Path, ErrNoAccount)
	}
	if err != nil {
		return err
	}
	if info.Header.Purpose != purpose {
		return fmt.Errorf("%s: is %q, want %q: %w", path, info.Header.Purpose, purpose, ErrForeignJournal)
	}
	a.JournalHead = info.HeadHex()
	return nil
}

// accounting takes the records of a journal.
type accounting struct {
	*Account
	domain artifacts.Digest
	path   string
	hunts  map[string]*hunt // of a search alone, by context: only to say how good a sample is
	left   map[string]leaving
}

// leaving is how many finalists of a context have left for one reason, and the
// note that says so.
type leaving struct{ note, count int }

func (t *accounting) record(r ledger.Record) error {
	var err error
	switch r.Kind {
	case kindStudy:
		err = t.study(r.Payload)
	case kindBaseline:
		err = t.measured(r.Payload, ForBaseline)
	case kindConfirm:
		err = t.measured(r.Payload, ForClaim)
	case kindScreen:
		err = t.screened(r.Payload)
	case kindTrial:
		err = t.trial(r.Payload)
	case kindSample:
		err = t.sample(r.Payload)
	case kindProposed:
		err = t.proposed(r.Payload)
	case kindStop:
		var s stopRecord
		err = json.Unmarshal(r.Payload, &s)
		t.Stop = s.Reason
	case kindDone:
		t.Ended = true
	}
	if err != nil {
		return fmt.Errorf("%s: record %d: %w", t.path, r.Seq, err)
	}
	return nil
}

func (t *accounting) study(payload []byte) error {
	var s studyRecord
	if err := json.Unmarshal(payload, &s); err != nil {
		return err
	}
	if s.Domain != t.domain {
		return fmt.Errorf("%s belongs to another journal: %w", fileDescription, ErrForeignJournal)
	}
	for _, l := range s.Lanes {
		t.Lanes = append(t.Lanes, AccountLane(l))
	}
	return nil
}

func (t *accounting) proposed(payload []byte) error {
	var p proposedRecord
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	note := func(text string) { t.Notes = append(t.Notes, Note{Context: p.Context, Engine: p.Engine, Text: text}) }
	for _, s := range p.Trouble {
		note(s)
	}
	for _, r := range p.Refused {
		note("refused " + string(r.Point) + ": " + r.Reason)
	}
	if p.Ended != "" {
		note("is asked no more: " + p.Ended)
	}
	return nil
}

func (t *accounting) measured(payload []byte, purpose string) error {
	var m measureRecord
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	return t.add(m.Point, Observation{
		Context: m.Context, Purpose: purpose, Lane: -1, Index: -1, Values: m.Values, Change: m.Change,
		Loss: float64(m.Loss), Failed: m.Failed,
	})
}

// screened notes a finalist that left for a measured guardrail.
func (t *accounting) screened(payload []byte) error {
	var m measureRecord
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	if m.Failed == "" {
		return nil
	}
	key := m.Context + "\x00" + m.Failed
	if t.left == nil {
		t.left = map[string]leaving{}
	}
	l, again := t.left[key]
	if !again {
		l.note = len(t.Notes)
		t.Notes = append(t.Notes, Note{Context: m.Context, Text: "a finalist left: " + m.Failed})
	}
	if l.count++; l.count > 1 {
		t.Notes[l.note].Text = fmt.Sprintf("%d finalists left: %s", l.count, m.Failed)
	}
	t.left[key] = l
	return nil
}

func (t *accounting) trial(payload []byte) error {
	var x Trial
	if err := json.Unmarshal(payload, &x); err != nil {
		return err
	}
	return t.add(x.Point, Observation{
		Context: x.Context, Purpose: ForSearch, Engine: x.Engine, Lane: x.Lane, Index: x.Index, Origin: x.Origin,
		Parents: x.Parents, Values: x.Values, Change: x.Change, Loss: float64(x.Loss), Failed: x.Failed, Cached: x.Cached,
	})
}

// sample takes a sample of a search alone, which is journaled as it was
// measured: how good it is follows from the baseline of its phase.
func (t *accounting) sample(payload []byte) error {
	var x sampleRecord
	if err := json.Unmarshal(payload, &x); err != nil {
		return err
	}
	h, err := t.hunt(x.Context)
	if err != nil {
		return err
	}
	m := measurement{Type: x.Type, Values: x.Values, Failed: x.Failed}
	o := Observation{Context: x.Context, Purpose: x.Phase, Engine: x.Engine, Lane: -1, Index: -1, Origin: x.Origin, Values: x.Values, Failed: x.Failed}
	if x.Phase == phaseOpen || x.Engine == "" && x.Origin == h.baseline.origin {
		o.Purpose = ForBaseline
		h.reference[x.Phase] = append(h.reference[x.Phase], m)
		if x.Phase == phaseOpen {
			h.scale = h.joined(h.reference[phaseOpen], nil).Values
		}
	}
	one := h.joined([]measurement{m}, h.scaleIn(x.Phase))
	o.Change, o.Loss = one.Change, loss(h.metrics, one)
	return t.add(x.Point, o)
}

// hunt is a context's hunt that has only been begun.
func (t *accounting) hunt(context string) (*hunt, error) {
	if h := t.hunts[context]; h != nil {
		return h, nil
	}
	sc, ok := t.Description.Scenario(context)
	if !ok {
		return nil, fmt.Errorf("context %q is not in %s: %w", context, fileDescription, ErrForeignJournal)
	}
	if t.hunts == nil {
		t.hunts = map[string]*hunt{}
	}
	t.hunts[context] = newHunt(sc, t.Description, 0, seed.Root(0), t.Description.Baseline)
	return t.hunts[context], nil
}

func (t *accounting) add(point json.RawMessage, o Observation) error {
	p, err := benchmarks.DecodePoint(t.Description.Space, point)
	if err != nil {
		return err
	}
	o.Point = p
	if o.Failed != "" {
		o.Loss = float64(engine.Worst(o.Loss))
	}
	t.Observations = append(t.Observations, o)
	return nil
}

// readWinners takes them from the candidates of a night or the recommendation
// of a search alone.
func (a *Account) readWinners(r *Run) error {
	name := fileCandidates
	if a.Alone {
		name = fileFound
	}
	b, err := readLimited(r.file(name), maxCandidatesBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && a.Alone {
		err = a.recommended(b)
	} else if err == nil {
		err = a.candidates(b)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.file(name), err)
	}
	return nil
}

func (a *Account) candidates(b []byte) error {
	f, err := decodeCandidatesFile(b)
	if err != nil {
		return err
	}
	a.Portfolio = &f.Portfolio
	for _, c := range f.Candidates {
		if c.Reference {
			continue
		}
		w := Winner{
			Context: c.Context, Name: c.Variant.Name, Engine: c.Lineage.Engine, Origin: c.Lineage.Origin,
			Metric: c.Claim.Metric, Change: c.Claim.Change,
		}
		if err := a.win(w, c.Variant.Point); err != nil {
			return err
		}
	}
	return nil
}

func (a *Account) recommended(b []byte) error {
	var f Recommendations
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if a.Stop == "" {
		a.Stop = f.Stop
	}
	for _, c := range f.Contexts {
		m, ok := a.Description.Metric(c.Metric)
		if !ok {
			return fmt.Errorf("metric %q is not in %s: %w", c.Metric, fileDescription, ErrForeignJournal)
		}
		if m.Compare == "" {
			m.Compare = benchmarks.Ratio
		}
		interval := [2]float64{change(m, c.Baseline, c.Interval[0]), change(m, c.Baseline, c.Interval[1])}
		w := Winner{
			Context: c.Context, Engine: c.Engine, Origin: c.Origin, Metric: c.Metric,
			Change: change(m, c.Baseline, c.Claimed), Interval: &interval,
		}
		if err := a.win(w, c.Point); err != nil {
			return err
		}
	}
	return nil
}

// win adds a winner and finds where the search first met it.
func (a *Account) win(w Winner, point json.RawMessage) error {
	p, err := benchmarks.DecodePoint(a.Description.Space, point)
	if err != nil {
		return err
	}
	w.Point, w.Found = p, -1
	key := p.Canonical()
	for i, o := range a.Observations {
		if o.Context == w.Context && o.Purpose == ForSearch && bytes.Equal(o.Point.Canonical(), key) {
			w.Found = i
			break
		}
	}
	a.Winners = append(a.Winners, w)
	return nil
}
