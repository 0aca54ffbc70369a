package external

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestTheStudysCommandDescribesItself(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "studies", "compress.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var study struct {
		External struct {
			Command []string `yaml:"command"`
		} `yaml:"external"`
	}
	if err := yaml.Unmarshal(b, &study); err != nil {
		t.Fatal(err)
	}
	d, err := New(study.External.Command, Options{Dir: root, TempDir: t.TempDir(), Env: []string{"GOCACHE", "GOFLAGS", "GOPATH", "GOMODCACHE"}})
	if err != nil {
		t.Fatal(err)
	}
	desc, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if desc.Name != "compress" || len(desc.Scenarios) != 2 || desc.Space.Parameters[1].Default != int64(6) {
		t.Errorf("got %+v", desc)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
