package infer

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/arqon/arqon/benchmarks/conformance"
	"github.com/arqon/arqon/benchmarks/external"
)

// quickCache is where the quick training is kept for as long as the tests run.
var quickCache string

// TestMain lets the test binary be the program that serves infer over the
// process protocol: its arguments are "serve" and the cache.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		os.Exit(serveQuick(os.Args[2]))
	}
	var err error
	if quickCache, err = os.MkdirTemp("", "arqon-infer-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if err := os.RemoveAll(quickCache); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 2
	}
	os.Exit(code)
}

func serveQuick(cache string) int {
	d, err := New(Options{Seed: 1, Quick: true, CacheDir: cache})
	if err == nil {
		err = external.Serve(context.Background(), d, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// TestConformanceOverTheProtocol is the same examination as TestConformance,
// of another process that loads what this one has trained.
func TestConformanceOverTheProtocol(t *testing.T) {
	b, in := build(t, quickDomain(t), Baseline()) // trained and kept
	if err := in.Close(); err != nil || len(b.Files) == 0 {
		t.Fatal(err)
	}
	d, err := external.New([]string{os.Args[0], "serve", quickCache}, external.Options{TempDir: t.TempDir(), Env: []string{"ARQON_FASHION_MNIST"}})
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
