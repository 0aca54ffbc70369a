package infer

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"
)

// A model answers as its file says, and any weight that matters shows: a file
// whose digest was signed and whose content is another model's is told apart.
func TestGoldenAnswersTellModelsApart(t *testing.T) {
	m := BuiltIn()
	golden, err := (&instance{model: m}).Answer(t.Context())
	if err != nil || len(golden) != 1 || len(golden[0].Values) != 2+goldenImages*len(m.stages) {
		t.Fatalf("%v, %v", golden, err)
	}
	file := m.encode()
	for _, at := range []int{4, 40} { // the biases of the last exit's last class and of its first
		bad := append([]byte{}, file...)
		binary.LittleEndian.PutUint32(bad[len(bad)-at:], math.Float32bits(3))
		binary.LittleEndian.PutUint32(bad[10:], crc32.Checksum(bad[modelHeader:], castagnoli))
		other, err := OpenModel(bad)
		if err != nil {
			t.Fatal(err)
		}
		answers, err := (&instance{model: other}).Answer(t.Context(), questionImages)
		if err != nil {
			t.Fatal(err)
		}
		if err := golden[0].Compare(answers[0]); err == nil {
			t.Errorf("%d bytes from the end: another model gives the same answers", at)
		}
	}
	// What the oracle, which sums in float64, makes of the same images is
	// within the tolerance, with room: so is another processor.
	o := newOracle(m)
	for i, want := range golden[0].Values[2:] {
		if got := o.expectedClasses()[i]; math.Abs(got-want) > goldenTolerance/10 {
			t.Errorf("value %d: %v, the oracle says %v", i, want, got)
		}
	}
}

// expectedClasses is Model.expectedClasses but for the thresholds, the slow way.
func (o *oracle) expectedClasses() []float64 {
	var out []float64
	r := goldenStream()
	for range goldenImages {
		image := drawnImage(r)
		for _, z := range o.logits(&image) {
			most, sum, expected := math.Inf(-1), 0., 0.
			for _, x := range z {
				most = max(most, x)
			}
			for c, x := range z {
				sum += math.Exp(x - most)
				expected += float64(c) * math.Exp(x-most)
			}
			out = append(out, expected/sum)
		}
	}
	return out
}
