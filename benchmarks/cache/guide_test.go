package cache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheGuide compiles the domain that docs/domains.md shows and puts it
// through the conformance test, inside this module.
func TestTheGuide(t *testing.T) {
	doc, err := os.ReadFile("../../docs/domains.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "```go\n")
	code, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("docs/domains.md shows no program")
	}
	const testFile = `package batching

import (
	"testing"

	"github.com/arqon/arqon/benchmarks/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, Domain{}) }
`
	// Inside the module, but where ./... never looks.
	dir := filepath.Join("testdata", fmt.Sprintf("guide%d", os.Getpid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]string{"batching.go": code, "batching_test.go": testFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=all", "./"+filepath.ToSlash(dir)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok") {
		t.Fatalf("%v\n%s", err, out)
	}
}
