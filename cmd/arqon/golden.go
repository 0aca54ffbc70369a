package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/factory"
)

// smoker opens entries and asks them what they answered when they were built.
// It opens each domain once, when an entry of it comes. One goroutine uses it
// at a time.
type smoker struct {
	domains map[string]open
	may     tiers
	code    recompiled
}

// recompiled counts entries that carry precompiled code: those of which it was
// compiled again, to the same bytes, and those of which it was made elsewhere.
type recompiled struct{ again, elsewhere int }

func newSmoker() *smoker { return &smoker{domains: map[string]open{}} }

// tiers is what a host allows beside WebAssembly that it compiles itself; the
// zero value allows nothing.
type tiers struct {
	native      bool
	precompiled *universe.Precompiler // nil: what code a kernel carries is not looked at
}

// offers is what envelopes may ask of this host beside its system.
func (may tiers) offers() []string {
	out := []string{universe.SelfCompiled}
	if may.precompiled != nil {
		out = may.precompiled.Features()
	}
	if may.native {
		out = append(out, universe.NativeFeatures()...)
	}
	return out
}

// tiers are those that the flags allow.
func (f runFlags) tiers() (may tiers, err error) {
	may.native = f.allowNative
	if f.allowPrecompiled {
		if may.precompiled, err = universe.FindPrecompiler(); err != nil {
			err = hinted{err, "without --allow-precompiled the host compiles kernels itself"}
		}
	}
	return may, err
}

// Close closes the domains.
func (s *smoker) Close() error {
	var err error
	for _, d := range s.domains {
		err = errors.Join(err, d.Close())
	}
	return err
}

// openers make the domains of which a host knows the loader. They train and
// read nothing until a variant is built or measured, which a host never does.
var openers = map[string]func() (open, error){
	infer.Name: func() (open, error) {
		d, err := infer.New(infer.Options{})
		return open{d, nothingToClose{}}, err
	},
	cache.Name: func() (open, error) {
		d, err := cacheDomain()
		return open{d, nothingToClose{}}, err
	},
	universe.Name: func() (open, error) {
		d, err := universe.New(universe.GrayScott(), nil) // kernels of a compiler open without one
		return open{d, d}, err
	},
	universe.LawName: func() (open, error) {
		d := universe.NewLawDomain()
		return open{d, d}, nil
	},
}

// domain opens the domain with the name, once; false if a host does not know
// how.
func (s *smoker) domain(name string) (benchmarks.Domain, bool, error) {
	if d, ok := s.domains[name]; ok {
		return d, true, nil
	}
	make, ok := openers[name]
	if !ok {
		return nil, false, nil
	}
	d, err := make()
	if err == nil {
		if u, ok := d.Domain.(*universe.Domain); ok {
			if s.may.native {
				u.AllowNative(nil)
			}
			if s.may.precompiled != nil {
				u.Loader().AllowPrecompiled(s.may.precompiled)
			}
		}
		s.domains[name] = d
	}
	return d, true, err
}

// load makes the domain of a study known too: a program of the user's own. out
// is where a domain keeps what it trains.
func (s *smoker) load(ctx context.Context, file, out string) error {
	st, err := factory.LoadStudy(file)
	if err != nil {
		return err
	}
	s.may.native = s.may.native || st.Native
	if st.Precompiled {
		if s.may.precompiled, err = universe.FindPrecompiler(); err != nil {
			return err
		}
	}
	d, err := openDomain(st, out, 0, func(string) {})
	if err != nil {
		return err
	}
	about, err := d.Describe(ctx)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	s.domains[about.Name] = d
	return nil
}

// smoke is trust.Config.Smoke. An entry without golden answers was published
// before there were any and is not asked; one of a domain that this program
// has no loader for it could not serve either.
func (s *smoker) smoke(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) error {
	if len(e.Golden) == 0 {
		return nil
	}
	domain, ok, err := s.domain(e.Variant.Domain)
	if err != nil || !ok {
		return err
	}
	return askAgain(ctx, domain, e, blobs)
}

// askAgain compares what an entry answers with what was signed.
func askAgain(ctx context.Context, domain benchmarks.Domain, e catalog.Entry, blobs artifacts.Getter) error {
	b, err := filesOf(ctx, domain, e.Variant, blobs)
	if err != nil {
		return err
	}
	var questions []string
	for _, g := range e.Golden {
		questions = append(questions, g.Question)
	}
	got, err := goldenAnswers(ctx, domain, b, questions...)
	if err != nil {
		return err
	}
	if len(got) != len(e.Golden) {
		return fmt.Errorf("%d answers to %d questions", len(got), len(e.Golden))
	}
	for i, g := range e.Golden {
		if err := g.Compare(got[i]); err != nil {
			return err
		}
	}
	return nil
}

