package main

import (
	"context"
	"sync"
	"time"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/runtime"
)

// watcher looks for newer releases while requests flow, and adopts them. A
// refusal is told once and changes nothing: what serves goes on serving.
type watcher struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// watch begins to look. serving is what the runtime was opened with; adopted is
// told of what takes its place: a newer release, or the same one without what
// was withdrawn from it.
func watch(ctx context.Context, client *trust.Client, serving *catalog.Verified, every time.Duration, rt *runtime.Runtime, adopted func(*catalog.Verified), say func(string, ...any)) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{cancel: cancel}
	if every <= 0 {
		return w
	}
	w.done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		told := ""
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			rel, err := client.Refresh(ctx, serving.Release().Channel)
			if err == nil && (rel.Release().Sequence > rt.Load().Release() || len(rel.Release().Entries) != len(serving.Release().Entries)) {
				if err = rt.Adopt(ctx, rel); err == nil {
					serving = rel
					adopted(rel)
				}
			}
			if err != nil && ctx.Err() == nil && err.Error() != told {
				told = err.Error()
				say("not adopted: %v", err)
			}
		}
	})
	return w
}

func (w *watcher) stop() {
	w.cancel()
	w.done.Wait()
}
