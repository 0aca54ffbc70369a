package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/benchmarks/external"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/factory"
)

// builtIn are the domains that a study may name.
const builtIn = infer.Name + ", " + cache.Name + ", " + universe.Name + ", " + universe.LawName

// open is a domain and how to close it.
type open struct {
	benchmarks.Domain
	io.Closer
}

type nothingToClose struct{}

func (nothingToClose) Close() error { return nil }

// openDomain makes the domain that a study names. Trained weights are kept
// below out, so that a resumed night does not train again.
func openDomain(st factory.Study, out string, crashesMax int, say func(string)) (open, error) {
	o := external.Options{Processes: 2*st.Workers + 1, CrashesMax: crashesMax}
	if e := st.External; e != nil {
		o.Env, o.StartTimeout = e.Env, startTimeout(e.Timeout)
		o.BuildTimeout, o.MeasureTimeout, o.CheckTimeout = e.Timeout, e.Timeout, e.Timeout
	}
	if st.Native && st.Domain != universe.Name {
		return open{}, hinted{errors.New("native: this domain has no native variants"), "domain " + universe.Name + " has; leave the key out"}
	}
	if st.Law != "" && st.Domain != universe.Name {
		return open{}, hinted{st.Refuse("law", errors.New("only the domain "+universe.Name+" has laws")), "domain: " + universe.Name + "; or leave the key out"}
	}
	if st.Precompiled && st.Domain != universe.Name {
		return open{}, hinted{errors.New("precompiled: this domain has nothing to compile"), "domain " + universe.Name + " has; leave the key out"}
	}
	switch {
	case len(st.Command) > 0:
		t, err := external.DecodeTemplate(st.Command)
		if err != nil {
			return open{}, fmt.Errorf("command: %w", err)
		}
		d, err := external.NewCommand(t, o)
		return open{d, d}, inTemplate(err)
	case st.External != nil:
		d, err := external.New(st.External.Command, o)
		return open{d, d}, err
	case st.Domain == infer.Name:
		d, err := inferDomain(out, st.Seed, say)
		return open{d, nothingToClose{}}, err
	case st.Domain == cache.Name:
		d, err := cacheDomain()
		return open{d, nothingToClose{}}, err
	case st.Domain == universe.Name:
		return universeDomain(st, say)
	case st.Domain == universe.LawName:
		d := universe.NewLawDomain()
		return open{d, d}, nil
	}
	return open{}, hinted{
		fmt.Errorf("domain %q is not built in", st.Domain),
		"built in: " + builtIn + "; any other program goes under external.command, docs/studies.md says how",
	}
}

// universeDomain is the domain of the kernels of a study's law. Native ones are
// in its space only where a study asks for them, and then they must be possible;
// so must precompiled code.
func universeDomain(st factory.Study, say func(string)) (open, error) {
	law, err := lawOf(st)
	if err != nil {
		return open{}, err
	}
	var builder *universe.Native
	if st.Native {
		path := os.Getenv(clangVariable)
		if path == "none" {
			return open{}, hinted{errors.New("native: kernels need a compiler, and " + clangVariable + " is none"), "unset " + clangVariable + ", or leave native out of the study"}
		}
		if builder, err = universe.FindNative(context.Background(), path); err != nil {
			return open{}, hinted{fmt.Errorf("native: %w", err), "Debian packages clang and lld build native kernels; without native in the study nothing but Go is needed"}
		}
		say("native kernels, outside of WebAssembly's sandbox, are built by " + builder.String())
	}
	var compiler *universe.Precompiler
	if st.Precompiled {
		if compiler, err = universe.FindPrecompiler(); err != nil {
			return open{}, hinted{err, "leave precompiled out of the study: hosts then compile, which takes some milliseconds"}
		}
		say("kernels also carry what they compile to: " + compiler.String())
	}
	d, err := universe.New(law, findClang(say))
	if err != nil {
		return open{}, err
	}
	if st.Native {
		d.AllowNative(builder)
	}
	if st.Precompiled {
		d.Precompile(compiler)
	}
	return open{d, d}, nil
}

// clangVariable names the compiler that may build kernels: a program, or none.
const clangVariable = "ARQON_CLANG"

// findClang is the machine's clang, nil where there is none that can build
// kernels: a study then has nothing to choose there.
func findClang(say func(string)) *universe.Clang {
	path := os.Getenv(clangVariable)
	if path == "none" {
		return nil
	}
	c, err := universe.FindClang(context.Background(), path)
	switch {
	case err == nil:
		say("kernels are built by " + c.String() + " too (" + clangVariable + "=none: by Go alone)")
	case path != "" || !errors.Is(err, exec.ErrNotFound):
		say("kernels are built by Go alone: " + err.Error())
	}
	return c
}

// startTimeout is the study's timeout of an operation, with room for a program
// that compiles itself first; 0 leaves the client's default.
func startTimeout(operation time.Duration) time.Duration {
	if operation == 0 {
		return 0
	}
	return max(operation, 10*time.Second)
}

func inferDomain(out string, seed uint64, say func(string)) (*infer.Domain, error) {
	cache := filepath.Join(out, "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	quick := os.Getenv(quickVariable) != ""
	return infer.New(infer.Options{CacheDir: cache, Seed: seed, Progress: say, Quick: quick})
}

// quickVariable makes infer train on a tenth of the images: for tests of the
// machinery, never for figures.
const quickVariable = "ARQON_QUICK"
