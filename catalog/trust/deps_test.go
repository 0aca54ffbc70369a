package trust_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// What a host links when it links the verifier: at most 13 modules besides our own, and
// nothing that could fetch, serve or start anything over HTTP. The list is
// golden, so that a new module is a decision and not an accident.
func TestLinkedModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var modules []string
	for line := range strings.Lines(string(out)) {
		pkg, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		if slices.Contains([]string{"net/http", "os/exec", "plugin", "github.com/arqon/arqon/catalog/publish"}, pkg) {
			t.Errorf("links %s", pkg)
		}
		if module != "" && !slices.Contains(modules, module) {
			modules = append(modules, module)
		}
	}
	slices.Sort(modules)
	got := strings.Join(modules, "\n") + "\n"
	const golden = "testdata/modules.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("linked modules (go test ./catalog/trust -run Linked -update accepts them):\n%s", got)
	}
	if others := len(modules) - 1; others > 13 {
		t.Errorf("%d modules besides our own, at most 13", others)
	}
}

// maxHostBytes is how large a stripped program may be that does nothing but
// verify.
const maxHostBytes = 7_000_000

func TestLinkedSize(t *testing.T) {
	if testing.Short() {
		t.Skip("links a program")
	}
	host := filepath.Join(t.TempDir(), "host")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", host, "./testdata/host").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	info, err := os.Stat(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxHostBytes {
		t.Errorf("the program has %d bytes, at most %d", info.Size(), maxHostBytes)
	}
}
