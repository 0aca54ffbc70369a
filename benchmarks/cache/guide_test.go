package cache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks/conformance"
	"github.com/arqon/arqon/benchmarks/external"
)

// TestTheGuide compiles the domain and the program that docs/domains.md shows
// and puts both through the conformance test, inside this module.
func TestTheGuide(t *testing.T) {
	doc, err := os.ReadFile("../../docs/domains.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```go\n")
	if len(blocks) != 3 {
		t.Fatalf("docs/domains.md shows %d programs, want the domain and its main", len(blocks)-1)
	}
	code, _, _ := strings.Cut(blocks[1], "```\n")
	program, _, _ := strings.Cut(blocks[2], "```\n")
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
	here := "github.com/arqon/arqon/benchmarks/cache/" + filepath.ToSlash(dir)
	program = strings.Replace(program, "example.com/batching", here, 1)
	program = strings.Replace(program, `"`+here, `batching "`+here, 1)
	if err := os.Mkdir(filepath.Join(dir, "program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"batching.go": code, "batching_test.go": testFile, "program/main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=all", "./"+filepath.ToSlash(dir)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok") {
		t.Fatalf("%v\n%s", err, out)
	}
	bin := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./"+filepath.ToSlash(dir)+"/program").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d, err := external.New([]string{bin}, external.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
