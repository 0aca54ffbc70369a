package factory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// proposal is a point on its way through a round.
type proposal struct {
	lane   *lane
	number int // of the lane
	index  int // within the lane
	engine.Proposal
	digest artifacts.Digest
}

// ask asks every lane that has a turn for a batch.
func (s *search) ask() ([]proposal, error) {
	var out []proposal
	each := len(s.lanes) / len(s.cfg.Description.Scenarios) // lanes stand by context
	for first := 0; first < len(s.lanes); first += each {
		how := s.askAll
		if s.turns != nil {
			how = s.askNext
		}
		asked, err := how(first, s.lanes[first:first+each])
		if err != nil {
			return nil, err
		}
		out = append(out, asked...)
	}
	return out, nil
}

// askAll asks the lanes of one context, each as far as its own budget goes. The
// first of them is lane number first of all.
func (s *search) askAll(first int, lanes []*lane) ([]proposal, error) {
	var out []proposal
	left := false // something of a proposer's budget has gone to another engine
	for i, l := range lanes {
		want := min(batchSize, l.budget-l.asked)
		if l.ended || want <= 0 {
			continue
		}
		asked, err := s.askLane(first+i, l, want)
		if err != nil {
			return nil, err
		}
		if l.ended {
			left = s.bequeath(l) || left
		}
		out = append(out, asked...)
	}
	if len(out) == 0 && left {
		return s.askAll(first, lanes)
	}
	return out, nil
}

// askNext asks the lane of one context whose turn it is, as far as the budget
// of the context goes.
func (s *search) askNext(first int, lanes []*lane) ([]proposal, error) {
	left := 0
	for _, l := range lanes {
		left += l.budget - l.asked
	}
	turns := s.turns[lanes[0].context]
	for i := turns.next(); i >= 0 && left > 0; i = turns.next() {
		asked, err := s.askLane(first+i, lanes[i], min(batchSize, left))
		if err != nil {
			return nil, err
		}
		if len(asked) > 0 {
			turns.asked(i, len(asked))
			return asked, nil
		}
		turns.end(i)
	}
	return nil, nil
}

// askLane asks one engine for at most want points; without any it has ended.
func (s *search) askLane(number int, l *lane, want int) ([]proposal, error) {
	if _, done := l.engine.Done(); done {
		l.ended = true
		return nil, nil
	}
	asked := l.engine.Ask(want)
	if err := s.outside.failed(); err != nil {
		return nil, err
	}
	if len(asked) > want {
		return nil, fmt.Errorf("engine %s asked %d points instead of at most %d", l.name, len(asked), want)
	}
	l.ended = len(asked) == 0
	var out []proposal
	for _, p := range asked {
		point, err := s.cfg.Description.Space.Normalize(p.Point)
		if err != nil {
			return nil, fmt.Errorf("engine %s asked a point outside the space: %w", l.name, err)
		}
		p.Point = point
		out = append(out, proposal{lane: l, number: number, index: l.asked, Proposal: p, digest: point.Digest()})
		l.asked++
	}
	return out, nil
}

// bequeath gives what an outside proposer leaves of its budget to the next
// engine of the context that still asks, and reports whether it did.
func (s *search) bequeath(l *lane) bool {
	if _, ok := l.engine.(*outsider); !ok || l.asked == l.budget {
		return false
	}
	for _, heir := range s.lanes {
		if heir.context == l.context && heir != l && !heir.ended {
			heir.budget += l.budget - l.asked
			l.budget = l.asked
			return true
		}
	}
	return false
}

// round commits the proposals in ask order: first what the journal knows
// already, then what the pool measures. The engines are told at the barrier.
func (s *search) round(ctx context.Context, proposals []proposal) (stopped bool, err error) {
	told := make(map[*lane][]engine.Trial)
	i := 0
	for ; i < len(proposals) && s.journal.replaying(); i++ {
		var end stopRecord
		if isStop, err := s.journal.peek(kindStop, &end); err != nil || isStop {
			return isStop, errors.Join(err, s.stop(end.Reason))
		}
		x, err := s.replayed(proposals[i])
		if err != nil {
			return false, err
		}
		if err := s.commit(proposals[i], x, told); err != nil {
			return false, err
		}
	}
	stopped, err = s.live(ctx, proposals[i:], told)
	if err != nil || stopped {
		return stopped, err
	}
	s.tell(told)
	return false, nil
}

// tell gives every engine its own results, those that listen the others' too,
// and the bandit what each has found.
func (s *search) tell(told map[*lane][]engine.Trial) {
	for n, l := range s.lanes {
		if len(told[l]) == 0 {
			continue
		}
		l.engine.Tell(told[l])
		for _, other := range s.lanes {
			if ear, ok := other.engine.(listener); ok && other != l && other.context == l.context {
				ear.Hear(told[l])
			}
		}
		if s.turns != nil {
			losses := make([]float64, len(told[l]))
			for i, t := range told[l] {
				losses[i] = t.Loss
			}
			s.turns[l.context].told(n-l.context*len(s.lanes)/len(s.turns), losses)
		}
	}
}

