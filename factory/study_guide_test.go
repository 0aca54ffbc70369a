package factory

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/arqon/arqon/factory/engine"
)

// TestTheGuideHasEveryKey: docs/studies.md is where a person learns the keys of
// a study, so none may be missing there.
func TestTheGuideHasEveryKey(t *testing.T) {
	b, err := os.ReadFile("../docs/studies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "## All keys of a study")
	if !ok {
		t.Fatal("no section with all keys")
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[studyFile](), reflect.TypeFor[External](), reflect.TypeFor[Budget](), reflect.TypeFor[ContextChoice](),
		reflect.TypeFor[MetricOverride](), reflect.TypeFor[EngineShare](), reflect.TypeFor[engine.Descriptor](), reflect.TypeFor[ProposerShare](),
	} {
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			if key != "" && !strings.Contains(text, key+":") {
				t.Errorf("%s: the key %s is not in the example", of.Name(), key)
			}
		}
	}
}
