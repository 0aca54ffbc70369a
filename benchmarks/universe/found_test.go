package universe

import (
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// foundLaw is what studies/universe-law.yaml found from noise, as it was
// printed.
const foundLaw = `{"diffusion_u":0.03415226280002183,"diffusion_v":0.06904312083798557,"factor_u0":0.0903851668243334,"factor_u1":-0.7290687856348813,"factor_u2":0.7225919982614426,"factor_u3":-0.41578766498296116,"factor_v0":0.7520022669475819,"factor_v1":-0.3741288670678572,"factor_v2":0.06814016704993064,"term_u0":"1","term_u1":"v","term_u2":"uuv","term_u3":"uv","term_v0":"v","term_v1":"uuu","term_v2":"uuu","term_v3":"none"}`

// What the search found is more complex than every built-in law, from starts
// that it never saw, and further from all of them than they are from
// themselves when they begin elsewhere.
func TestTheLawThatWasFoundIsNotCoveredByTheBuiltInOnes(t *testing.T) {
	d := NewLawDomain()
	t.Cleanup(func() { closes(t, d.Close) })
	point, err := benchmarks.DecodePoint(lawSpace(), []byte(foundLaw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Build(t.Context(), point, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, in.Close) })
	samples, err := in.Measure(t.Context(), benchmarks.Request{Scenario: string(Noise), Seed: 77, Repeats: 2, Fidelity: 1, Purpose: benchmarks.ForGates})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range Laws() {
		k, err := d.compile(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		var spectra [2][]float64
		for j := range spectra {
			if spectra[j], err = spectrum(t.Context(), k, l.Start, seed.Root(78+2*i+j)); err != nil {
				t.Fatal(err)
			}
		}
		closes(t, k.close)
		itself := apart(spectra[0], spectra[1])
		t.Logf("%s: complexity %.4f and %.4f, %.4f from itself", l.Name, sum(spectra[0]), sum(spectra[1]), itself)
		for _, s := range samples {
			if c := s.Values[MetricComplexity]; c <= sum(spectra[0]) || c <= sum(spectra[1]) {
				t.Errorf("complexity %.4f, %s has %.4f and %.4f", c, l.Name, sum(spectra[0]), sum(spectra[1]))
			}
			if n := s.Values[MetricNovelty]; n <= itself {
				t.Errorf("novelty %.4f, %s is %.4f from itself", n, l.Name, itself)
			}
		}
	}
	for _, s := range samples {
		t.Logf("found: complexity %.4f, novelty %.4f", s.Values[MetricComplexity], s.Values[MetricNovelty])
	}
}
