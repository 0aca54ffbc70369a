package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts call the test binary under other names.
func TestMain(m *testing.M) {
	testscript.Main(withFixtures{m}, map[string]func(){
		"arqon":   func() { os.Exit(Main()) },
		"toy":     toyMain,
		"squeeze": squeezeMain,
	})
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	p := scriptParams("")
	for _, file := range files {
		if file != storyScript {
			p.Files = append(p.Files, file)
		}
	}
	testscript.Run(t, p)
}
