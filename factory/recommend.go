package factory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Recommendation is the best point found for a context and what fresh samples
// say about it. None of the samples behind Claimed had a part in choosing the
// point.
type Recommendation struct {
	Context  string             `json:"context"`
	Point    json.RawMessage    `json:"point"`
	Metric   string             `json:"metric"`   // the success metric
	Unit     string             `json:"unit"`     //
	Claimed  float64            `json:"claimed"`  // its value, drift of the session taken out
	Interval [2]float64         `json:"interval"` // 95 %, lower and upper end
	Values   map[string]float64 `json:"values"`   // of every metric looked at, from the same fresh samples
	Baseline float64            `json:"baseline"` // the success metric of what runs today, over the whole session
	Feasible bool               `json:"feasible"` // nothing is beyond a limit or a tolerance
	Engine   string             `json:"engine,omitempty"`
	Origin   string             `json:"origin"`

	Noise *NoiseFloor `json:"noise,omitempty"` // of a measured success metric

	// Evaluations is every sample asked of the domain: of points and of the
	// baseline, repeats and failures included. It exceeds the context's share
	// of the budget only where the winner fails when it is measured again.
	Evaluations  int            `json:"evaluations"`
	Measurements int            `json:"measurements"` // requests that were answered; the rest failed
	Points       int            `json:"points"`       // distinct points tried
	Spent        map[string]int `json:"spent"`        // evaluations by purpose
}

// Recommendations is the answer of a search alone.
type Recommendations struct {
	Contexts     []Recommendation `json:"contexts"`
	Evaluations  int              `json:"evaluations"`
	Measurements int              `json:"measurements"`
	Stop         string           `json:"stop"`
	JournalHead  string           `json:"journal_head"`
}

// sampleRecord is one sample in the journal.
type sampleRecord struct {
	Context string             `json:"context"`
	Phase   string             `json:"phase"`
	Point   json.RawMessage    `json:"point"`
	Engine  string             `json:"engine,omitempty"`
	Origin  string             `json:"origin,omitempty"`
	Seed    uint64             `json:"seed"`
	Type    string             `json:"type,omitempty"`
	Values  map[string]float64 `json:"values,omitempty"`
	Failed  string             `json:"failed,omitempty"`
}

// recommending is the state of Recommend.
type recommending struct {
	cfg      Discovery
	progress Progress
	root     seed.Root
	journal  *journal
	pool     *pool
	outside  outsiders
	hunts    []*hunt
	answered []int // by hunt
	hardRow  int
	stop     string
}

// Recommend searches every context of the study with its share of the budget
// and returns the best point of each. A budget of N evaluations is N samples
// asked of the domain, whatever they are for. It differs from Discover, which
// feeds the gates: there a trial of a measured metric is a set of pairs, here
// every sample stands alone and a race decides at the end.
//
// Called again on the same journal it replays and goes on.
func Recommend(ctx context.Context, cfg Discovery) (found Recommendations, err error) {
	r := &recommending{cfg: cfg, progress: heard(cfg.Progress), root: seed.Root(cfg.Study.Seed)}
	r.outside = outsiders{ctx: ctx, journal: func() *journal { return r.journal }, say: r.progress.Say}
	if err := r.makeHunts(); err != nil {
		return Recommendations{}, err
	}
	if r.journal, err = openJournal(cfg.Journal, recommendPurpose, cfg.Study.Seed, cfg.Ledger); err != nil {
		return Recommendations{}, err
	}
	defer func() { err = errors.Join(err, r.outside.close(), r.journal.close()) }()
	builds := newBuildCache(cfg.Domain, buildSeed(cfg.Study))
	r.pool = newPool(r.workers(), func() *worker {
		return &worker{domain: cfg.Domain, root: r.root, baseline: cfg.Description.Baseline, builds: builds}
	})
	defer r.pool.close()
	err = r.begin()
	r.sayMatrix()
	for more := true; err == nil && more; {
		more, err = r.round(ctx)
	}
	if err != nil {
		return Recommendations{}, errors.Join(err, r.journal.sync())
	}
	if err := r.journal.put(kindDone, struct{}{}); err != nil {
		return Recommendations{}, err
	}
	if r.journal.replaying() {
		return Recommendations{}, fmt.Errorf("%s: records after the end: %w", cfg.Journal, ErrForeignJournal)
	}
	return r.result(), r.journal.sync()
}

