package runtime

import (
	"flag"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/deps.golden")

const modulePath = "github.com/arqon/arqon"

// banned says what may not be linked, directly or through others, and why.
var banned = map[string]string{
	"net":      "it works with the network down; bytes arrive through artifacts.Getter",
	"net/http": "it works with the network down; bytes arrive through artifacts.Getter",
	"os/exec":  "it starts no programs",
	"plugin":   "it loads no code",

	modulePath + "/catalog/publish": "it must be unable to sign",
	modulePath + "/factory":         "it must be unable to search",
	modulePath + "/gates":           "it must be unable to approve",
	modulePath + "/benchmarks":      "it must be unable to measure candidates",
	"crypto/ecdsa":                  "it must be unable to sign",
	"crypto/ed25519":                "it must be unable to sign",
	"crypto/rsa":                    "it must be unable to sign",
}

var rooms = []string{"runtime", "runtime/adapt", "runtime/telemetry"}

// closure returns every package that a room links, by parsing import clauses
// under the build constraints of this platform. It runs no program: what a
// test reads itself makes its cached result stale when it changes.
func closure(t *testing.T, room string) map[string]string {
	t.Helper()
	ctx := build.Default
	ctx.CgoEnabled = false
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	via := map[string]string{}
	var walk func(path, from string)
	walk = func(path, from string) {
		if _, seen := via[path]; seen || path == "unsafe" || path == "C" {
			return
		}
		via[path] = from
		dir := filepath.Join(ctx.GOROOT, "src", filepath.FromSlash(path))
		if own, ok := strings.CutPrefix(path, modulePath); ok {
			dir = filepath.Join(root, filepath.FromSlash(own))
		} else if _, err := os.Stat(dir); err != nil {
			dir = filepath.Join(ctx.GOROOT, "src", "vendor", filepath.FromSlash(path))
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("%s links %s, which is neither ours nor of the standard library (through %s): its supply chain is the standard library", room, path, from)
				return
			}
		}
		pkg, err := ctx.ImportDir(dir, 0)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, i := range pkg.Imports {
			walk(i, path)
		}
	}
	walk(modulePath+"/"+room, "")
	return via
}

func TestWhatTheRuntimeLinks(t *testing.T) {
	var out strings.Builder
	for _, room := range rooms {
		via := closure(t, room)
		for path, from := range via {
			for b, why := range banned {
				if path == b || (strings.HasPrefix(b, modulePath) && strings.HasPrefix(path, b+"/")) {
					t.Errorf("%s links %s through %s: %s", room, path, from, why)
				}
			}
			if room != "runtime" && strings.HasPrefix(path, modulePath) && path != modulePath+"/"+room {
				t.Errorf("%s imports %s: it imports nothing of ours", room, path)
			}
		}
		out.WriteString("# " + room + "\n")
		var public []string
		for path := range via { // internal packages differ between platforms and Go releases
			if !strings.Contains("/"+path+"/", "/internal/") || strings.HasPrefix(path, modulePath) {
				if !strings.HasPrefix(path, "golang.org/") {
					public = append(public, path)
				}
			}
		}
		slices.Sort(public)
		out.WriteString(strings.Join(public, "\n") + "\n")
	}
	golden := filepath.Join("testdata", "deps.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("the linked packages are not those of %s; look at the difference, then run go test ./runtime -run TestWhatTheRuntimeLinks -update\n%s",
			golden, diff(string(want), out.String()))
	}
}

func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for _, l := range w {
		if !slices.Contains(g, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

// Time, seeds and goroutines are the host's: none of the three rooms reads a
// clock, draws from a global generator or starts a goroutine.
func TestNoClockNoGlobalRandomNoGoroutine(t *testing.T) {
	for _, dir := range []string{".", "adapt", "telemetry"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				switch i.Path.Value {
				case `"time"`, `"math/rand"`, `"math/rand/v2"`, `"crypto/rand"`:
					t.Errorf("%s imports %s", name, i.Path.Value)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s starts a goroutine", fset.Position(g.Pos()))
				}
				return true
			})
		}
	}
}
