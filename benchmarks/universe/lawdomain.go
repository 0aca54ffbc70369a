package universe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// LawName is the name of the domain of laws in studies.
const LawName = "universe-law"

// Metrics of laws.
const (
	MetricComplexity = "complexity" // structural complexity of the pattern
	MetricNovelty    = "novelty"    // how far its spectrum is from those of the built-in laws without noise
)

// LawDomain is the domain of laws themselves: which reaction makes the most
// complex pattern? A point is a reaction-diffusion law of two channels,
//
//	x' = clip(x + D ∇²x + Σ c·m, 0, 1)
//
// with a few terms of a coefficient and a monomial m each. It is measured by
// the kernel that the emitter makes of it. It may be used by several
// goroutines, its instances by one each.
type LawDomain struct {
	machine *machine

	mu    sync.Mutex
	known map[seed.Root][][]float64 // the built-in laws' spectra, by start
}

var _ benchmarks.Domain = (*LawDomain)(nil)

// NewLawDomain makes the domain. Close it after its instances.
func NewLawDomain() *LawDomain {
	return &LawDomain{machine: newMachine(false), known: map[seed.Root][][]float64{}}
}

// Close frees the compiled kernels.
func (d *LawDomain) Close() error { return d.machine.close() }

// How a law is tried.
const (
	lawSide  = 128
	lawSteps = 1500
	lawTerms = 4 // a channel
)

// monomials of the two channels, by their powers.
var monomials = []struct {
	name string
	u, v int
}{
	{"none", -1, -1}, {"1", 0, 0}, {"u", 1, 0}, {"v", 0, 1}, {"uu", 2, 0}, {"uv", 1, 1}, {"vv", 0, 2},
	{"uuu", 3, 0}, {"uuv", 2, 1}, {"uvv", 1, 2}, {"vvv", 0, 3},
}

// lawStarts are the contexts: how the field begins.
var lawStarts = []Start{Spots, Noise}

func termName(what, channel string, i int) string { return fmt.Sprintf("%s_%s%d", what, channel, i) }

func lawSpace() benchmarks.Space {
	var names []string
	for _, m := range monomials {
		names = append(names, m.name)
	}
	var moving []any
	for _, n := range names[1:] {
		moving = append(moving, n)
	}
	var out benchmarks.Space
	for _, c := range []string{"u", "v"} {
		out.Parameters = append(out.Parameters, benchmarks.Parameter{Name: "diffusion_" + c, Kind: benchmarks.Float, Min: 0, Max: .24, Default: .1})
		for i := range lawTerms {
			out.Parameters = append(out.Parameters,
				benchmarks.Parameter{Name: termName("term", c, i), Kind: benchmarks.Categorical, Choices: names, Default: names[0]},
				benchmarks.Parameter{Name: termName("factor", c, i), Kind: benchmarks.Float, Min: -1, Max: 1, Default: .1,
					When: map[string][]any{termName("term", c, i): moving}})
		}
	}
	return out
}

// LawBaseline is Gray-Scott with its default knobs.
func LawBaseline() benchmarks.Point {
	return benchmarks.Point{
		"diffusion_u": .16, "diffusion_v": .08,
		"term_u0": "1", "factor_u0": .037, "term_u1": "u", "factor_u1": -.037, "term_u2": "uvv", "factor_u2": -1., "term_u3": "none",
		"term_v0": "v", "factor_v0": -.097, "term_v1": "uvv", "factor_v1": 1., "term_v2": "none", "term_v3": "none",
	}
}

// lawOf reads a normalized point.
func lawOf(p benchmarks.Point) Law {
	l := Law{Name: "found", Start: Spots}
	for ch, c := range []string{"u", "v"} {
		diffusion, _ := p["diffusion_"+c].(float64)
		change := mul(constant(diffusion), lap(ch))
		for i := range lawTerms {
			name, _ := p[termName("term", c, i)].(string)
			factor, _ := p[termName("factor", c, i)].(float64)
			for _, m := range monomials[1:] {
				if m.name != name {
					continue
				}
				term := constant(factor)
				for range m.u {
					term = mul(term, cell(0))
				}
				for range m.v {
					term = mul(term, cell(1))
				}
				change = add(change, term)
			}
		}
		l.Channels = append(l.Channels, Channel{Name: c, Min: 0, Max: 1, Next: clamp(add(cell(ch), change), 0, 1)})
	}
	return l
}

