package factory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// Discovery is what a search needs. Fields without a word about their zero
// are mandatory.
type Discovery struct {
	Study       Study
	Domain      benchmarks.Domain
	Description benchmarks.Description // Study.Apply's: contexts and limits of the study
	Engines     map[string]engine.New  // by the names that studies use
	Journal     string                 // path; an existing journal is gone on with
	Progress    Progress               // nil: nobody listens
	// Elites are points of earlier nights, by context, that every search
	// begins with; nil: only the baseline.
	Elites map[string][]benchmarks.Point
	// Elapsed returns the time that the search has taken so far, earlier
	// sessions included. nil: budget.time does not hold.
	Elapsed func() time.Duration
	Ledger  ledger.Options // zero: the defaults
}

// Search is what a search has found.
type Search struct {
	Description benchmarks.Description
	Baseline    []Outcome   // by context
	Trials      []Trial     // in told order
	Stop        string      // why it ended
	Finalists   [][]Outcome // by context: measured afresh at full fidelity, best first
	Matrix      [][]Outcome // every finalist of any context × context, see Points
	Points      []json.RawMessage
	JournalHead string // the journal's chain at its end
}

// Outcome is a point measured in a context outside the lanes.
type Outcome struct {
	Context string
	Point   benchmarks.Point
	Type    string
	Values  map[string]float64
	Change  map[string]float64
	Loss    float64
	Failed  string
	Trial   int // where it was found: index into Search.Trials; −1 for the baseline
}

// batchSize is how many points a lane is asked for in one round. It does not
// depend on the number of workers, because the engines see it.
const batchSize = 8

// FailuresMax failures in a row, none of them the candidate's fault, end a search:
// something is wrong with the domain, and guessing on wastes the night.
const FailuresMax = 50

// ErrDomain: the domain does not work, so there is nothing to search in.
var ErrDomain = errors.New("domain does not work")

// lane is one engine in one context.
type lane struct {
	context  int
	scenario benchmarks.Scenario
	metrics  []benchmarks.Metric
	paired   bool
	name     string
	engine   engine.Engine
	budget   int
	asked    int
	ended    bool
}

// search is the state of Discover.
type search struct {
	cfg      Discovery
	progress Progress
	root     seed.Root
	journal  *journal
	pool     *pool
	builds   *buildCache
	outside  outsiders
	lanes    []*lane
	turns    []*bandit     // by context, over its lanes; nil: every lane has a turn in every round
	baseline []measurement // by context
	known    []map[artifacts.Digest]measurement
	best     []float64 // by context
	bestNote []string
	told     []int // by context
	hardRow  int
	out      Search
}

// Discover searches until the budget is spent, measures the finalists afresh,
// and returns what it found. Called again after an interruption, on the same
// journal, it replays and goes on; a journal of another study, domain or set of
// engines is ErrForeignJournal.
func Discover(ctx context.Context, cfg Discovery) (found Search, err error) {
	s, err := newSearch(cfg)
	if err != nil {
		return Search{}, err
	}
	defer func() { err = errors.Join(err, s.outside.close(), s.journal.close()) }()
	s.outside.ctx = ctx
	s.pool = newPool(cfg.Study.Workers, s.newWorker)
	defer s.pool.close()
	for _, step := range []func(context.Context) error{s.begin, s.baselines, s.rounds, s.confirm} {
		if err := step(ctx); err != nil {
			return Search{}, errors.Join(err, s.keep())
		}
	}
	if err := s.journal.put(kindDone, struct{}{}); err != nil {
		return Search{}, err
	}
	if s.journal.replaying() {
		return Search{}, fmt.Errorf("%s: records after the end: %w", cfg.Journal, ErrForeignJournal)
	}
	s.out.JournalHead = s.journal.log.Head()
	return s.out, s.journal.sync()
}

// keep makes durable what an interrupted search has measured. A journal that
// has failed already says so once.
func (s *search) keep() error {
	if err := s.journal.sync(); err != nil && !errors.Is(err, ledger.ErrFailed) {
		return err
	}
	return nil
}

