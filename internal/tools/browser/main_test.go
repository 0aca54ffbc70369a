package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The check must be able to fail: each page breaks one promise.
func TestBrokenPages(t *testing.T) {
	words := strings.Repeat("word ", 40)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		html string
		bad  int // of the two widths
	}{
		"good":   {"<p>" + words, 0},
		"wide":   {`<div style="width:2000px">` + words + "</div>", 2},
		"phone":  {`<div style="width:600px">` + words + "</div>", 1},
		"remote": {`<img src="http://127.0.0.1:9/x.png">` + words, 2},
		"script": {`<p id="p">nothing</p><script>p.textContent = "` + words + `"</script>`, 2},
	} {
		path := filepath.Join(dir, name+".html")
		page := `<!doctype html><meta name="viewport" content="width=device-width"><body>` + c.html
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		if bad, err := check(t.Context(), []string{path}, ""); err != nil || bad != c.bad {
			t.Errorf("%s: %d broken, want %d; %v", name, bad, c.bad, err)
		}
	}
}
