package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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

// universeLoad steps one field a shard, law and width while kernels are swapped
// under it: a phase is a law, a grid and an error budget, which a host knows of
// itself. In the middle of each phase it takes the approved kernel back, as an
// operator would, and the runtime installs it again after its cool-down.
type universeLoad struct {
	host    *hostRun
	loader  *universe.Loader
	grounds map[string]*ground // by context; contexts that differ in the budget share one
	exact   *kernelHandle      // the built-in kernels, which are the reference too
	tuner   *universeTuner     // nil: knobs stay where they are

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

// ground is what one law has become on grids of one width: a field a shard.
type ground struct {
	law    universe.Law
	width  int
	fields [shards]*universe.Universe
	knobs  [shards][]float64
	clocks [shards]uint32 // number of the first step: noise depends on it
}

// kernelHandle is a variant with a grid for each field that it may step.
type kernelHandle struct {
	kernels *universe.Kernels // nil: the built-in ones, of every law
	knobs   []catalog.Knob    // that the entry lets move; the built-in kernels' stay
	staged  [shards]map[*ground]*universe.Staged
}

// here is the ground of the phase.
func (l *universeLoad) here() *ground { return l.grounds[l.context] }

func (l *universeLoad) plan(ctx context.Context, rel *catalog.Release) (plan, error) {
	may, err := l.host.flags.tiers()
	if err != nil {
		return plan{}, err
	}
	contexts, err := l.survey(ctx, rel)
	if err != nil {
		return plan{}, err
	}
	l.loader = universe.NewLoader(nil)
	if may.native {
		l.loader.AllowNative()
	}
	if may.precompiled != nil {
		l.loader.AllowPrecompiled(may.precompiled)
	}
	if !l.host.flags.fixedKnobs {
		l.tuner = &universeTuner{load: l, by: map[catalog.VariantID]*knobSearch{}}
	}
	if err := l.builtIn(ctx); err != nil {
		return plan{}, err
	}
	cfg := runtime.Config{
		Stage: l.stage, BuiltIn: l.exact, Host: runtime.Host{CPUFeatures: may.offers()},
		Metrics: []runtime.Metric{{Name: universe.MetricNS}}, Success: map[string]string{},
	}
	for _, c := range contexts {
		cfg.Success[c] = universe.MetricNS
	}
	phases := slices.Clone(contexts)
	slices.SortStableFunc(phases, func(a, b string) int { return l.grounds[a].width - l.grounds[b].width })
	return plan{
		config: cfg, contexts: phases, requests: universeRequests, requestsMax: universeRequestsMax,
		window: universeWindow, judged: 1, samples: 1,
		series: []series{{name: universe.MetricNS, header: "ns a cell and step", unit: unitSmall}},
		legend: fmt.Sprintf("a request is %d steps of a field; errors are the phase's, against kernels that were never swapped, in units of a channel's range", stepsARequest),
	}, nil
}

// survey finds the law and the grid of each context of a release, and begins
// their fields. The law is what the release's own kernels say; a context of
// which no kernel is left, and whose law is not built in, is left out.
func (l *universeLoad) survey(ctx context.Context, rel *catalog.Release) (contexts []string, err error) {
	l.grounds = map[string]*ground{}
	laws, err := l.laws(ctx, rel)
	if err != nil {
		return nil, err
	}
	type place struct {
		tag   string
		width int
	}
	known := map[place]*ground{}
	for _, c := range rel.Contexts {
		tag, width, err := universe.ParseContext(c)
		if err != nil {
			return nil, err
		}
		law, ok := laws[tag]
		if !ok {
			l.host.story.say("context %s is left out: no kernel of its law is in the release any more", c)
			continue
		}
		g := known[place{tag, width}]
		if g == nil {
			g = &ground{law: law, width: width}
			known[place{tag, width}] = g
			for i := range g.fields {
				r := seed.Stream(seed.Root(l.host.flags.seed), "run/universe"+tag, uint64(width), uint64(i))
				g.fields[i], g.knobs[i] = universe.NewUniverse(law.NewStart(width, width, r)), law.Defaults()
				g.clocks[i] = r.Uint32() // fields draw different noise
				g.fields[i].SetClock(g.clocks[i])
			}
		}
		l.grounds[c] = g
		contexts = append(contexts, c)
	}
	if len(contexts) == 0 {
		return nil, errors.New("no context of the release can be served")
	}
	return contexts, nil
}

// laws are the built-in laws and those of the release's kernels, by their tags.
func (l *universeLoad) laws(ctx context.Context, rel *catalog.Release) (map[string]universe.Law, error) {
	out := map[string]universe.Law{}
	for _, law := range universe.Laws() {
		out[law.Tag()] = law
	}
	for _, e := range rel.Entries {
		for _, ref := range e.Variant.Artifacts {
			if ref.Name != universe.HeaderFile {
				continue
			}
			raw, err := l.host.blobs.Get(ctx, ref)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", e.ID, err)
			}
			law, err := universe.LawIn(raw)
			if err != nil {
				return nil, fmt.Errorf("entry %d (%s): %w", e.ID, e.Variant.Name, err)
			}
			if other, known := out[law.Tag()]; known && !sameLaw(law, other) {
				return nil, fmt.Errorf("entry %d (%s): another law than that of the other entries of its contexts", e.ID, e.Variant.Name)
			}
			out[law.Tag()] = law
		}
	}
	return out, nil
}

