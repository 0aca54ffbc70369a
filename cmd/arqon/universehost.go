package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

const (
	universeRequests    = 200 // of some steps each
	universeRequestsMax = 100_000
	universeWindow      = 10
	stepsARequest       = 8
)

// universeLoad steps one field a shard and width while kernels are swapped
// under it: a phase is a grid and an error budget, which a host knows of
// itself. In the middle of each phase it takes the approved kernel back, as an
// operator would, and the runtime installs it again after its cool-down.
type universeLoad struct {
	host   *hostRun
	domain *universe.Domain
	law    universe.Law
	loader *universe.Loader
	widths map[string]int // by context
	fields [shards]map[int]*universe.Universe
	knobs  [shards]map[int][]float64 // of the fields, by width
	exact  *kernelHandle             // the built-in kernels, which are the reference too
	tuner  *universeTuner            // nil: knobs stay where they are

	context   string
	before    *universe.Field // shard 0's, when the phase began
	steps     uint64          // of it until then
	handOvers uint64          // of all shards until then
	moves     int             // of knobs until then
	turned    []knobTurn      // of shard 0's knobs since then; the first are those it began with
	rehearsed bool

	lost [shards]error         // in this window, by shard: of a native kernel's process
	gone [shards]*kernelHandle // whose it was
}

// kernelHandle is a variant with a grid for each field that it may step.
type kernelHandle struct {
	kernels *universe.Kernels
	knobs   []catalog.Knob // that the entry lets move; the built-in kernels' stay
	staged  [shards]map[int]*universe.Staged
}

func (l *universeLoad) plan(ctx context.Context, rel *catalog.Release) (plan, error) {
	l.law = universe.GrayScott()
	may, err := l.host.flags.tiers()
	if err != nil {
		return plan{}, err
	}
	if l.domain, err = universe.New(l.law, nil); err != nil {
		return plan{}, err
	}
	l.loader = l.domain.Loader()
	if may.native {
		l.loader.AllowNative()
	}
	if may.precompiled != nil {
		l.loader.AllowPrecompiled(may.precompiled)
	}
	l.widths = map[string]int{}
	for _, c := range rel.Contexts {
		if l.widths[c], err = universe.Width(c); err != nil {
			return plan{}, err
		}
		for i := range l.fields {
			if l.fields[i] == nil {
				l.fields[i], l.knobs[i] = map[int]*universe.Universe{}, map[int][]float64{}
			}
			if w := l.widths[c]; l.fields[i][w] == nil {
				r := seed.Stream(seed.Root(l.host.flags.seed), "run/universe", uint64(w), uint64(i))
				l.fields[i][w], l.knobs[i][w] = universe.NewUniverse(l.law.NewStart(w, w, r)), l.law.Defaults()
			}
		}
	}
	if !l.host.flags.fixedKnobs {
		l.tuner = &universeTuner{load: l, by: map[catalog.VariantID]*knobSearch{}}
	}
	b, err := l.domain.Build(ctx, universe.Baseline(), 0)
	if err != nil {
		return plan{}, err
	}
	if l.exact, err = l.open(ctx, b.Files, rel.Contexts); err != nil {
		return plan{}, err
	}
	for i := range l.fields {
		for w, u := range l.fields[i] {
			u.SetRescue(l.exact.staged[i][w])
		}
	}
	cfg := runtime.Config{
		Stage: l.stage, BuiltIn: l.exact, Host: runtime.Host{CPUFeatures: may.offers()},
		Metrics: []runtime.Metric{{Name: universe.MetricNS}}, Success: map[string]string{},
	}
	for _, c := range rel.Contexts {
		cfg.Success[c] = universe.MetricNS
	}
	phases := slices.Clone(rel.Contexts)
	slices.SortStableFunc(phases, func(a, b string) int { return l.widths[a] - l.widths[b] })
	return plan{
		config: cfg, contexts: phases, requests: universeRequests, requestsMax: universeRequestsMax,
		window: universeWindow, judged: 1, samples: 1,
		series: []series{{name: universe.MetricNS, header: "ns a cell and step", unit: unitSmall}},
		legend: fmt.Sprintf("a request is %d steps of a field; errors are the phase's, against kernels that were never swapped, in units of a channel's range", stepsARequest),
	}, nil
}