// FoundLaw is the law of a point of the domain's space, as a night over its
// kernels takes it: it begins as the context does in which it was found. A law
// that diverges is refused.
func FoundLaw(p benchmarks.Point, context, name string) (Law, error) {
	p, err := lawSpace().Normalize(p)
	if err != nil {
		return Law{}, err
	}
	l := lawOf(p)
	l.Name, l.Start = name, Start(context)
	_, err = Prepare(l)
	return l, err
}

// Describe implements benchmarks.Domain.
func (d *LawDomain) Describe(context.Context) (benchmarks.Description, error) {
	out := benchmarks.Description{
		Name: LawName, Version: "1", Space: lawSpace(), Baseline: LawBaseline(),
		Metrics: []benchmarks.Metric{
			{Name: MetricComplexity, Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic, Role: benchmarks.Success, Compare: benchmarks.Difference, Tolerance: .001},
			{Name: MetricNovelty, Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Difference, Tolerance: .001},
		},
	}
	for _, s := range lawStarts {
		out.Scenarios = append(out.Scenarios, benchmarks.Scenario{Name: string(s)})
	}
	return out, nil
}

// Build implements benchmarks.Domain: the law's text is the whole artifact.
func (d *LawDomain) Build(_ context.Context, p benchmarks.Point, buildSeed uint64) (benchmarks.Bundle, error) {
	p, err := lawSpace().Normalize(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	return benchmarks.Bundle{Point: p, Seed: buildSeed, Type: "law", Files: []benchmarks.File{
		{Name: "law.json", MediaType: "application/vnd.arqon.universe-law+json", Bytes: lawOf(p).Encode()},
	}}, nil
}

// Open implements benchmarks.Domain: it compiles the law's kernel.
func (d *LawDomain) Open(ctx context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	if len(b.Files) != 1 {
		return nil, fmt.Errorf("%d files, want one law: %w", len(b.Files), ErrBadLaw)
	}
	l, err := DecodeLaw(b.Files[0].Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Files[0].Name, err)
	}
	k, err := d.compile(ctx, l)
	if err != nil {
		return nil, err
	}
	return &lawInstance{d, k}, nil
}

func (d *LawDomain) compile(ctx context.Context, l Law) (*kernel, error) {
	p, err := Prepare(l)
	if err != nil {
		return nil, err
	}
	plan := Plan{Precision: F32, SIMD: true, Unroll: 4, Fuse: 1, Rows: 64}
	module, err := p.Emit(plan, lawSide)
	if err != nil {
		return nil, err
	}
	return d.machine.compile(ctx, p, plan, lawSide, module)
}

type lawInstance struct {
	domain *LawDomain
	kernel *kernel
}

// Close implements benchmarks.Instance.
func (in *lawInstance) Close() error { return in.kernel.close() }

// Measure implements benchmarks.Instance.
func (in *lawInstance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	if !(r.Fidelity > 0 && r.Fidelity <= 1) || r.Repeats < 1 {
		return nil, fmt.Errorf("fidelity %v and %d repeats: want (0, 1] and at least 1", r.Fidelity, r.Repeats)
	}
	known := false
	for _, s := range lawStarts {
		known = known || r.Scenario == string(s)
	}
	if !known {
		return nil, fmt.Errorf("scenario %.80q is not one of %v", r.Scenario, lawStarts)
	}
	if r.Perturbation != nil {
		return nil, fmt.Errorf("perturbation %.40q: %w", r.Perturbation.Kind, benchmarks.ErrUnsupported)
	}
	out := make([]benchmarks.Sample, r.Repeats)
	for i := range out {
		root := seed.Root(seed.Derive(seed.Root(r.Seed), purposes[r.Purpose], uint64(i)))
		got, err := spectrum(ctx, in.kernel, Start(r.Scenario), root)
		if err != nil {
			return nil, err
		}
		others, err := in.domain.builtIn(ctx, root)
		if err != nil {
			return nil, err
		}
		novelty := math.Inf(1)
		for _, other := range others {
			novelty = min(novelty, apart(got, other))
		}
		out[i].Values = map[string]float64{MetricComplexity: sum(got), MetricNovelty: novelty}
	}
	return out, nil
}

