package publish_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
)

const turnName = "proposals/turn"

// Eight publishers that never rest: nobody starves, and every release is there.
func TestNobodyStarves(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	const publishers, each = 8, 2
	var proposals []publish.Proposal
	for i := range publishers {
		proposals = append(proposals, w.proposal([]string{"staging", "prod"}[i%2], 2*i+1, 2*i+2))
	}
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			for range each {
				if _, err := w.repo().Release(t.Context(), proposals[i]); err != nil {
					t.Errorf("publisher %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	rep, err := w.client("", night).VerifyAll(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Releases {
		if r.Release.Sequence != publishers*each/2 {
			t.Errorf("%s: %d releases", r.Release.Channel, r.Release.Sequence)
		}
	}
}

// A turn that is nobody's any more is taken over, what is no turn is ignored,
// and a publisher that is told to stop does not go on waiting.
func TestDeadTurn(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	turn := func() string {
		b, err := w.store.Read(t.Context(), turnName, 1<<12)
		if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
			t.Fatal(err)
		}
		return string(b)
	}
	w.release("staging", 1)
	if turn() != "" {
		t.Errorf("one publisher alone left %q", turn())
	}
	put(t, w.store, turnName, []byte("taken by one that died\n"))
	w.release("staging", 2)
	if !strings.HasPrefix(turn(), "free ") {
		t.Errorf("after a dead publisher's turn: %q", turn())
	}
	w.release("staging", 1)
	endless := strings.Repeat("x", 1<<11)
	put(t, w.store, turnName, []byte(endless))
	w.release("staging", 2)
	if turn() != endless {
		t.Errorf("what is no turn was replaced: %q", turn())
	}
	put(t, w.store, turnName, []byte("taken\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.repo().Release(ctx, w.proposal("staging", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
