package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsNameWhatExists follows what the documents point at: links and their
// headings, make targets, studies, and the tests and benchmarks of every
// command that measures a figure again.
func TestDocsNameWhatExists(t *testing.T) {
	t.Chdir("../..")
	var docs []string
	for _, glob := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, found...)
	}
	if len(docs) < 20 {
		t.Fatalf("only %d documents were found", len(docs))
	}
	makefile := read(t, "Makefile")
	for _, doc := range docs {
		text := read(t, doc)
		for _, problem := range append(brokenLinks(doc, text), unknownNames(text, makefile)...) {
			t.Errorf("%s: %s", doc, problem)
		}
	}
}

// TestDocsProblemsAreSeen: a check that sees nothing would pass for ever.
func TestDocsProblemsAreSeen(t *testing.T) {
	t.Chdir("../..")
	text := "[a](docs/nowhere.md) [b](README.md#no-such-heading) `make nothing` studies/none.yaml\n" +
		"`go test ./gates -run TestNobodyWroteThis -v` `go test ./nowhere -run X`\n" +
		"[c](README.md#trust-and-limits) `make test` studies/infer.yaml `go test ./internal/arch -run 'TestDocs|Nothing'`\n"
	got := append(brokenLinks("x.md", text), unknownNames(text, read(t, "Makefile"))...)
	if len(got) != 6 {
		t.Errorf("%d problems, want 6:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// Programs index and call, which looks like a link.
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```")
	noAnchor  = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// brokenLinks lists the relative links of a document that lead nowhere.
func brokenLinks(doc, text string) (out []string) {
	for _, m := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		file, anchor, _ := strings.Cut(m[1], "#")
		target := doc
		if file != "" {
			target = filepath.Join(filepath.Dir(doc), file)
		}
		b, err := os.ReadFile(target)
		if st, statErr := os.Stat(target); statErr == nil && st.IsDir() {
			continue
		}
		if err != nil {
			out = append(out, "link to "+m[1]+": no such file")
			continue
		}
		found := anchor == ""
		for _, h := range heading.FindAllStringSubmatch(string(b), -1) {
			words := noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(h[1])), "")
			found = found || strings.ReplaceAll(words, " ", "-") == anchor
		}
		if !found {
			out = append(out, "link to "+m[1]+": no such heading")
		}
	}
	return out
}

var (
	makeTarget = regexp.MustCompile("`(?:[A-Z_]+=\\S+ )*make ([a-z]+)")
	study      = regexp.MustCompile(`studies/[a-z0-9-]+\.yaml`)
	goTest     = regexp.MustCompile("go test ([^`\n]*)")
	pattern    = regexp.MustCompile(`-(?:run|bench) (?:'([^']+)'|(\S+))`)
	room       = regexp.MustCompile(`\./[a-z0-9/.]+`)
)

// unknownNames lists the make targets, studies, rooms, tests and benchmarks
// that a document names and nobody has.
func unknownNames(text, makefile string) (out []string) {
	for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			out = append(out, "make "+m[1]+": no such target")
		}
	}
	for _, name := range study.FindAllString(text, -1) {
		if _, err := os.Stat(name); err != nil {
			out = append(out, name+": no such study")
		}
	}
	for _, m := range goTest.FindAllStringSubmatch(text, -1) {
		if rooms := room.FindAllString(m[1], -1); len(rooms) > 0 {
			out = append(out, unknownTests(m[1], rooms)...)
		}
	}
	return out
}

// unknownTests looks at one go test command.
func unknownTests(command string, rooms []string) (out []string) {
	var names []string
	for _, dir := range rooms {
		dir, below := strings.CutSuffix(dir, "...")
		found, err := testNames(filepath.Clean(dir), below)
		if err != nil || len(found) == 0 {
			out = append(out, "go test "+dir+": no tests there")
		}
		names = append(names, found...)
	}
	if len(out) > 0 {
		return out
	}
	for _, m := range pattern.FindAllStringSubmatch(command, -1) {
		first, _, _ := strings.Cut(m[1]+m[2], "/")
		if first == "^$" || strings.EqualFold(first, "xxx") {
			continue // none, on purpose
		}
		want, err := regexp.Compile(first)
		known := false
		for _, name := range names {
			known = known || err == nil && want.MatchString(name)
		}
		if !known {
			out = append(out, fmt.Sprintf("go test %s: no test is called %s", strings.Join(rooms, " "), first))
		}
	}
	return out
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz|Example)\w*)\(`)

// testNames lists the tests of a directory, and of those below it.
func testNames(dir string, below bool) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && !below {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range testFunction.FindAllStringSubmatch(string(b), -1) {
			names = append(names, m[1])
		}
		return nil
	})
	return names, err
}
