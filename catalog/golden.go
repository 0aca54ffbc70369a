package catalog

import (
	"fmt"
	"math"
)

// Compare returns an error unless got, what was answered now, is the answer
// that g carries: the same digest, and every value within the tolerance that g
// gives, which was signed. What got says of a tolerance is not asked.
func (g Golden) Compare(got Golden) error {
	switch {
	case got.Question != g.Question:
		return fmt.Errorf("question %.80q was answered instead of %.80q", got.Question, g.Question)
	case got.Digest != g.Digest:
		return fmt.Errorf("question %.80q: the answer is %s, the signed one %s", g.Question, short(got), short(g))
	case len(got.Values) != len(g.Values):
		return fmt.Errorf("question %.80q: %d numbers are answered, %d are signed", g.Question, len(got.Values), len(g.Values))
	}
	for i, want := range g.Values {
		if off := math.Abs(got.Values[i] - want); !(off <= g.Tolerance*max(1, math.Abs(want))) {
			return fmt.Errorf("question %.80q: number %d is %v, the signed one %v (tolerance %v)", g.Question, i, got.Values[i], want, g.Tolerance)
		}
	}
	return nil
}

func short(g Golden) string {
	if g.Digest == "" {
		return "none"
	}
	return g.Digest.Short()
}