// replayed takes a trial's measurement from the journal, which must hold the
// very point that was asked.
func (s *search) replayed(p proposal) (measurement, error) {
	var t Trial
	ok, err := s.journal.peek(kindTrial, &t)
	if err != nil {
		return measurement{}, err
	}
	if !ok || t.Lane != p.number || t.Index != p.index || string(t.Point) != string(p.Point.Canonical()) {
		return measurement{}, fmt.Errorf("%s: %s in %s asks %s as its point %d, the journal has lane %d, point %d, %s: %w",
			s.journal.path, p.lane.name, p.lane.scenario.Name, p.Point.Canonical(), p.index, t.Lane, t.Index, t.Point, ErrForeignJournal)
	}
	return measurement{Type: t.Type, Values: t.Values, Change: t.Change, Failed: t.Failed}, nil
}

// live measures. The pool gets each point once; a point that the context
// knows, or will know when its turn comes, is answered from memory.
func (s *search) live(ctx context.Context, proposals []proposal, told map[*lane][]engine.Trial) (stopped bool, err error) {
	type key struct {
		context int
		digest  artifacts.Digest
	}
	slot := make(map[key]int)
	var jobs []job
	for _, p := range proposals {
		k := key{p.lane.context, p.digest}
		if _, again := slot[k]; again {
			continue
		}
		if _, known := s.known[k.context][k.digest]; known {
			continue
		}
		slot[k] = len(jobs)
		jobs = append(jobs, s.job(p.lane.scenario, p.Point, "search", s.cfg.Study.Fidelity, searchPairs, s.baseline[p.lane.context].Values))
	}
	b := s.pool.start(ctx, jobs)
	defer b.end()
	for i, p := range proposals {
		x, known := s.known[p.lane.context][p.digest]
		if !known {
			if x, err = b.take(slot[key{p.lane.context, p.digest}]); err != nil {
				return false, s.whatEnded(ctx, err)
			}
			if err := s.watch(x); err != nil {
				return false, err
			}
		}
		if err := s.commit(p, x, told); err != nil {
			return false, err
		}
		if err := s.journal.flush(); err != nil {
			return false, err
		}
		if i+1 < len(proposals) && s.timeIsUp() {
			return true, s.stop("time is spent")
		}
	}
	if len(proposals) > 0 && s.timeIsUp() {
		return true, s.stop("time is spent")
	}
	return false, nil
}

func (s *search) timeIsUp() bool {
	limit := s.cfg.Study.Budget.Time
	return limit > 0 && s.cfg.Elapsed != nil && s.cfg.Elapsed() >= limit
}

// whatEnded prefers the caller's own interruption.
func (s *search) whatEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrDomain, err)
}

// watch notices a domain that has stopped working. Only fresh failures count:
// a resumed night gets a new chance.
func (s *search) watch(x measurement) error {
	if x.Failed == "" {
		s.hardRow = 0
		return nil
	}
	if strings.HasPrefix(x.Failed, benchmarks.ErrBadCandidate.Error()) {
		return nil // says nothing about the domain's health
	}
	if s.hardRow++; s.hardRow < FailuresMax {
		return nil
	}
	return fmt.Errorf("%w: the last %d measurements failed, the last one so: %s", ErrDomain, FailuresMax, x.Failed)
}

// commit journals a trial, then remembers it, then queues it to be told.
func (s *search) commit(p proposal, x measurement, told map[*lane][]engine.Trial) error {
	l := p.lane
	_, cached := s.known[l.context][p.digest]
	value := loss(l.metrics, x)
	t := Trial{
		Lane: p.number, Index: p.index, Context: l.scenario.Name, Engine: l.name, Point: p.Point.Canonical(), Origin: p.Origin, Parents: p.Parents,
		Type: x.Type, Values: x.Values, Change: x.Change, Loss: engine.Loss(value), Failed: x.Failed, Cached: cached,
	}
	if err := s.journal.put(kindTrial, t); err != nil {
		return err
	}
	s.known[l.context][p.digest] = x
	s.out.Trials = append(s.out.Trials, t)
	told[l] = append(told[l], engine.Trial{Index: p.index, Point: p.Point, Loss: value, Failed: x.Failed, Values: x.Values})
	s.show(l, t, value)
	return nil
}

// show tells the listener how a context stands.
func (s *search) show(l *lane, t Trial, value float64) {
	c := l.context
	s.told[c]++
	if value < s.best[c] {
		s.best[c] = value
		m := successOf(l.metrics)
		s.bestNote[c] = "best " + describeChange(m, t.Change[m.Name]) + " (" + t.Engine + ")"
		if !feasible(value) {
			s.bestNote[c] = "nothing inside the limits yet"
		}
	}
	total := 0
	for _, other := range s.lanes {
		if other.context == c {
			total += other.budget
		}
	}
	s.progress.Step(l.scenario.Name, s.told[c], total, s.bestNote[c])
}