func newSearch(cfg Discovery) (*search, error) {
	if err := cfg.Study.check(); err != nil {
		return nil, err
	}
	if err := cfg.Study.CheckEngines(cfg.Engines); err != nil {
		return nil, err
	}
	s := &search{
		cfg: cfg, progress: heard(cfg.Progress), root: seed.Root(cfg.Study.Seed),
		builds: newBuildCache(cfg.Domain, buildSeed(cfg.Study)),
	}
	s.out.Description = cfg.Description
	n := len(cfg.Description.Scenarios)
	s.baseline, s.best, s.bestNote, s.told = make([]measurement, n), make([]float64, n), make([]string, n), make([]int, n)
	for range n {
		s.known = append(s.known, map[artifacts.Digest]measurement{})
	}
	s.outside = outsiders{journal: func() *journal { return s.journal }, say: s.progress.Say}
	if err := s.makeLanes(); err != nil {
		return nil, err
	}
	var err error
	s.journal, err = openJournal(cfg.Journal, journalPurpose, cfg.Study.Seed, cfg.Ledger)
	return s, err
}

// buildSeed is the same for every point of a study: a point means one bundle.
func buildSeed(st Study) uint64 { return seed.Derive(seed.Root(st.Seed), "factory/build") }

// makeLanes splits the budget over contexts equally and over engines by share.
func (s *search) makeLanes() error {
	st, d := s.cfg.Study, s.cfg.Description
	mix := st.Engines
	usual := nightMix(d.Space)
	adapt := !st.namesEngines() && hasAll(s.cfg.Engines, usual)
	if adapt {
		mix = usual
	}
	mix = st.mixed(mix)
	weights := make([]float64, len(mix))
	for i, e := range mix {
		weights[i] = e.Share
	}
	equal := make([]float64, len(d.Scenarios))
	for i := range equal {
		equal[i] = 1
	}
	baseline, err := d.Space.Normalize(d.Baseline)
	if err != nil {
		return fmt.Errorf("baseline of %s: %w", d.Name, err)
	}
	for c, total := range shares(st.Budget.Evaluations, equal) {
		if adapt {
			s.turns = append(s.turns, newBandit(mix, false))
		}
		for e, budget := range shares(total, weights) {
			if budget == 0 {
				return st.doc.refuseField("budget.evaluations", "%d are too few for %d contexts and %d engines: some would get none",
					st.Budget.Evaluations, len(d.Scenarios), len(mix))
			}
			l := &lane{context: c, scenario: d.Scenarios[c], name: mix[e].Name, budget: budget}
			l.metrics, l.paired = needed(d, l.scenario)
			l.engine, err = s.outside.engine(s.cfg, l.scenario, l.name, engine.Config{
				Space: d.Space, Budget: budget, Parallel: batchSize, Start: s.cfg.start(baseline, l.scenario.Name),
				Seed: seed.Derive(s.root, "factory/engine/"+l.name+"/"+l.scenario.Name), Descriptors: st.Descriptors,
			})
			if err != nil {
				return fmt.Errorf("engine %s: %w", l.name, err)
			}
			s.lanes = append(s.lanes, l)
		}
	}
	return nil
}

func (s *search) newWorker() *worker {
	return &worker{
		domain: s.cfg.Domain, root: s.root, baseline: s.cfg.Description.Baseline, builds: s.builds,
		pairer: benchmarks.NewPairer(s.cfg.Description),
	}
}

// begin ties the journal to the study and the domain.
func (s *search) begin(context.Context) error {
	study, err := s.cfg.Study.Digest()
	if err != nil {
		return err
	}
	description, err := DescriptionDigest(s.cfg.Description)
	if err != nil {
		return err
	}
	elites, err := elitesDigest(s.cfg.Elites)
	if err != nil {
		return err
	}
	r := studyRecord{Study: study, Domain: description, Elites: elites}
	for _, l := range s.lanes {
		r.Lanes = append(r.Lanes, laneRecord{Context: l.scenario.Name, Engine: l.name, Budget: l.budget})
	}
	return s.journal.put(kindStudy, r)
}

// DescriptionDigest names a description.
func DescriptionDigest(d benchmarks.Description) (artifacts.Digest, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("description of %s: %w", d.Name, err)
	}
	return artifacts.DigestOf(b), nil
}

