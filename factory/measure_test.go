package factory

import (
	"errors"
	"fmt"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

func TestWhatEndsANight(t *testing.T) {
	for _, c := range []struct {
		err   error
		fatal bool
	}{
		{benchmarks.ErrBadCandidate, false},
		{benchmarks.ErrCrash, false},
		{benchmarks.ErrTimeout, false},
		{errors.New("odd"), false},
		{benchmarks.ErrUnsupported, true},
		{fmt.Errorf("5 crashes in a row: %w", benchmarks.ErrQuarantined), true},
		{fmt.Errorf("%w, so %w", benchmarks.ErrCrash, benchmarks.ErrQuarantined), true},
	} {
		if failed, fatal := classify(c.err); fatal != c.fatal || (failed == "") != c.fatal {
			t.Errorf("%v: %q, fatal %v", c.err, failed, fatal)
		}
	}
}
