package universe

import (
	"testing"

	"github.com/arqon/arqon/benchmarks/conformance"
)

func grayScott(t *testing.T) *Domain {
	t.Helper()
	d, err := New(GrayScott())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	return d
}

func TestTheContractIsKept(t *testing.T) { conformance.Run(t, grayScott(t)) }
