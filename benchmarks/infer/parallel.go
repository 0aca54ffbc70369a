package infer

import (
	"context"
	goruntime "runtime"

	"golang.org/x/sync/errgroup"
)

// inParallel cuts [0, n) into one span a core and runs do on each. The result
// must not depend on the cut: do writes only what belongs to its own indexes.
// Long spans are cut again every few hundred items to look at ctx.
func inParallel(ctx context.Context, n int, do func(lo, hi int) error) error {
	const chunk = 256
	workers := min(goruntime.GOMAXPROCS(0), n)
	if workers == 0 {
		return ctx.Err()
	}
	g, ctx := errgroup.WithContext(ctx)
	per := (n + workers - 1) / workers
	for lo := 0; lo < n; lo += per {
		end := min(lo+per, n)
		g.Go(func() error {
			for at := lo; at < end; at += chunk {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(at, min(at+chunk, end)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
