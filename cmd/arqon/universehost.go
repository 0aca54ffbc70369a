package main

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"

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
	exact  *kernelHandle // the built-in kernels, which are the reference too

	context   string
	before    *universe.Field // shard 0's, when the phase began
	steps     uint64          // of it until then
	handOvers uint64          // of all shards until then
	rehearsed bool
}

// kernelHandle is a variant with a grid for each field that it may step.
type kernelHandle struct {
	kernels *universe.Kernels
	staged  [shards]map[int]*universe.Staged
}

func (l *universeLoad) plan(ctx context.Context, rel *catalog.Release) (plan, error) {
	l.law = universe.GrayScott()
	var err error
	if l.domain, err = universe.New(l.law, nil); err != nil {
		return plan{}, err
	}
	l.loader = l.domain.Loader()
	l.widths = map[string]int{}
	for _, c := range rel.Contexts {
		if l.widths[c], err = universe.Width(c); err != nil {
			return plan{}, err
		}
		for i := range l.fields {
			if l.fields[i] == nil {
				l.fields[i] = map[int]*universe.Universe{}
			}
			if w := l.widths[c]; l.fields[i][w] == nil {
				r := seed.Stream(seed.Root(l.host.flags.seed), "run/universe", uint64(w), uint64(i))
				l.fields[i][w] = universe.NewUniverse(l.law.NewStart(w, w, r))
			}
		}
	}
	b, err := l.domain.Build(ctx, universe.Baseline(), 0)
	if err != nil {
		return plan{}, err
	}
	if l.exact, err = l.open(ctx, b.Files, rel.Contexts); err != nil {
		return plan{}, err
	}
	cfg := runtime.Config{
		Stage: l.stage, BuiltIn: l.exact,
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
	return l.open(ctx, files, e.Envelope.Contexts)
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
	for i := w.from + s.index; i < w.from+w.n; i += shards {
		snap := s.rt.Load()
		id := snap.Select(w.id)
		h, ok := snap.Handle(id).(*kernelHandle)
		if !ok || h.staged[s.index][width] == nil {
			return s.drop(id)
		}
		from, cpuErr := benchmarks.ThreadCPU()
		u.Switch(h.staged[s.index][width])
		if _, err := u.Step(context.Background(), stepsARequest); err != nil {
			return err
		}
		if to, err := benchmarks.ThreadCPU(); cpuErr == nil && err == nil { // read on Linux only
			x := float64(to-from) / float64(stepsARequest*width*width)
			s.rec.Record(id, w.id, 0, x)
			s.samples[0].Add(x)
		}
		s.done(snap, id)
	}
	return nil
}

// recognise knows the grid and the budget, and rehearses a rollback when half
// of the phase is over.
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
	return w.class
}

// end steps shard 0's field once more, under the built-in kernels alone.
func (l *universeLoad) end(p *phaseResult) {
	width := l.widths[l.context]
	u := l.fields[0][width]
	lost := uint64((p.Requests+shards-1)/shards)*stepsARequest - (u.Steps() - l.steps)
	most, statistic := -1.0, -1.0 // unknown
	reference := universe.NewUniverse(l.before)
	if s, err := reference.Stage(context.Background(), l.exact.kernels); err == nil {
		reference.Switch(s)
		if _, err := reference.Step(context.Background(), int(u.Steps()-l.steps)); err == nil {
			most, statistic = l.law.Distance(reference.Field(), u.Field())
		}
		if err := s.Close(); err != nil {
			l.host.note("reference", err.Error())
		}
	}
	p.Facts = append(p.Facts,
		fact{"max_error", "max error", unitSmall, min(most, math.MaxFloat32)},
		fact{"statistic_error", "statistic error", unitSmall, min(statistic, math.MaxFloat32)},
		fact{"hand_overs", "hand-overs", unitCount, float64(l.handedOver() - l.handOvers)},
		fact{"steps_lost", "steps lost", unitCount, float64(lost)})
}

func (l *universeLoad) facts() []fact {
	return []fact{{"hand_overs", "fields handed over by swaps", unitCount, float64(l.handedOver())}}
}
