package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/arqon/arqon"

// mayImport is the import table of docs/architecture.md: room → the rooms that
// it may import. "x/..." allows the room x and everything below it. A room that
// is missing here may not exist.
var mayImport = map[string][]string{
	"artifacts":                    {},
	"artifacts/s3":                 {"artifacts"},
	"artifacts/storetest":          {"artifacts"},
	"benchmarks":                   {"artifacts", "catalog", "internal/seed"},
	"benchmarks/cache":             {"benchmarks", "artifacts", "catalog", "internal/seed"},
	"benchmarks/conformance":       {"artifacts", "benchmarks", "internal/seed"},
	"benchmarks/external":          {"benchmarks", "artifacts", "internal/ledger", "internal/seed"},
	"benchmarks/external/compress": {},
	"benchmarks/infer":             {"benchmarks", "artifacts", "catalog", "internal/seed"},
	"benchmarks/universe":          {"benchmarks", "catalog", "internal/seed"},
	"catalog":                      {"artifacts", "catalog/internal/seal"},
	"catalog/forge":                {"catalog", "catalog/trust", "artifacts"}, // for tests: no program links it
	"catalog/internal/seal":        {},
	"catalog/mirror":               {"catalog", "catalog/trust", "artifacts"},
	"catalog/publish":              {"catalog", "catalog/trust", "artifacts"},
	"catalog/trust":                {"catalog", "catalog/internal/seal", "artifacts"},
	"cmd/arqon":                    {"..."},
	"factory":                      {"artifacts", "benchmarks", "catalog", "factory/...", "gates", "gates/report", "internal/ledger", "internal/seed"},
	"factory/catcma":               {"benchmarks", "factory/cma", "factory/engine", "factory/engine/enginetest", "internal/seed"},
	"factory/cma":                  {"benchmarks", "factory/engine", "internal/seed"},
	"factory/de":                   {"benchmarks", "factory/engine", "internal/seed"},
	"factory/engine":               {"benchmarks"},
	"factory/engine/enginetest":    {"benchmarks", "factory/engine", "internal/seed"},
	"factory/ga":                   {"benchmarks", "factory/engine", "internal/seed"},
	"factory/gonum":                {"benchmarks", "factory/engine", "internal/seed"},
	"factory/gp":                   {"benchmarks", "factory/engine", "factory/engine/enginetest", "internal/seed"},
	"factory/roster":               {"benchmarks", "factory/..."},
	"factory/insight":              {"benchmarks", "factory", "factory/engine", "gates", "internal/plot", "internal/seed"},
	"factory/proposer":             {"benchmarks", "benchmarks/external", "factory/engine"},
	"factory/proposer/openai":      {},
	"factory/qd":                   {"benchmarks", "factory/cma", "factory/engine", "internal/seed"},
	"factory/suite":                {"benchmarks", "internal/seed"},
	"factory/sweep":                {"benchmarks", "factory/engine", "internal/seed"},
	"gates":                        {"artifacts", "benchmarks", "catalog", "gates/evalue", "internal/ledger", "internal/seed"},
	"gates/evalue":                 {},
	"gates/report":                 {"artifacts", "benchmarks", "catalog", "gates", "gates/evalue", "internal/plot"},
	"gates/sim":                    {"gates/evalue", "internal/seed"},
	"internal/arch":                {},
	"internal/ledger":              {},
	"internal/plot":                {},
	"internal/seed":                {},
	"runtime":                      {"artifacts", "catalog", "internal/ledger", "internal/seed", "runtime/adapt", "runtime/telemetry"},
	"runtime/adapt":                {},
	"runtime/adapt/worlds":         {"runtime/adapt"},
	"runtime/openfeature":          {"artifacts", "catalog", "runtime"},
	"runtime/otel":                 {"runtime"},
	"runtime/prometheus":           {"catalog", "runtime", "runtime/telemetry"},
	"runtime/runtimetest":          {"artifacts", "catalog", "catalog/publish", "catalog/trust"},
	"runtime/slog":                 {"runtime"},
	"runtime/telemetry":            {},
}

// only names the single room that may import a third-party module, and why.
var only = map[string]struct{ room, why string }{
	"github.com/spf13/cobra":              {"cmd/arqon", "a command line belongs to the command"},
	"github.com/vbauerster/mpb/v8":        {"cmd/arqon", "progress is for people, libraries return"},
	"github.com/minio/minio-go/v7":        {"artifacts/s3", "one room knows the object store's protocol"},
	"github.com/sigstore/sigstore":        {"catalog/publish", "signing is publishing; the verifier needs go-tuf alone"},
	"github.com/open-feature/go-sdk":      {"runtime/openfeature", "who embeds the runtime without it must not link it"},
	"github.com/prometheus/client_golang": {"runtime/prometheus", "who embeds the runtime without it must not link it"},
	"go.opentelemetry.io/otel":            {"runtime/otel", "who embeds the runtime without it must not link it"},
	"github.com/goccy/go-yaml":            {"", "studies, policies and templates are read where they are defined"},
	"github.com/tetratelabs/wazero":       {"benchmarks/universe", "one room compiles and runs modules"},
}