// goldenAnswers opens a bundle as a host does and asks it.
func goldenAnswers(ctx context.Context, domain benchmarks.Domain, b benchmarks.Bundle, questions ...string) (out []benchmarks.Golden, err error) {
	in, err := domain.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	a, ok := in.(benchmarks.Answerer)
	if !ok {
		return nil, fmt.Errorf("golden answers: %w", benchmarks.ErrUnsupported)
	}
	return a.Answer(ctx, questions...)
}

// filesOf is the variant as its domain opens it. A point that this program's
// space does not hold is left out: hosts load files, and only a program of the
// user's own is given its point again.
func filesOf(ctx context.Context, domain benchmarks.Domain, v catalog.Variant, blobs artifacts.Getter) (benchmarks.Bundle, error) {
	d, err := domain.Describe(ctx)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	point, err := benchmarks.DecodePoint(d.Space, v.Point)
	if err != nil {
		point = nil
	}
	files, err := filesFrom(ctx, v.Artifacts, blobs)
	return benchmarks.Bundle{Point: point, Seed: v.Seed, Type: v.Type, Files: files}, err
}

// asked gives each entry the golden answers of its domain, unless it has them
// from a release before. An outside program need not know the operation.
func asked(ctx context.Context, domain benchmarks.Domain, entries []catalog.Entry, blobs artifacts.Getter) error {
	for i := range entries {
		e := &entries[i]
		if len(e.Golden) > 0 {
			continue
		}
		b, err := filesOf(ctx, domain, e.Variant, blobs)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Variant.Name, err)
		}
		e.Golden, err = goldenAnswers(ctx, domain, b)
		if errors.Is(err, benchmarks.ErrUnsupported) || errors.Is(err, benchmarks.ErrCrash) {
			e.Golden, err = nil, nil
		}
		if err != nil {
			return fmt.Errorf("%s: golden answers: %w", e.Variant.Name, err)
		}
		if err := askAgain(ctx, domain, *e, blobs); len(e.Golden) > 0 && err != nil {
			return fmt.Errorf("%s: it does not answer the same twice: %w", e.Variant.Name, err)
		}
	}
	return nil
}

// reproduce compiles what an entry carries compiled code of again, and compares.
// What another compiler made, or made for another processor, nobody can compare
// here.
func (s *smoker) reproduce(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (err error) {
	u, ok := s.domains[e.Variant.Domain].Domain.(*universe.Domain)
	if !ok {
		return nil
	}
	files, err := filesFrom(ctx, e.Variant.Artifacts, blobs)
	if err != nil {
		return err
	}
	k, err := u.Loader().Open(ctx, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	n, err := k.Reproduce(ctx)
	switch {
	case errors.Is(err, universe.ErrOtherMachine):
		s.code.elsewhere++
		err = nil
	case n > 0:
		s.code.again++
	}
	return err
}

// smokeAll asks what a host on this machine would serve of verified releases.
// The error is the refusal that the host would give.
func (s *smoker) smokeAll(ctx context.Context, rep trust.Report, blobs artifacts.Getter) (entries int, err error) {
	withdrawn := map[catalog.VariantID]bool{}
	for _, y := range rep.Yanked {
		withdrawn[y.ID] = true
	}
	for _, r := range rep.Releases {
		for _, e := range r.Release.Entries {
			h := e.Envelope.Hardware
			_, known, err := s.domain(e.Variant.Domain)
			if err != nil {
				return entries, err
			}
			if !known || withdrawn[e.ID] || len(e.Golden) == 0 || (h.OS != "" && h.OS != goruntime.GOOS) || (h.Arch != "" && h.Arch != goruntime.GOARCH) || catalog.Lacks(h.CPUFeatures, s.may.offers()) != "" {
				continue
			}
			err = s.smoke(ctx, e, blobs)
			if err == nil {
				err = s.reproduce(ctx, e, blobs)
			}
			if err != nil {
				return entries, &trust.Refusal{
					Reason: trust.Smoke, File: trust.TargetName(trust.ManifestTarget(r.Release.Channel), r.Manifest),
					Detail: fmt.Sprintf("entry %d (%s): %v", e.ID, e.Variant.Name, err), Err: err,
				}
			}
			entries++
		}
	}
	return entries, nil
}