func sameLaw(a, b universe.Law) bool { return bytes.Equal(a.Encode(), b.Encode()) }

// builtIn makes the kernels that the host has of itself, of every law: a step
// of theirs is what every other's is held against.
func (l *universeLoad) builtIn(ctx context.Context) error {
	l.exact = newKernelHandle()
	kernels := map[string]*universe.Kernels{}
	for _, c := range slices.Sorted(maps.Keys(l.grounds)) {
		g := l.grounds[c]
		if l.exact.staged[0][g] != nil {
			continue
		}
		k := kernels[g.law.Tag()]
		if k == nil {
			d, err := universe.New(g.law, nil)
			if err != nil {
				return err
			}
			b, err := d.Build(ctx, universe.Baseline(), 0)
			if err := errors.Join(err, d.Close()); err != nil {
				return err
			}
			if k, err = l.loader.Open(ctx, b.Files); err != nil {
				return err
			}
			kernels[g.law.Tag()] = k
		}
		if err := l.exact.on(ctx, g, k); err != nil {
			return err
		}
		for i, u := range g.fields {
			u.SetRescue(l.exact.staged[i][g])
		}
	}
	return nil
}

func newKernelHandle() *kernelHandle {
	h := &kernelHandle{}
	for i := range h.staged {
		h.staged[i] = map[*ground]*universe.Staged{}
	}
	return h
}

