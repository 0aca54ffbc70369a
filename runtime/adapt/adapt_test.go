package adapt

import (
	"math"
	"testing"
)

func TestDrawsDependOnTheirKeysAlone(t *testing.T) {
	if first, again := Draw(1, 2, 3), Draw(1, 2, 3); first != again || Draw(1, 2, 3) == Draw(1, 3, 2) || Draw(1, 2) == Draw(2, 2) || Draw(1, 0) == Draw(1, 0, 0) {
		t.Fatal("keys")
	}
	const n = 20_000
	var sum, sq, sign float64
	for i := range uint64(n) {
		z := Normal(5, i)
		sum += z
		sq += z * z
		sign += Sign(6, i)
		if u := Uniform(7, i); !(u > 0 && u < 1) {
			t.Fatalf("uniform %g", u)
		}
	}
	if m := sum / n; math.Abs(m) > .03 || math.Abs(sq/n-1) > .05 || math.Abs(sign/n) > .03 {
		t.Fatalf("mean %g, second moment %g, sign %g", m, sq/n, sign/n)
	}
}