// baselines measures what runs today in every context; without it nothing can
// be called better.
func (s *search) baselines(ctx context.Context) error {
	point, err := s.cfg.Description.Space.Normalize(s.cfg.Description.Baseline)
	if err != nil {
		return err
	}
	var jobs []job
	for _, sc := range s.cfg.Description.Scenarios {
		jobs = append(jobs, s.job(sc, point, "search", s.cfg.Study.Fidelity, searchPairs, nil))
	}
	return s.measureAll(ctx, kindBaseline, jobs, func(i int, x measurement) (Outcome, error) {
		sc := s.cfg.Description.Scenarios[i]
		if x.Failed != "" {
			return Outcome{}, fmt.Errorf("the baseline fails in context %s: %s: %w", sc.Name, x.Failed, ErrDomain)
		}
		metrics, _ := needed(s.cfg.Description, sc)
		if len(x.Change) == 0 {
			x.Change = map[string]float64{}
			for _, m := range metrics {
				x.Change[m.Name] = 0
			}
		}
		s.baseline[i] = x
		s.best[i] = math.Inf(1)
		out := outcome(sc.Name, point, x, loss(metrics, x), -1)
		s.out.Baseline = append(s.out.Baseline, out)
		return out, nil
	})
}

func outcome(context string, p benchmarks.Point, x measurement, loss float64, trial int) Outcome {
	return Outcome{Context: context, Point: p, Type: x.Type, Values: x.Values, Change: x.Change, Loss: loss, Failed: x.Failed, Trial: trial}
}

// job describes a measurement; baseline values are those of the same phase.
func (s *search) job(sc benchmarks.Scenario, p benchmarks.Point, phase string, fidelity float64, pairs int, baseline map[string]float64) job {
	metrics, paired := needed(s.cfg.Description, sc)
	return job{
		scenario: sc, metrics: metrics, paired: paired, baseline: baseline, point: p,
		phase: phase, fidelity: fidelity, pairs: pairs,
	}
}

// rounds asks every lane for a batch, measures all of them, tells, until the
// budget is spent. Everything a lane sees depends on the journal alone.
func (s *search) rounds(ctx context.Context) error {
	for round := 0; ; round++ {
		proposals, err := s.ask()
		if err != nil {
			return err
		}
		if len(proposals) == 0 {
			return s.stop(s.whyDone())
		}
		stopped, err := s.round(ctx, proposals)
		if err != nil || stopped {
			return err
		}
		if err := s.journal.put(kindRound, roundRecord{Round: round, Trials: len(s.out.Trials)}); err != nil {
			return err
		}
		if err := s.journal.sync(); err != nil {
			return err
		}
	}
}

func (s *search) whyDone() string {
	left := 0
	for _, l := range s.lanes {
		left += l.budget - l.asked
	}
	if left > 0 {
		return "engines have nothing more to ask"
	}
	return "evaluations are spent"
}

func (s *search) stop(reason string) error {
	s.out.Stop = reason
	if err := s.journal.put(kindStop, stopRecord{Reason: reason, Trials: len(s.out.Trials)}); err != nil {
		return err
	}
	return s.journal.sync()
}

// measureAll measures jobs and journals each as a record of the kind, in
// order; made turns a measurement into the outcome that the record holds.
func (s *search) measureAll(ctx context.Context, kind uint16, jobs []job, made func(int, measurement) (Outcome, error)) error {
	put := func(i int, x measurement) error {
		o, err := made(i, x)
		if err != nil {
			return err
		}
		return s.journal.put(kind, measureRecord{
			Context: o.Context, Point: o.Point.Canonical(), Type: o.Type, Values: o.Values, Change: o.Change,
			Loss: engine.Loss(o.Loss), Failed: o.Failed,
		})
	}
	i := 0
	for ; i < len(jobs) && s.journal.replaying(); i++ {
		var r measureRecord
		ok, err := s.journal.peek(kind, &r)
		if err != nil {
			return err
		}
		if !ok || r.Context != jobs[i].scenario.Name || string(r.Point) != string(jobs[i].point.Canonical()) {
			return fmt.Errorf("%s: the journal does not measure %s in %s next: %w",
				s.journal.path, jobs[i].point.Canonical(), jobs[i].scenario.Name, ErrForeignJournal)
		}
		if err := put(i, measurement{Type: r.Type, Values: r.Values, Change: r.Change, Failed: r.Failed}); err != nil {
			return err
		}
	}
	b := s.pool.start(ctx, jobs[i:])
	defer b.end()
	for k := range jobs[i:] {
		x, err := b.take(k)
		if err != nil {
			return s.whatEnded(ctx, err)
		}
		if err := put(i+k, x); err != nil {
			return err
		}
		if err := s.journal.flush(); err != nil {
			return err
		}
	}
	return s.journal.sync()
}
