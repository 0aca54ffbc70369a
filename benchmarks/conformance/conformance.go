// Package conformance says whether a domain keeps the promises of
// benchmarks.Domain. [Examine] is for anything that holds a domain (the verb
// arqon domain check, a user's own check), [Run] is the same as a test.
//
// It is not a measurement: it looks at the baseline only, at a low fidelity,
// and judges nothing but the contract.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// Finding is one promise. A nil Err means that it is kept; an Err wrapping
// benchmarks.ErrUnsupported that the domain declines something optional.
type Finding struct {
	Promise string
	Hint    string // what usually breaks it, and what to do
	Err     error
}

// Broken reports whether the promise is neither kept nor declined.
func (f Finding) Broken() bool {
	return f.Err != nil && !errors.Is(f.Err, benchmarks.ErrUnsupported)
}

// The seeds and the fidelity of an examination. They are arbitrary.
const (
	buildSeed   = 7
	measureSeed = 11
	fidelity    = .25
)

// Test is *testing.T, as far as Run needs it: a program that examines domains
// shall not link package testing.
type Test[T any] interface {
	Helper()
	Context() context.Context
	Run(name string, f func(t T)) bool
	Error(args ...any)
	Log(args ...any)
}

// hintFor is what to do about a broken promise: about a program that does not
// answer at all, not what its answers should have been.
func hintFor(err error, promised string) string {
	switch {
	case errors.Is(err, benchmarks.ErrTimeout):
		return "raise external.timeout in the study, or mend what hangs"
	case errors.Is(err, benchmarks.ErrCrash):
		return `run the program by hand, type {"id":1,"op":"describe"} and look at what it prints: standard output is one JSON object a line and nothing else, standard error is for people`
	}
	return promised
}

// Run fails t for every promise that d breaks.
func Run[T Test[T]](t T, d benchmarks.Domain) {
	t.Helper()
	for _, f := range Examine(t.Context(), d) {
		t.Run(f.Promise, func(t T) {
			switch {
			case f.Broken():
				t.Error(fmt.Sprintf("%v\nhint: %s", f.Err, f.Hint))
			case f.Err != nil:
				t.Log(f.Err)
			}
		})
	}
}

// Examine goes through the contract, stops where the next promise would make
// no sense, and returns what it found in order.
func Examine(ctx context.Context, d benchmarks.Domain) []Finding {
	x := examination{domain: d}
	for _, step := range x.steps() {
		err := step.look(ctx)
		x.found = append(x.found, Finding{step.promise, hintFor(err, step.hint), err})
		if x.over {
			break
		}
	}
	return x.found
}

type step struct {
	promise, hint string
	look          func(context.Context) error
}

// steps are the promises in the order in which they are looked at.
func (x *examination) steps() []step {
	return []step{
		{"describes itself soundly",
			"the error names the field; every context needs exactly one success metric, and the baseline must lie in the space", x.describe},
		{"describes itself the same way twice",
			"a description may not depend on time, load or the order of a map: a night is bound to it", x.describeAgain},
		{"builds the baseline purely",
			"same point and seed, same bytes: no time stamp, no random number but the seed's, sorted keys; and the bundle carries the point and the seed it was given", x.build},
		{"opens the baseline",
			"open reads the bundle's files, not the point: it is what a host will have", x.open},
		{"measures every metric in every scenario",
			"one finite number a declared metric, in every sample, as many samples as repeats, items within the metric's range", x.measure},
		{"repeats deterministic metrics exactly",
			"draw everything random from the request's seed and what the scenario is, never from what ran before; or declare the metric measured", x.repeat},
		{"keeps items the same length in every arm",
			"which items there are may depend on the scenario, the seed and the fidelity, not on the point", x.items},
		{"refuses a point outside the space as a bad candidate",
			"check the point first (Space.Normalize in Go) and answer bad_candidate: a search learns from it", x.refuse},
		{"declines an unknown perturbation",
			"answer unsupported: a gate that needs the perturbation then says so, instead of judging the undisturbed", x.perturb},
		{"refuses an unknown scenario", "answer with an error; never measure something else instead", x.scenario},
		{ChecksPromise,
			"what runs today must pass; a domain without checks answers unsupported", x.check},
		{"answers its golden questions the same way twice",
			"a host asks them again before it serves: draw nothing at random, and give a tolerance where floats may differ between processors", x.answer},
		{"closes", "close gives back what open took; a second measurement after it is never asked for", x.close},
	}
}

// ChecksPromise is the promise that a domain may decline at a price: a search
// works without checks, but nothing passes the correctness gate.
const ChecksPromise = "passes its own checks on the baseline"

// examination is the state that one step leaves to the next.
type examination struct {
	domain   benchmarks.Domain
	desc     benchmarks.Description
	bundle   benchmarks.Bundle
	instance benchmarks.Instance
	first    map[string]benchmarks.Sample // by scenario
	found    []Finding
	over     bool
}