// pure rooms link no third-party module at all.
var pure = map[string]bool{
	"artifacts": true, "catalog": true, "catalog/internal/seal": true, "gates/evalue": true, "internal/ledger": true,
	"internal/plot": true, "internal/seed": true, "runtime": true, "runtime/adapt": true, "runtime/slog": true, "runtime/telemetry": true,
}

type file struct {
	room, path string
	imports    []string
	doc        bool
	lines      int
}

func TestImportTable(t *testing.T) {
	for _, problem := range check(parse(t, "../..")) {
		t.Error(problem)
	}
}

// TestTheTableCatches plants one violation of each rule and expects it named.
func TestTheTableCatches(t *testing.T) {
	for _, c := range []struct {
		f    file
		want string
	}{
		{file{room: "runtime", path: "runtime/x.go", imports: []string{module + "/factory"}}, "may not import"},
		{file{room: "runtime/adapt", path: "runtime/adapt/x.go", imports: []string{module + "/runtime"}}, "may not import"},
		{file{room: "catalog/publish", path: "catalog/publish/x.go", imports: []string{module + "/catalog/internal/seal"}}, "may not import"},
		{file{room: "cmd/arqon", path: "cmd/arqon/x.go", imports: []string{module + "/catalog/forge"}}, "only tests forge"},
		{file{room: "gates", path: "gates/x.go", imports: []string{"github.com/spf13/cobra"}}, "only cmd/arqon"},
		{file{room: "runtime", path: "runtime/x.go", imports: []string{"gonum.org/v1/gonum/mat"}}, "standard library"},
		{file{room: "helpers", path: "helpers/x.go"}, "not in the import table"},
	} {
		got := strings.Join(check([]file{c.f}), "\n")
		if !strings.Contains(got, c.want) {
			t.Errorf("%s importing %v: got %q, want a problem with %q", c.f.path, c.f.imports, got, c.want)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	comments := map[string]int{}
	for _, f := range parse(t, "../..") {
		if f.doc {
			comments[f.room]++
		} else if _, seen := comments[f.room]; !seen {
			comments[f.room] = 0
		}
	}
	for _, room := range sortedKeys(comments) {
		if comments[room] != 1 {
			t.Errorf("%s: %d package comments, want exactly one", room, comments[room])
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	const linesMax = 560 // style.md says about 500
	for _, f := range parse(t, "../..") {
		if f.lines > linesMax {
			t.Errorf("%s has %d lines, more than %d: split it by what it talks about", f.path, f.lines, linesMax)
		}
	}
}

func TestNoGoFileAtTheRoot(t *testing.T) {
	found, err := filepath.Glob("../../*.go")
	if err != nil || len(found) > 0 {
		t.Errorf("Go files at the root: %v %v", found, err)
	}
}

func check(files []file) (problems []string) {
	for _, f := range files {
		allowed, known := mayImport[f.room]
		if !known {
			problems = append(problems, fmt.Sprintf("%s: room %q is not in the import table", f.path, f.room))
			continue
		}
		for _, imp := range f.imports {
			if p := checkImport(f, imp, allowed); p != "" {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

func checkImport(f file, imp string, allowed []string) string {
	if rest, ours := strings.CutPrefix(imp, module+"/"); ours {
		if rest == "catalog/forge" {
			return fmt.Sprintf("%s: only tests forge", f.path)
		}
		for _, a := range allowed {
			below, tree := strings.CutSuffix(a, "/...")
			if a == "..." || a == rest || tree && (rest == below || strings.HasPrefix(rest, below+"/")) {
				return ""
			}
		}
		return fmt.Sprintf("%s: %s may not import %s", f.path, f.room, rest)
	}
	if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
		return ""
	}
	if pure[f.room] {
		return fmt.Sprintf("%s: %s imports %s, but it may use the standard library only", f.path, f.room, imp)
	}
	for _, mod := range sortedKeys(only) {
		if rule := only[mod]; rule.room != "" && rule.room != f.room && (imp == mod || strings.HasPrefix(imp, mod+"/")) {
			return fmt.Sprintf("%s: only %s may import %s: %s", f.path, rule.room, mod, rule.why)
		}
	}
	return ""
}

// parse reads every non-test Go file of the module, import clauses only.
func parse(t *testing.T, root string) (files []file) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := path.Base(rel)
			if rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || rel == "out" || rel == "bin") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && rel != "." {
				return filepath.SkipDir // another module
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parseFile(p, rel)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("%d Go files found under %s: the walk is broken", len(files), root)
	}
	return files
}

func parseFile(p, rel string) (file, error) {
	src, err := os.ReadFile(p)
	if err != nil {
		return file{}, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	f := file{room: path.Dir(rel), path: rel, lines: strings.Count(string(src), "\n"), doc: hasDoc(parsed)}
	for _, imp := range parsed.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, name)
	}
	return f, nil
}

func hasDoc(f *ast.File) bool {
	return f.Doc != nil && (strings.HasPrefix(f.Doc.Text(), "Package ") || strings.HasPrefix(f.Doc.Text(), "Command "))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