// stage is the host's loader: it verifies, compiles, and makes the grids, so
// that a swap is left with nothing to make.
func (l *universeLoad) stage(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	var files []benchmarks.File
	for _, ref := range e.Variant.Artifacts {
		raw, err := blobs.Get(ctx, ref)
		if err != nil {
			return nil, err
		}
		files = append(files, benchmarks.File{Name: ref.Name, MediaType: ref.MediaType, Bytes: raw})
	}
	h, err := l.open(ctx, files, e.Envelope.Contexts)
	if err == nil {
		h.knobs = e.Variant.Knobs
		if h.kernels.Precompiled() {
			l.host.story.say("variant %d (%s) is loaded from the code that it carries: %s", e.ID, e.Variant.Name, h.kernels)
		}
	}
	return h, err
}

func (l *universeLoad) open(ctx context.Context, files []benchmarks.File, contexts []string) (*kernelHandle, error) {
	k, err := l.loader.Open(ctx, files)
	if err != nil {
		return nil, err
	}
	h := &kernelHandle{kernels: k}
	for i := range h.staged {
		h.staged[i] = map[int]*universe.Staged{}
		for _, c := range contexts {
			u, ok := l.fields[i][l.widths[c]]
			if !ok || h.staged[i][l.widths[c]] != nil {
				continue
			}
			if h.staged[i][l.widths[c]], err = u.Stage(ctx, k); err != nil {
				return nil, err
			}
		}
	}
	return h, nil
}

func (l *universeLoad) begin(_ context.Context, context string, _ int) error {
	l.context, l.rehearsed = context, false
	u := l.fields[0][l.widths[context]]
	l.before, l.steps, l.handOvers = u.Field(), u.Steps(), l.handedOver()
	l.turned = []knobTurn{{l.steps, l.knobs[0][l.widths[context]]}}
	if l.tuner != nil {
		l.moves = l.tuner.moves
	}
	return nil
}

func (l *universeLoad) handedOver() uint64 {
	n := uint64(0)
	for i := range l.fields {
		for _, u := range l.fields[i] {
			n += u.HandOvers()
		}
	}
	return n
}

// serve is the data plane: one snapshot a request, a switch where the variant
// is another, and the steps.
func (l *universeLoad) serve(w *window, s *shard) error {
	width := l.widths[l.context]
	u := l.fields[s.index][width]
	goruntime.LockOSThread() // processor time is its thread's
	defer goruntime.UnlockOSThread()
	knobs := map[catalog.VariantID][]int{} // a release is adopted between windows only
	for i := w.from + s.index; i < w.from+w.n; i += shards {
		snap := s.rt.Load()
		id := snap.Select(w.id)
		h, ok := snap.Handle(id).(*kernelHandle)
		if !ok || h.staged[s.index][width] == nil {
			return s.drop(id)
		}
		if knobs[id] == nil {
			knobs[id] = l.knobsOf(s.rt, id)
		}
		from, cpuErr := benchmarks.ThreadCPU()
		if err := l.turn(s, u, width, snap, knobs[id]); err != nil {
			return err
		}
		wanted := h.staged[s.index][width]
		u.Switch(wanted)
		by, err := u.Step(context.Background(), stepsARequest)
		if err != nil {
			return err
		}
		if by != wanted { // its process is lost: the request was served, by another
			id, l.lost[s.index], l.gone[s.index] = catalog.BuiltIn, u.Lost(), h
		}
		if to, err := benchmarks.ThreadCPU(); cpuErr == nil && err == nil { // read on Linux only
			if by == wanted {
				to += wanted.TakeCPU()
			}
			x := float64(to-from) / float64(stepsARequest*width*width)
			s.rec.Record(id, w.id, 0, x)
			s.samples[0].Add(x)
		}
		s.done(snap, id)
	}
	return nil
}