func (x *examination) describe(ctx context.Context) error {
	desc, err := x.domain.Describe(ctx)
	if err == nil {
		err = desc.Check()
	}
	x.desc, x.over = desc, err != nil
	return err
}

func (x *examination) describeAgain(ctx context.Context) error {
	again, err := x.domain.Describe(ctx)
	if err != nil {
		return err
	}
	a, b := fmt.Sprintf("%+v", plain(x.desc)), fmt.Sprintf("%+v", plain(again))
	if a != b {
		return fmt.Errorf("first %.400s, then %.400s", a, b)
	}
	return nil
}

// plain replaces the pointers of a description by what they point to.
func plain(d benchmarks.Description) []any {
	out := []any{d.Name, d.Version, d.Space, d.Scenarios, string(d.Baseline.Canonical())}
	for _, m := range d.Metrics {
		limit, span := "none", "none"
		if m.Limit != nil {
			limit = fmt.Sprint(*m.Limit)
		}
		if m.Range != nil {
			span = fmt.Sprint(*m.Range)
		}
		m.Limit, m.Range = nil, nil
		out = append(out, m, limit, span)
	}
	return out
}

func (x *examination) build(ctx context.Context) error {
	x.over = true
	p, err := x.desc.Space.Normalize(x.desc.Baseline)
	if err != nil {
		return err
	}
	before := p.Digest()
	one, err := x.domain.Build(ctx, p, buildSeed)
	if err != nil {
		return err
	}
	two, err := x.domain.Build(ctx, p, buildSeed)
	if err != nil {
		return err
	}
	if p.Digest() != before {
		return errors.New("build changed the point that it was given")
	}
	if !one.Point.Equal(p) {
		return fmt.Errorf("the bundle holds the point %v instead of %v", one.Point, p)
	}
	if one.Seed != buildSeed || one.Type == "" {
		return fmt.Errorf("the bundle has seed %d and type %q, want seed %d and some type", one.Seed, one.Type, buildSeed)
	}
	if len(one.Files) == 0 {
		return errors.New("the bundle has no file: nothing to sign")
	}
	if !slices.Equal(one.Refs(), two.Refs()) {
		return fmt.Errorf("same point and seed, but files %v and then %v", digests(one), digests(two))
	}
	x.bundle, x.over = one, false
	return nil
}

func digests(b benchmarks.Bundle) []string {
	var out []string
	for _, r := range b.Refs() {
		out = append(out, r.Name+"@"+artifacts.Digest.Short(r.Digest))
	}
	return out
}

func (x *examination) open(ctx context.Context) error {
	in, err := x.domain.Open(ctx, x.bundle)
	if err == nil && in == nil {
		err = errors.New("neither an instance nor an error")
	}
	x.instance, x.over = in, err != nil
	return err
}

func request(scenario string) benchmarks.Request {
	return benchmarks.Request{Scenario: scenario, Seed: measureSeed, Repeats: 1, Fidelity: fidelity}
}

func (x *examination) measure(ctx context.Context) error {
	x.first = map[string]benchmarks.Sample{}
	for _, s := range x.desc.Scenarios {
		r := request(s.Name)
		r.Repeats = 2
		samples, err := x.instance.Measure(ctx, r)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, unlessDeclined(err))
		}
		if len(samples) != r.Repeats {
			return fmt.Errorf("scenario %s: %d samples for %d repeats", s.Name, len(samples), r.Repeats)
		}
		for _, sample := range samples {
			if err := benchmarks.CheckSample(x.desc.Metrics, r, sample); err != nil {
				return err
			}
		}
		x.first[s.Name] = samples[0]
	}
	return nil
}

// unlessDeclined keeps ErrUnsupported from excusing what is not optional.
func unlessDeclined(err error) error {
	if errors.Is(err, benchmarks.ErrUnsupported) {
		return fmt.Errorf("may not be declined: %s", text(err))
	}
	return err
}