// workers is the study's number. A study that does not say gets one where
// something is measured with noise: neighbours disturb each other, and a program
// that draws its noise as it goes is only the same program again if it is asked
// in the same order.
func (r *recommending) workers() int {
	if _, given := r.cfg.Study.doc.place("workers"); given {
		return r.cfg.Study.Workers
	}
	for _, h := range r.hunts {
		if h.noisy {
			return 1
		}
	}
	return r.cfg.Study.Workers
}

// makeHunts splits the budget over contexts equally.
func (r *recommending) makeHunts() error {
	st, d := r.cfg.Study, r.cfg.Description
	if err := st.check(); err != nil {
		return err
	}
	if err := st.CheckEngines(r.cfg.Engines); err != nil {
		return err
	}
	baseline, err := d.Space.Normalize(d.Baseline)
	if err != nil {
		return fmt.Errorf("baseline of %s: %w", d.Name, err)
	}
	equal := make([]float64, len(d.Scenarios))
	for i := range equal {
		equal[i] = 1
	}
	for c, budget := range shares(st.Budget.Evaluations, equal) {
		if budget < huntBudgetMin {
			return st.doc.refuseField("budget.evaluations", "%d are too few for %d contexts: each needs %d",
				st.Budget.Evaluations, len(d.Scenarios), huntBudgetMin)
		}
		h := newHunt(d.Scenarios[c], d, budget, r.root, baseline.Clone())
		if err := r.makeLanes(h, baseline); err != nil {
			return err
		}
		r.hunts = append(r.hunts, h)
	}
	r.answered = make([]int, len(r.hunts))
	return nil
}

// makeLanes gives a hunt the study's engines, or, if the study names none and
// the caller has what it takes, a mix for the budget. Shares are in samples.
func (r *recommending) makeLanes(h *hunt, baseline benchmarks.Point) error {
	mix := r.cfg.Study.Engines
	if usual := mixFor(h.budget - h.tail()); !r.cfg.Study.namesEngines() && hasAll(r.cfg.Engines, usual) {
		mix = usual
	}
	mix = r.cfg.Study.mixed(mix)
	weights := make([]float64, len(mix))
	for i, e := range mix {
		weights[i] = e.Share
	}
	h.turns = newBandit(mix, r.cfg.Study.namesEngines())
	for i, budget := range shares(h.budget, weights) {
		name := mix[i].Name
		if name == gridEngine { // its levels follow from what it can measure
			budget = int(float64(budget) / float64(h.budget) * float64(walkable(h.noisy, h.budget)))
		}
		e, err := r.outside.engine(r.cfg, h.scenario, name, engine.Config{
			Space: r.cfg.Description.Space, Budget: max(1, budget), Parallel: 1, Start: r.cfg.start(baseline, h.scenario.Name),
			Seed: seed.Derive(r.root, "factory/hunt/"+name+"/"+h.scenario.Name), Descriptors: r.cfg.Study.Descriptors,
		})
		if err != nil {
			return fmt.Errorf("engine %s: %w", name, err)
		}
		h.lanes = append(h.lanes, &huntLane{name: name, engine: e})
	}
	return nil
}

// huntBudgetMin: less than a few points, the race and the claim is no search.
const huntBudgetMin = 8

