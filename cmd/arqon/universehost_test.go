package main

import (
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks/universe"
)

// A field of one law is never stepped by a kernel of another, whatever the
// envelope says: a host refuses to stage it, by name.
func TestAHostMixesNoLaws(t *testing.T) {
	d, err := universe.New(universe.Growth(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Build(t.Context(), universe.Baseline(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l := &universeLoad{loader: universe.NewLoader(nil)}
	t.Cleanup(func() {
		if err := l.loader.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, contexts := range [][]string{{"32-exact"}, {"growth-32-exact", "fitzhugh-nagumo-32-exact"}, {"growth-0123abcd-32-exact"}} {
		if _, err := l.open(t.Context(), b.Files, contexts); err == nil || !strings.Contains(err.Error(), "of another law") {
			t.Errorf("%v: %v", contexts, err)
		}
	}
	if _, err := l.open(t.Context(), b.Files, []string{"growth-256-exact", "growth-32-1e-5"}); err != nil {
		t.Error(err)
	}
	l.grounds = map[string]*ground{"growth-32-exact": {law: universe.GrayScott(), width: 32}} // as if two tags were alike
	if _, err := l.open(t.Context(), b.Files, []string{"growth-32-exact"}); err == nil || !strings.Contains(err.Error(), "of another law") {
		t.Error(err)
	}
}
