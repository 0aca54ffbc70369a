package factory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/gates"
)

func TestLoadPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	load := func(s string) (gates.Policy, error) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadPolicy(path)
	}
	p, err := load("alpha_year: 0.02\nrobustness:\n  - {kind: noise, level: 0.1, tolerance: 0.03}\n")
	if err != nil || p.AlphaYear != .02 || len(p.Robustness) != 1 || p.PairsMax != gates.DefaultPolicy().PairsMax {
		t.Errorf("%+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"alpha_year: 2\n":            "policy.yaml:1:",
		"pairs_max: 240\nalpha: 1\n": "policy.yaml:2:",
		"pairs_max: many\n":          "pairs_max",
		"canary_stages: [0.5]\n":     "canary_stages",
	} {
		if _, err := load(text); !errors.Is(err, ErrStudy) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte("alpha_year: 0.02\n"))
	f.Add([]byte("robustness: [{kind: noise, level: 1, tolerance: 0}]\ncanary_stages: [1]\n"))
	f.Add([]byte("x: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePolicy("p.yaml", b); err == nil && p.Check() != nil {
			t.Error("a policy that does not check was read")
		}
	})
}
