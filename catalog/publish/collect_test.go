package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/storetest"
	"github.com/arqon/arqon/catalog/trust"
)

// later is a clock on which everything in the store is a month old.
func later() time.Time { return time.Now().AddDate(0, 1, 0) }

func collection(keep int, remove bool) Collection {
	return Collection{Keep: keep, Grace: 14 * 24 * time.Hour, Remove: remove, Clock: later}
}

// whole proves the repository and its past.
func (f *forger) whole(store artifacts.Store) {
	f.t.Helper()
	c, err := trust.Open(trust.Config{Store: store, Root: f.made.Root, Now: func() time.Time { return night }})
	if err == nil {
		_, _, err = c.Everything(context.Background())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *forger) names() []string {
	f.t.Helper()
	names, err := f.store.List(f.t.Context(), "")
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

func TestCollect(t *testing.T) {
	f := newForger(t)
	for n := 1; n <= 5; n++ {
		f.publish(1, n+1)
	}
	if err := f.repo().Yank(t.Context(), "leaks", 3); err != nil {
		t.Fatal(err)
	}
	before := f.names()
	young := collection(2, true)
	young.Clock = time.Now
	if got, err := f.repo().Collect(t.Context(), young); err != nil || len(got.Garbage) != 0 || got.Young == 0 {
		t.Fatalf("within the grace: %+v, %v", got, err)
	}
	dry, err := f.repo().Collect(t.Context(), collection(2, false))
	if err != nil || dry.Removed != 0 || !slices.Equal(f.names(), before) {
		t.Fatalf("a dry run: %+v, %v", dry, err)
	}
	got, err := f.repo().Collect(t.Context(), collection(2, true))
	if err != nil || got.Removed != len(got.Garbage) || !slices.Equal(got.Garbage, dry.Garbage) {
		t.Fatalf("%+v, %v", got, err)
	}
	f.whole(f.store)
	blobs := 0
	for _, n := range got.Garbage {
		if strings.HasPrefix(n, "blobs/") {
			blobs++
		}
		if strings.HasPrefix(n, "metadata/") || strings.HasPrefix(n, "targets/") {
			t.Errorf("took %s", n)
		}
	}
	if blobs != 3 { // weights 2, 3 and 4, which only releases 1 to 3 served
		t.Errorf("%d blobs: %q", blobs, got.Garbage)
	}
	if again, err := f.repo().Collect(t.Context(), collection(2, true)); err != nil || len(again.Garbage) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	f.publish(1, 2) // what was collected can be published again
	f.whole(f.store)
	short := collection(2, true)
	short.Grace = time.Hour
	if _, err := f.repo().Collect(t.Context(), short); !errors.Is(err, ErrGrace) {
		t.Errorf("an hour of grace: %v", err)
	}
}

// A proposal that can still be published keeps what it needs; one whose base
// has moved does not.
func TestCollectKeepsProposals(t *testing.T) {
	f := newForger(t)
	f.publish(1)
	stale, err := f.repo().Propose(t.Context(), f.wish(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	f.publish(1, 3)
	pending, err := f.repo().Propose(t.Context(), f.wish(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.repo().Sign(t.Context(), pending.Manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := f.repo().Collect(t.Context(), collection(1, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.repo().Review(t.Context(), stale.Manifest); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("the stale proposal: %v", err)
	}
	if _, err := f.repo().Publish(t.Context(), pending.Manifest); err != nil {
		t.Errorf("the pending proposal: %v", err)
	}
	f.whole(f.store)
}

// Killed before or after any of its writes, a collection leaves a repository
// that is whole, and the next one finishes.
func TestCollectKilled(t *testing.T) {
	f := newForger(t)
	for n := 1; n <= 3; n++ {
		f.publish(1, n+1)
	}
	start := f.fork()
	for at := 1; ; at += 4 {
		for _, after := range []bool{false, true} {
			f.store = start
			f.store = f.fork()
			faulty := &storetest.Faulty{Store: f.store, CrashAt: at, After: after}
			repo := f.repo()
			repo.Store = faulty
			_, err := repo.Collect(t.Context(), collection(1, true))
			f.whole(f.store)
			if err == nil {
				if at < 5 {
					t.Fatalf("only %d writes", at)
				}
				return
			}
			if !errors.Is(err, storetest.ErrInjected) {
				t.Fatal(err)
			}
			if got, err := f.repo().Collect(t.Context(), collection(1, true)); err != nil || got.Removed != len(got.Garbage) {
				t.Fatalf("after a crash at %d: %+v, %v", at, got, err)
			}
			f.whole(f.store)
		}
	}
}

// ticking is a store whose clock counts hours by hand.
type ticking struct {
	artifacts.Remover
	hour    atomic.Int64
	mu      sync.Mutex
	written map[string]int64
}

func (s *ticking) now() time.Time { return night.Add(time.Duration(s.hour.Load()) * time.Hour) }

func (s *ticking) note(name string, err error) error {
	if err == nil {
		s.mu.Lock()
		s.written[name] = s.hour.Load()
		s.mu.Unlock()
	}
	return err
}

func (s *ticking) Create(ctx context.Context, name string, b []byte) error {
	return s.note(name, s.Remover.Create(ctx, name, b))
}

func (s *ticking) Swap(ctx context.Context, name string, old, b []byte) error {
	return s.note(name, s.Remover.Swap(ctx, name, old, b))
}

func (s *ticking) Modified(ctx context.Context, name string) (time.Time, error) {
	_, err := s.Remover.Modified(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return night.Add(time.Duration(s.written[name]) * time.Hour), err
}

// A publisher drops variants and brings them back while collections run
// without a pause: every head stays whole. An hour passes with each publish;
// what is older than one is written again, what is older than two is taken.
func TestCollectBesidePublishers(t *testing.T) {
	f := newForger(t)
	store := &ticking{Remover: f.fork(), written: map[string]int64{}}
	f.store = store
	repo := func() *Repository {
		r := f.repo()
		r.Now, r.fresh = store.now(), time.Hour
		return r
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	removed := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := repo().Collect(context.Background(), Collection{Keep: 1, Grace: 2 * time.Hour, Remove: true, Clock: store.now})
			removed += got.Removed
			if err != nil && !errors.Is(err, artifacts.ErrConflict) && trust.ReasonOf(err) != trust.MixAndMatch && trust.ReasonOf(err) != trust.NoRelease {
				t.Error(err)
				return
			}
		}
	})
	for n := range 16 {
		if _, err := repo().Release(context.Background(), f.wish(1, 2+n%4)); err != nil {
			t.Fatal(err)
		}
		f.whole(f.store)
		store.hour.Add(1)
	}
	close(stop)
	wg.Wait()
	if _, err := repo().Collect(t.Context(), Collection{Keep: 1, Grace: 2 * time.Hour, Remove: true, Clock: store.now}); err != nil {
		t.Fatal(err)
	}
	f.whole(f.store)
	if removed == 0 {
		t.Error("nothing was collected: the test shows nothing")
	}
}