// on makes the grids for a ground.
func (h *kernelHandle) on(ctx context.Context, g *ground, k *universe.Kernels) error {
	for i, u := range g.fields {
		var err error
		if h.staged[i][g], err = u.Stage(ctx, k); err != nil {
			return err
		}
	}
	return nil
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

// open refuses a kernel whose law is not that of a context that it shall serve:
// a field of one law must not be stepped by another.
func (l *universeLoad) open(ctx context.Context, files []benchmarks.File, contexts []string) (*kernelHandle, error) {
	k, err := l.loader.Open(ctx, files)
	if err != nil {
		return nil, err
	}
	own := k.Law().Tag()
	for _, c := range contexts {
		tag, _, err := universe.ParseContext(c)
		if g := l.grounds[c]; err == nil && (tag != own || g != nil && !sameLaw(g.law, k.Law())) { // a tag is short
			err = fmt.Errorf("a kernel of the law %s shall serve %s, which is of another law", k.Law().Name, c)
		}
		if err != nil {
			return nil, errors.Join(err, k.Close())
		}
	}
	h := newKernelHandle()
	h.kernels = k
	for _, c := range contexts {
		g, ok := l.grounds[c]
		if !ok || h.staged[0][g] != nil {
			continue
		}
		if err := h.on(ctx, g, k); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (l *universeLoad) begin(_ context.Context, context string, _ int) error {
	l.context, l.rehearsed = context, false
	g := l.here()
	u := g.fields[0]
	l.before, l.steps, l.handOvers = u.Field(), u.Steps(), l.handedOver()
	l.turned = []knobTurn{{l.steps, g.knobs[0]}}
	if l.tuner != nil {
		l.moves = l.tuner.moves
	}
	return nil
}

func (l *universeLoad) handedOver() uint64 {
	n := uint64(0)
	seen := map[*ground]bool{}
	for _, g := range l.grounds {
		for _, u := range g.fields {
			if !seen[g] {
				n += u.HandOvers()
			}
		}
		seen[g] = true
	}
	return n
}

// serve is the data plane: one snapshot a request, a switch where the variant
// is another, and the steps.
func (l *universeLoad) serve(w *window, s *shard) error {
	g := l.here()
	u := g.fields[s.index]
	goruntime.LockOSThread() // processor time is its thread's
	defer goruntime.UnlockOSThread()
	knobs := map[catalog.VariantID][]int{} // a release is adopted between windows only
	for i := w.from + s.index; i < w.from+w.n; i += shards {
		snap := s.rt.Load()
		id := snap.Select(w.id)
		h, ok := snap.Handle(id).(*kernelHandle)
		if !ok || h.staged[s.index][g] == nil {
			return s.drop(id)
		}
		if knobs[id] == nil {
			knobs[id] = l.knobsOf(s.rt, id)
		}
		from, cpuErr := benchmarks.ThreadCPU()
		if err := l.turn(s, g, snap, knobs[id]); err != nil {
			return err
		}
		wanted := h.staged[s.index][g]
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
			x := float64(to-from) / float64(stepsARequest*g.width*g.width)
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
		l.tuner.cycle(w, l.here().fields[0].Field())
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
	g := l.here()
	for i, h := range l.gone {
		if h == nil {
			continue
		}
		s, err := g.fields[i].Stage(context.Background(), h.staged[i][g].Kernels())
		if err != nil {
			l.host.note("lost", "and there is no other: "+err.Error())
			continue
		}
		_ = h.staged[i][g].Close() // its process has ended
		h.staged[i][g] = s
	}
	l.lost, l.gone = [shards]error{}, [shards]*kernelHandle{}
	if t, ok := l.host.rt.Executor().Snapback(w.id, runtime.ReasonHarm, l.host.tick); ok {
		l.host.moved([]runtime.Transition{t})
	}
}

// end steps shard 0's field once more, under the built-in kernels alone, with
// the knobs turned where they were.
func (l *universeLoad) end(p *phaseResult) {
	g := l.here()
	u := g.fields[0]
	lost := uint64((p.Requests+shards-1)/shards)*stepsARequest - (u.Steps() - l.steps)
	most, statistic := -1.0, -1.0 // unknown
	after := u.Field()
	if reference, err := l.again(u.Steps()); err == nil {
		most, statistic = g.law.Distance(reference, after)
	} else {
		l.host.note("reference", err.Error())
	}
	p.Facts = append(p.Facts,
		fact{"max_error", "max error", unitSmall, min(most, math.MaxFloat32)},
		fact{"statistic_error", "statistic error", unitSmall, min(statistic, math.MaxFloat32)},
		fact{"complexity", "complexity", unitSmall, g.law.Complexity(after)},
		fact{"hand_overs", "hand-overs", unitCount, float64(l.handedOver() - l.handOvers)},
		fact{"steps_lost", "steps lost", unitCount, float64(lost)})
	if l.tuner != nil {
		p.Facts = append(p.Facts, fact{"knob_moves", "knob moves", unitCount, float64(l.tuner.moves - l.moves)})
	}
}

// again steps what shard 0's field was when the phase began, up to a step.
func (l *universeLoad) again(to uint64) (out *universe.Field, err error) {
	g := l.here()
	reference := universe.NewUniverse(l.before)
	reference.SetClock(g.clocks[0] + uint32(l.steps))
	s, err := reference.Stage(context.Background(), l.exact.staged[0][g].Kernels())
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
		if err := reference.SetKnobs(g.law, turn.values); err != nil {
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
