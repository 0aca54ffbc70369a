package infer

import (
	"sync"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// sharedData reads the data set once for all tests of the package.
var sharedData = sync.OnceValues(func() (*Data, error) { return LoadData("") })

// testData fails, and does not skip, without the data set: a green run means
// that the flagship was tested.
func testData(t testing.TB) *Data {
	t.Helper()
	d, err := sharedData()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var sharedQuick = sync.OnceValues(func() (*Domain, error) {
	d, err := New(Options{Seed: 1, Quick: true, CacheDir: quickCache})
	if err != nil {
		return nil, err
	}
	d.dataOnce.Do(func() { d.data, d.dataErr = sharedData() })
	return d, nil
})

// quickDomain is trained by the quick recipe, once for all tests.
func quickDomain(t testing.TB) *Domain {
	t.Helper()
	testData(t)
	d, err := sharedQuick()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// build makes and opens the quick domain's bundle of a point.
func build(t testing.TB, d *Domain, p benchmarks.Point) (benchmarks.Bundle, *instance) {
	t.Helper()
	b, err := d.Build(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return b, in.(*instance)
}

func TestEveryHandPickedVariantPassesItsChecks(t *testing.T) {
	d := quickDomain(t)
	for _, h := range handPickedPoints() {
		_, in := build(t, d, h.p)
		checks, err := in.Check(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			if !c.Pass {
				t.Errorf("%s: %s: %s", h.name, c.Name, c.Detail)
			}
		}
	}
}

func TestPredictDoesNotAllocate(t *testing.T) {
	d := quickDomain(t)
	image := &testData(t).Test.Images[0]
	for _, h := range handPickedPoints() {
		_, in := build(t, d, h.p)
		var w Workspace
		if n := testing.AllocsPerRun(20, func() { in.model.Predict(image, &w) }); n != 0 {
			t.Errorf("%s: %v allocations a prediction", h.name, n)
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	d := quickDomain(b)
	images := testData(b).Test.Images
	for _, h := range handPickedPoints() {
		_, in := build(b, d, h.p)
		b.Run(h.name, func(b *testing.B) {
			var w Workspace
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				in.model.Predict(&images[i%len(images)], &w)
			}
		})
	}
}
