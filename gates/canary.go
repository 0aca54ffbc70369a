package gates

import (
	"context"

	"github.com/arqon/arqon/benchmarks"
)

// Canary is a candidate staged beside the baseline in the real runtime. The
// caller of the gates implements it; gates only drive it.
type Canary interface {
	// Rehearse serves the candidate once, rolls it back, and returns an error
	// unless the baseline serves every request again.
	Rehearse(ctx context.Context) error
	// Widen routes the share (0, 1] of the traffic to the candidate.
	Widen(ctx context.Context, share float64) error
	// Observe serves traffic until pair index is measured: both arms are in
	// the runtime's snapshot, and which one goes first is the recorded coin.
	Observe(ctx context.Context, index int) (benchmarks.Pair, error)
	// Rollback returns all traffic to the baseline.
	Rollback(ctx context.Context, reason string) error
	Close() error
}

// StartCanary publishes the candidate to a scratch repository with scope
// canary, verifies it and stages it in a runtime at share 0.
type StartCanary func(ctx context.Context, c Candidate, v Verdict) (Canary, error)