// builtIn are the spectra of the built-in laws without noise, each from its own start.
func (d *LawDomain) builtIn(ctx context.Context, root seed.Root) ([][]float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.known[root]; ok {
		return known, nil
	}
	var out [][]float64
	for _, l := range []Law{GrayScott(), FitzHughNagumo(), Growth()} {
		k, err := d.compile(ctx, l)
		if err != nil {
			return nil, err
		}
		s, err := spectrum(ctx, k, l.Start, root)
		if err := errors.Join(err, k.close()); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(d.known) >= truthsKept {
		clear(d.known)
	}
	d.known[root] = out
	return out, nil
}

// Check implements benchmarks.Instance.
func (in *lawInstance) Check(ctx context.Context, from uint64) ([]benchmarks.Check, error) {
	c := benchmarks.Check{Name: "the kernel agrees with the interpreter bit by bit", Pass: true}
	if err := in.kernel.golden(ctx, from); err != nil {
		c.Pass, c.Detail = false, err.Error()
	}
	return []benchmarks.Check{c}, nil
}

// spectrum runs the law and takes the pattern of its first channel apart by
// scales.
func spectrum(ctx context.Context, k *kernel, s Start, root seed.Root) ([]float64, error) {
	l := k.program.law
	l.Start = s
	got, err := k.runFrom(ctx, l.NewStart(lawSide, lawSide, seed.Stream(root, "universe/law/"+string(s))), l.Defaults(), lawSteps)
	if err != nil {
		return nil, err
	}
	if err := got.finite(l); err != nil {
		return nil, fmt.Errorf("%w: %w", err, benchmarks.ErrBadCandidate)
	}
	span := l.Channels[0].Max - l.Channels[0].Min
	pattern := make([]float64, len(got.Planes[0]))
	for i, v := range got.Planes[0] {
		pattern[i] = (v - l.Channels[0].Min) / span
	}
	return structure(pattern, lawSide), nil
}

// structureFrom leaves out the finest scale, where noise is.
const structureFrom = 1

// structure is the multi-scale structural complexity of a square pattern
// (Bagrov et al., PNAS 117, 2020): of each scale k, a block average of the one
// before, |⟨f_k f_{k−1}⟩ − (⟨f_k²⟩ + ⟨f_{k−1}²⟩)/2|: what is lost by no longer
// looking so closely. Its sum is the complexity; uniform patterns have none.
func structure(f []float64, side int) []float64 {
	var out []float64
	for k := 0; side >= 4; k++ {
		half := side / 2
		coarse := make([]float64, half*half)
		for y := range side {
			for x := range side {
				coarse[y/2*half+x/2] += f[y*side+x] / 4
			}
		}
		cross, fine := 0.0, 0.0
		n := float64(side * side)
		for y := range side {
			for x := range side {
				v := f[y*side+x]
				cross += float64(v*coarse[y/2*half+x/2]) / n
				fine += float64(v*v) / n
			}
		}
		rough := 0.0
		for _, v := range coarse {
			rough += float64(v*v) / float64(len(coarse))
		}
		if k >= structureFrom {
			out = append(out, math.Abs(cross-(rough+fine)/2))
		}
		f, side = coarse, half
	}
	return out
}

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// apart is the Euclidean distance of two spectra.
func apart(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		s += float64((x - b[i]) * (x - b[i]))
	}
	return math.Sqrt(s)
}
