package external

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// BenchmarkRoundTrip is what the protocol itself costs: a measure of nothing.
func BenchmarkRoundTrip(b *testing.B) {
	d, err := New([]string{os.Args[0], "program", "none/none"}, Options{TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	bundle, err := d.Build(b.Context(), benchmarks.Point{"x": 3}, 1)
	if err != nil {
		b.Fatal(err)
	}
	in, err := d.Open(b.Context(), bundle)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := in.Measure(b.Context(), anything); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(in.Close(), d.Close()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPairs measures pairs of the compress program: baseline against
// itself (the noise floor of this machine) and against level 3. The medians
// of |B/A−1| and of B/A−1 and the share of marked pairs are reported.
func BenchmarkPairs(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "compress")
	if out, err := exec.Command("go", "build", "-o", bin, "./compress").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for name, point := range map[string]benchmarks.Point{"control": {}, "level3": {"level": 3}} {
		b.Run(name, func(b *testing.B) {
			d, err := New([]string{bin}, Options{TempDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			desc, err := d.Describe(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			var arms [2]benchmarks.Instance
			for i, p := range []benchmarks.Point{{}, point} {
				bundle, err := d.Build(b.Context(), p, 1)
				if err != nil {
					b.Fatal(err)
				}
				if arms[i], err = d.Open(b.Context(), bundle); err != nil {
					b.Fatal(err)
				}
			}
			pairer, marked := benchmarks.NewPairer(desc), 0
			var change, size []float64
			for i := 0; b.Loop(); i++ {
				p, err := pairer.MeasurePair(b.Context(), 1, name, i, arms[0], arms[1], benchmarks.Request{Scenario: "large", Fidelity: .5})
				if err != nil {
					b.Fatal(err)
				}
				c := p.B.Values["ns_per_byte"]/p.A.Values["ns_per_byte"] - 1
				change, size = append(change, c), append(size, math.Abs(c))
				if p.Marked {
					marked++
				}
			}
			slices.Sort(change)
			slices.Sort(size)
			b.ReportMetric(100*change[len(change)/2], "%median")
			b.ReportMetric(100*size[len(size)/2], "%median-abs")
			b.ReportMetric(100*float64(marked)/float64(len(change)), "%marked")
			if err := errors.Join(arms[0].Close(), arms[1].Close(), d.Close()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
