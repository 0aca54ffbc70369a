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

// watchers are told what a watcher sees.
type watchers struct {
	adopted func(*catalog.Verified) // a newer release, or the same one without what was withdrawn from it
	looked  func(error)             // after every look: nil, or why nothing new is adopted; may be nil
	say     func(string, ...any)
}

// watch begins to look. serving is what the runtime was opened with.
func watch(ctx context.Context, client *trust.Client, serving *catalog.Verified, every time.Duration, rt *runtime.Runtime, tell watchers) *watcher {
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
					tell.adopted(rel)
				}
			}
			if ctx.Err() != nil {
				return
			}
			if tell.looked != nil {
				tell.looked(err)
			}
			switch {
			case err != nil && err.Error() != told:
				told = err.Error()
				tell.say("not adopted: %v", err)
			case err == nil && told != "":
				told = ""
				tell.say("the repository verifies again")
			}
		}
	})
	return w
}

func (w *watcher) stop() {
	w.cancel()
	w.done.Wait()
}