// begin ties the journal to the study and the domain.
func (r *recommending) begin() error {
	study, err := r.cfg.Study.Digest()
	if err != nil {
		return err
	}
	description, err := DescriptionDigest(r.cfg.Description)
	if err != nil {
		return err
	}
	elites, err := elitesDigest(r.cfg.Elites)
	if err != nil {
		return err
	}
	record := studyRecord{Study: study, Domain: description, Elites: elites}
	for _, h := range r.hunts {
		for _, l := range h.lanes {
			record.Lanes = append(record.Lanes, laneRecord{Context: h.scenario.Name, Engine: l.name, Budget: h.budget})
		}
	}
	return r.journal.put(kindStudy, record)
}

// round asks every hunt for its samples, commits them in that order, and lets
// the hunts draw their conclusions.
func (r *recommending) round(ctx context.Context) (more bool, err error) {
	if err := r.lookAtClock(); err != nil {
		return false, err
	}
	var wants []want
	var active []*hunt
	for _, h := range r.hunts {
		w, err := h.next()
		if err = errors.Join(err, r.outside.failed()); err != nil {
			return false, err
		}
		if len(w) > 0 {
			active = append(active, h)
			wants = append(wants, w...)
		}
	}
	if len(wants) == 0 {
		return false, nil
	}
	i := 0
	for ; i < len(wants) && r.journal.replaying(); i++ {
		x, err := r.replayed(wants[i])
		if err != nil {
			return false, err
		}
		if err := r.commit(wants[i], x); err != nil {
			return false, err
		}
	}
	if err := r.live(ctx, wants[i:]); err != nil {
		return false, err
	}
	for _, h := range active {
		if err := h.close(); err != nil {
			return false, err
		}
	}
	return true, r.journal.sync()
}

// lookAtClock ends the search phases when the time is spent. The decision is
// journaled, so that a replay needs no clock; the race and the claim follow.
func (r *recommending) lookAtClock() error {
	if r.stop != "" {
		return nil
	}
	var end stopRecord
	isStop, err := r.journal.peek(kindStop, &end)
	if err != nil {
		return err
	}
	limit := r.cfg.Study.Budget.Time
	if !isStop {
		if r.journal.replaying() || limit <= 0 || r.cfg.Elapsed == nil || r.cfg.Elapsed() < limit {
			return nil
		}
		end.Reason = "time is spent"
	}
	r.stop = end.Reason
	for _, h := range r.hunts {
		h.hurry = true
	}
	return r.journal.put(kindStop, stopRecord{Reason: end.Reason, Trials: r.total()})
}

func (r *recommending) total() int {
	n := 0
	for _, h := range r.hunts {
		n += h.total()
	}
	return n
}

func (r *recommending) record(w want, x measurement) sampleRecord {
	return sampleRecord{
		Context: w.hunt.scenario.Name, Phase: w.phase, Point: w.arm.point.Canonical(), Engine: w.arm.engine,
		Origin: w.arm.origin, Seed: w.seed, Type: x.Type, Values: x.Values, Failed: x.Failed,
	}
}

// replayed takes a sample from the journal, which must hold the very one that
// is wanted.
func (r *recommending) replayed(w want) (measurement, error) {
	var have sampleRecord
	ok, err := r.journal.peek(kindSample, &have)
	if err != nil {
		return measurement{}, err
	}
	need := r.record(w, measurement{})
	if !ok || have.Context != need.Context || have.Phase != need.Phase || string(have.Point) != string(need.Point) || have.Seed != need.Seed {
		return measurement{}, fmt.Errorf("%s: the search wants %s of %s in %s next, the journal has %s of %s in %s: %w",
			r.journal.path, need.Phase, need.Point, need.Context, have.Phase, have.Point, have.Context, ErrForeignJournal)
	}
	return measurement{Type: have.Type, Values: have.Values, Failed: have.Failed}, nil
}

