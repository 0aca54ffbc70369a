package suite

import (
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

func TestEveryInstanceIsAProblem(t *testing.T) {
	for _, family := range Families() {
		for n := range uint64(30) {
			p, err := New(family, n)
			if err != nil {
				t.Fatal(err)
			}
			q, err := New(family, n)
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.Describe(t.Context())
			if err != nil || d.Check() != nil {
				t.Fatalf("%s %d: %v, %v", family, n, err, d.Check())
			}
			r := seed.Stream(seed.Root(n), "test")
			for range 50 {
				x := p.Space().Sample(r)
				if p.True(x) < 1 {
					t.Errorf("%s %d: %v costs %v, less than the least", family, n, x, p.True(x))
				}
				if a, b := p.Sample(x), q.Sample(x); a != b || a <= 0 {
					t.Errorf("%s %d: the same instance measures %v and %v", family, n, a, b)
				}
			}
			if p.Samples() != 50 {
				t.Errorf("%d samples counted", p.Samples())
			}
		}
	}
	if _, err := New("nonsense", 1); err == nil {
		t.Error("an unknown family is made")
	}
}
