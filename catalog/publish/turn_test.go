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

// A release takes one turn, for all of itself: a second one inside would wait
// until the first counts as dead, and take it over.
func TestAReleaseWaitsForNoTurnOfItsOwn(t *testing.T) {
	store := &counting{Store: artifacts.NewMem()}
	w := found(t, store, publish.InitOptions{Solo: true})
	w.release("staging", 1)
	put(t, w.store, turnName, []byte("taken by one that died\n")) // from here on turns are taken
	store.names = nil
	w.release("staging", 2)
	looks := 0
	for _, name := range store.names {
		if name == turnName {
			looks++
		}
	}
	if patience := 40; looks < patience || looks > patience+patience/2 {
		t.Errorf("%d looks at the turn: one dead publisher is worth %d", looks, patience)
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

// asked counts what a publish asks of its store.
type asked struct {
	artifacts.Store
	reads, lists int
}

func (c *asked) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	c.reads++
	return c.Store.Read(ctx, name, limit)
}

func (c *asked) List(ctx context.Context, prefix string) ([]string, error) {
	c.lists++
	return c.Store.List(ctx, prefix)
}

// A publish costs what its release costs, not what the repository has been
// through: it lists nothing, and reads no more objects after many releases than
// after a few, but for a tile of the log.
func TestPublishDoesNotGrow(t *testing.T) {
	store := &asked{Store: artifacts.NewMem()}
	w := found(t, store, publish.InitOptions{Solo: true})
	var reads []int
	for i := range 40 {
		store.reads, store.lists = 0, 0
		w.release("staging", 1, 2+i%3)
		if store.lists != 0 {
			t.Fatalf("release %d lists the store %d times", i+1, store.lists)
		}
		reads = append(reads, store.reads)
	}
	const settled, tiles = 6, 8
	for i, n := range reads[settled:] {
		if n > reads[settled]+tiles {
			t.Errorf("release %d reads %d objects, and release %d read %d", settled+i+1, n, settled+1, reads[settled])
		}
	}
	t.Logf("reads of releases 1 to %d: %v", len(reads), reads)
}