// text quotes an error without wrapping it: what a finding wraps decides
// whether it is broken.
func text(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func (x *examination) repeat(ctx context.Context) error {
	for _, s := range x.desc.Scenarios {
		again, err := x.instance.Measure(ctx, request(s.Name))
		if err != nil || len(again) != 1 {
			return fmt.Errorf("scenario %s: %d samples, %w", s.Name, len(again), err)
		}
		for _, m := range x.desc.Metrics {
			a, b := x.first[s.Name].Values[m.Name], again[0].Values[m.Name]
			if m.Kind == benchmarks.Deterministic && a != b {
				return fmt.Errorf("metric %s in scenario %s is declared deterministic: %v, then %v", m.Name, s.Name, a, b)
			}
		}
	}
	return nil
}

// items compares the item counts of the baseline with those of another point:
// gates pair the two item by item.
func (x *examination) items(ctx context.Context) error {
	withItems := func(s benchmarks.Scenario) bool { return len(x.first[s.Name].Items) > 0 }
	if !slices.ContainsFunc(x.desc.Scenarios, withItems) {
		return nil
	}
	other, err := x.other(ctx)
	if err != nil || other == nil {
		return err
	}
	for _, s := range x.desc.Scenarios {
		if !withItems(s) {
			continue
		}
		samples, err := other.Measure(ctx, request(s.Name))
		if err != nil || len(samples) != 1 {
			return errors.Join(fmt.Errorf("scenario %s: %d samples", s.Name, len(samples)), unlessDeclined(err), other.Close())
		}
		for _, name := range slices.Sorted(maps.Keys(x.first[s.Name].Items)) {
			if a, b := len(x.first[s.Name].Items[name]), len(samples[0].Items[name]); a != b {
				return errors.Join(fmt.Errorf("metric %s in scenario %s: %d items for the baseline, %d for another point", name, s.Name, a, b), other.Close())
			}
		}
	}
	return other.Close()
}

// other opens a random point; nil if the domain refuses the first few.
func (x *examination) other(ctx context.Context) (benchmarks.Instance, error) {
	r := seed.Stream(1, "conformance/other")
	for range 8 {
		p := x.desc.Space.Sample(r)
		b, err := x.domain.Build(ctx, p, buildSeed)
		if errors.Is(err, benchmarks.ErrBadCandidate) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("point %v: %w", p, err)
		}
		return x.domain.Open(ctx, b)
	}
	return nil, nil
}

func (x *examination) refuse(ctx context.Context) error {
	for _, bad := range []benchmarks.Point{outside(x.desc), {"no_such_parameter_": true}} {
		if _, err := x.domain.Build(ctx, bad, buildSeed); !errors.Is(err, benchmarks.ErrBadCandidate) {
			return fmt.Errorf("point %v: got %v, want an error wrapping %q", bad, text(err), text(benchmarks.ErrBadCandidate))
		}
	}
	return nil
}

// outside is the baseline with one parameter of the wrong type.
func outside(d benchmarks.Description) benchmarks.Point {
	p := d.Baseline.Clone()
	p[d.Space.Parameters[0].Name] = struct{}{}
	return p
}

func (x *examination) perturb(ctx context.Context) error {
	r := request(x.desc.Scenarios[0].Name)
	r.Perturbation = &benchmarks.Perturbation{Kind: "no-such-perturbation", Level: .1}
	if _, err := x.instance.Measure(ctx, r); !errors.Is(err, benchmarks.ErrUnsupported) {
		return fmt.Errorf("got %v, want an error wrapping %q", text(err), text(benchmarks.ErrUnsupported))
	}
	return nil
}

func (x *examination) scenario(ctx context.Context) error {
	if _, err := x.instance.Measure(ctx, request("no-such-scenario")); err == nil {
		return errors.New("it was measured")
	}
	return nil
}

func (x *examination) check(ctx context.Context) error {
	checks, err := x.instance.Check(ctx, measureSeed)
	if err != nil {
		return err // declining is allowed: the correctness gate will say so
	}
	if len(checks) == 0 {
		return errors.New("no check at all: decline instead")
	}
	for _, c := range checks {
		if !c.Pass {
			return fmt.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	return nil
}

// answer asks the baseline, and the same files opened anew, as a host would.
func (x *examination) answer(ctx context.Context) error {
	first, err := x.answers(ctx, x.instance)
	if err != nil {
		return err
	}
	again, err := x.domain.Open(ctx, x.bundle)
	if err != nil {
		return err
	}
	var questions []string
	for _, g := range first {
		questions = append(questions, g.Question)
	}
	second, err := x.answers(ctx, again, questions...)
	if err := errors.Join(err, again.Close()); err != nil {
		return unlessDeclined(err)
	}
	for i, g := range first {
		if err := g.Compare(second[i]); err != nil {
			return err
		}
	}
	if _, err := x.answers(ctx, x.instance, "no-such-question"); !errors.Is(err, benchmarks.ErrUnsupported) {
		return fmt.Errorf("an unknown question: got %v, want an error wrapping %q", text(err), text(benchmarks.ErrUnsupported))
	}
	return nil
}

func (x *examination) answers(ctx context.Context, in benchmarks.Instance, questions ...string) ([]benchmarks.Golden, error) {
	a, ok := in.(benchmarks.Answerer)
	if !ok {
		return nil, fmt.Errorf("it has no golden answers: %w", benchmarks.ErrUnsupported)
	}
	out, err := a.Answer(ctx, questions...)
	if err == nil && len(questions) > 0 && len(out) != len(questions) {
		err = fmt.Errorf("%d answers to %d questions", len(out), len(questions))
	}
	return out, err
}

func (x *examination) close(context.Context) error { return x.instance.Close() }
