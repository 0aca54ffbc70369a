package catalog_test

import (
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// What was signed is the answer, the tolerance included.
func TestGoldenCompare(t *testing.T) {
	d := artifacts.DigestOf([]byte("answer"))
	signed := catalog.Golden{Question: "q", Digest: d, Values: []float64{0, 100}, Tolerance: .01}
	for _, c := range []struct {
		got  catalog.Golden
		says string
	}{
		{signed, ""},
		{catalog.Golden{Question: "q", Digest: d, Values: []float64{.01, 99}}, ""},
		{catalog.Golden{Question: "q", Digest: d, Values: []float64{.02, 100}, Tolerance: 1}, "number 0 is 0.02, the signed one 0 (tolerance 0.01)"},
		{catalog.Golden{Question: "q", Digest: d, Values: []float64{0, 102}}, "number 1 is 102"},
		{catalog.Golden{Question: "q", Digest: d, Values: []float64{math.NaN(), 100}}, "number 0 is NaN"},
		{catalog.Golden{Question: "q", Digest: d, Values: []float64{0}}, "1 numbers are answered, 2 are signed"},
		{catalog.Golden{Question: "q", Values: []float64{0, 100}}, "the answer is none, the signed one " + d.Short()},
		{catalog.Golden{Question: "p", Digest: d, Values: []float64{0, 100}}, `question "p" was answered instead of "q"`},
	} {
		err := signed.Compare(c.got)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", c.got, err, c.says)
		}
	}
}