// live measures what the journal does not know.
func (r *recommending) live(ctx context.Context, wants []want) error {
	jobs := make([]job, len(wants))
	for i, w := range wants {
		jobs[i] = job{
			scenario: w.hunt.scenario, metrics: w.hunt.metrics, paired: w.hunt.noisy, point: w.arm.point,
			phase: w.phase, fidelity: w.hunt.fidelity(r.cfg.Study.Fidelity), plain: true, seed: w.seed,
		}
	}
	b := r.pool.start(ctx, jobs)
	defer b.end()
	for i, w := range wants {
		x, err := b.take(i)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", ErrDomain, err)
		}
		if err := r.watch(x); err != nil {
			return err
		}
		if err := r.commit(w, x); err != nil {
			return err
		}
		if err := r.journal.flush(); err != nil {
			return err
		}
	}
	return nil
}

// watch notices a domain that has stopped working.
func (r *recommending) watch(x measurement) error {
	switch {
	case x.Failed == "":
		r.hardRow = 0
	case strings.HasPrefix(x.Failed, benchmarks.ErrBadCandidate.Error()):
	default:
		r.hardRow++
	}
	if r.hardRow < FailuresMax {
		return nil
	}
	return fmt.Errorf("%w: the last %d measurements failed, the last one so: %s", ErrDomain, FailuresMax, x.Failed)
}

func (r *recommending) commit(w want, x measurement) error {
	if err := r.journal.put(kindSample, r.record(w, x)); err != nil {
		return err
	}
	if x.Failed == "" {
		for i, h := range r.hunts {
			if h == w.hunt {
				r.answered[i]++
			}
		}
	}
	w.hunt.take(w, x)
	r.progress.Step(w.hunt.scenario.Name, w.hunt.total(), w.hunt.budget, w.phase+", "+w.hunt.note())
	return nil
}

func (r *recommending) result() Recommendations {
	out := Recommendations{Stop: r.stop, JournalHead: r.journal.log.Head(), Contexts: []Recommendation{}}
	if out.Stop == "" {
		out.Stop = "engines have nothing more to ask"
		for _, h := range r.hunts {
			if !h.ended {
				out.Stop = "evaluations are spent"
			}
		}
	}
	for i, h := range r.hunts {
		x := h.recommendation()
		x.Measurements = r.answered[i]
		out.Contexts = append(out.Contexts, x)
		out.Evaluations += x.Evaluations
		out.Measurements += x.Measurements
	}
	return out
}

// EncodeRecommendations returns the JSON form, the same bytes for the same
// answer.
func EncodeRecommendations(r Recommendations) ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// RecommendationSchema is the only schema that this version writes.
const RecommendationSchema = "arqon-recommendation/1"

// Recommend runs the search alone in a run's directory, in a journal of its
// own; called again after any interruption it goes on. Judge, HTML and
// Publisher are not used.
func (n Nightly) Recommend(ctx context.Context, run *Run) (Recommendations, error) {
	found, err := n.Domain.Describe(ctx)
	if err != nil {
		return Recommendations{}, fmt.Errorf("%w: describe: %w", ErrDomain, err)
	}
	d, err := run.Study.Apply(found)
	if err != nil {
		return Recommendations{}, err
	}
	if err := run.keepDescription(d); err != nil {
		return Recommendations{}, err
	}
	cfg := Discovery{
		Study: run.Study, Domain: n.Domain, Description: d, Engines: n.Engines,
		Journal: run.file(fileSearch), Progress: n.Progress,
	}
	if cfg.Elites, err = run.elites(d); err != nil {
		return Recommendations{}, err
	}
	if n.Now != nil {
		w := newStopwatch(run.file(fileClock), n.Now)
		cfg.Elapsed = w.elapsed
		defer func() { w.save(w.elapsed()) }()
	}
	out, err := Recommend(ctx, cfg)
	if err != nil {
		return out, err
	}
	b, err := EncodeRecommendations(out)
	if err != nil {
		return out, err
	}
	if err := run.keepArchive(); err != nil {
		return out, err
	}
	return out, run.write(fileFound, b)
}