// recognise knows the grid and the budget, lets Tier 2 turn the knobs, and
// rehearses a rollback when half of the phase is over.
func (l *universeLoad) recognise(w *window, _ string) string {
	if w != nil && !l.rehearsed && w.from+w.n >= w.requests/2 {
		l.rehearsed = true
		if t, ok := l.host.rt.Executor().Snapback(w.id, runtime.ReasonOperator, l.host.tick); ok {
			l.host.moved([]runtime.Transition{t})
		}
	}
	if w == nil {
		return l.context
	}
	l.tellLost(w)
	if l.tuner != nil && l.tuner.due(w) {
		l.tuner.cycle(w, l.fields[0][l.widths[l.context]].Field())
	}
	return w.class
}

// tellLost takes back a variant whose process was lost while it served, and
// gives it another for when its cool-down is over. Nobody serves meanwhile.
func (l *universeLoad) tellLost(w *window) {
	var why []string
	for _, err := range l.lost {
		if err != nil && !slices.Contains(why, err.Error()) {
			why = append(why, err.Error())
		}
	}
	if len(why) == 0 {
		return
	}
	l.host.note("lost", strings.Join(why, "; "))
	width := l.widths[l.context]
	for i, h := range l.gone {
		if h == nil {
			continue
		}
		s, err := l.fields[i][width].Stage(context.Background(), h.kernels)
		if err != nil {
			l.host.note("lost", "and there is no other: "+err.Error())
			continue
		}
		_ = h.staged[i][width].Close() // its process has ended
		h.staged[i][width] = s
	}
	l.lost, l.gone = [shards]error{}, [shards]*kernelHandle{}
	if t, ok := l.host.rt.Executor().Snapback(w.id, runtime.ReasonHarm, l.host.tick); ok {
		l.host.moved([]runtime.Transition{t})
	}
}

// end steps shard 0's field once more, under the built-in kernels alone, with
// the knobs turned where they were.
func (l *universeLoad) end(p *phaseResult) {
	u := l.fields[0][l.widths[l.context]]
	lost := uint64((p.Requests+shards-1)/shards)*stepsARequest - (u.Steps() - l.steps)
	most, statistic := -1.0, -1.0 // unknown
	after := u.Field()
	if reference, err := l.again(u.Steps()); err == nil {
		most, statistic = l.law.Distance(reference, after)
	} else {
		l.host.note("reference", err.Error())
	}
	p.Facts = append(p.Facts,
		fact{"max_error", "max error", unitSmall, min(most, math.MaxFloat32)},
		fact{"statistic_error", "statistic error", unitSmall, min(statistic, math.MaxFloat32)},
		fact{"complexity", "complexity", unitSmall, l.law.Complexity(after)},
		fact{"hand_overs", "hand-overs", unitCount, float64(l.handedOver() - l.handOvers)},
		fact{"steps_lost", "steps lost", unitCount, float64(lost)})
	if l.tuner != nil {
		p.Facts = append(p.Facts, fact{"knob_moves", "knob moves", unitCount, float64(l.tuner.moves - l.moves)})
	}
}

// again steps what shard 0's field was when the phase began, up to a step.
func (l *universeLoad) again(to uint64) (out *universe.Field, err error) {
	reference := universe.NewUniverse(l.before)
	s, err := reference.Stage(context.Background(), l.exact.kernels)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	reference.Switch(s)
	for i, turn := range l.turned {
		until := to
		if i+1 < len(l.turned) {
			until = l.turned[i+1].from
		}
		if err := reference.SetKnobs(l.law, turn.values); err != nil {
			return nil, err
		}
		if until == turn.from { // turned twice before a step
			continue
		}
		if _, err := reference.Step(context.Background(), int(until-turn.from)); err != nil {
			return nil, err
		}
	}
	return reference.Field(), nil
}

func (l *universeLoad) facts() []fact {
	return []fact{{"hand_overs", "fields handed over by swaps", unitCount, float64(l.handedOver())}}
}
