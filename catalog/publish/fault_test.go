package publish_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/storetest"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

// A publisher that dies at any write, before or after it reached the disk,
// leaves a repository that clients accept, with the old release or the new
// one. Anybody repairs it, publishes the same again, and no id is reused.
func TestTornPublish(t *testing.T) {
	origin := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	origin.release("staging", 1, 2)
	count := &storetest.Faulty{Store: copyOf(t, origin.store, "")}
	origin.with(count).release("staging", 2, 3)
	writes := count.Writes()
	if writes < 8 {
		t.Fatalf("a publish of %d writes", writes)
	}
	for at := 1; at <= writes; at++ {
		for _, after := range []bool{false, true} {
			disk := copyOf(t, origin.store, "")
			dying := origin.with(&storetest.Faulty{Store: disk, CrashAt: at, After: after})
			_, err := dying.repo().Release(t.Context(), origin.proposal("staging", 2, 3))
			if err == nil && at < writes {
				t.Fatalf("write %d: no error", at)
			}
			w := origin.with(disk)
			v, err := w.client("", night).Refresh(t.Context(), "staging")
			if err != nil || (v.Release().Sequence != 1 && v.Release().Sequence != 2) {
				t.Fatalf("write %d, after %v: clients see %v", at, after, err)
			}
			if _, err := w.repo().Repair(t.Context()); err != nil {
				t.Fatalf("write %d, after %v: repair: %v", at, after, err)
			}
			done := w.release("staging", 2, 3)
			rep, err := w.client("", night).VerifyAll(t.Context(), "")
			if err != nil {
				t.Fatalf("write %d, after %v: audit: %v", at, after, err)
			}
			if got := ids(&rep.Releases[0].Release); fmt.Sprint(got) != "[2 3]" || done.Release.NextID != 4 {
				t.Fatalf("write %d, after %v: ids %v, next %d", at, after, got, done.Release.NextID)
			}
			if again, err := w.repo().Repair(t.Context()); err != nil || again {
				t.Fatalf("write %d: repaired twice: %v, %v", at, again, err)
			}
		}
	}
}

// Publishers that run at once, on two channels: every release gets through
// exactly once, ids are unique, the chain of manifests is unbroken.
func TestConcurrentPublishers(t *testing.T) {
	dir, err := artifacts.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := found(t, dir, publish.InitOptions{Solo: true})
	const publishers = 4
	results := make([]*publish.Published, publishers)
	errs := make([]error, publishers)
	var proposals []publish.Proposal
	for i := range publishers {
		channel := []string{"staging", "prod"}[i%2]
		proposals = append(proposals, w.proposal(channel, 10*i+10, 10*i+11))
	}
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			repo := publish.Repository{Store: w.store, Keys: w.made.Keys, Now: night}
			results[i], errs[i] = repo.Release(t.Context(), proposals[i])
		})
	}
	wg.Wait()
	owner := map[catalog.VariantID]int{}
	sequences := map[string]bool{}
	for i, p := range results {
		if errs[i] != nil {
			t.Fatalf("publisher %d: %v", i, errs[i])
		}
		key := fmt.Sprint(p.Release.Channel, p.Release.Sequence)
		if sequences[key] {
			t.Fatalf("two releases are %s", key)
		}
		sequences[key] = true
		for _, e := range p.Release.Entries {
			if other, ok := owner[e.ID]; ok {
				t.Fatalf("id %d was given to publishers %d and %d", e.ID, other, i)
			}
			owner[e.ID] = i
		}
	}
	if len(owner) != 2*publishers {
		t.Fatalf("%d ids", len(owner))
	}
	rep, err := w.client("", night).VerifyAll(t.Context(), "")
	if err != nil || len(rep.Releases) != 2 || rep.Releases[0].Release.Sequence != 2 {
		t.Fatalf("audit: %v", err)
	}
}

// A proposal whose base has moved is stale: nothing of it is published.
func TestStaleProposal(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	p, err := w.repo().Propose(t.Context(), w.proposal("staging", 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo().Sign(t.Context(), p.Manifest); err != nil {
		t.Fatal(err)
	}
	w.release("prod", 7)
	if _, err := w.repo().Publish(t.Context(), p.Manifest); !errors.Is(err, publish.ErrStale) {
		t.Fatalf("published although its ids were given away: %v", err)
	}
	if _, err := w.repo().Sign(t.Context(), p.Manifest); !errors.Is(err, publish.ErrStale) {
		t.Fatalf("signed although stale: %v", err)
	}
	w.release("staging", 1, 2)
}

// A promotion that starts again within the second proposes the same bytes, which
// bear its signature already: that is no refusal.
func TestReleaseGoesOnWithWhatItHasSigned(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1, 2)
	want, _, err := w.repo().Promotion(t.Context(), "staging", "prod")
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.repo().Propose(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo().Sign(t.Context(), p.Manifest); err != nil {
		t.Fatal(err)
	}
	out, err := w.repo().Release(t.Context(), want)
	if err != nil || out.Manifest != p.Manifest {
		t.Fatalf("%v, want the signed proposal to be published", err)
	}
}

// What a stranger with access to the store puts under the next snapshot's
// number is no commit and stops nobody.
func TestGarbageUnderTheNextNumber(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	for _, name := range []string{"metadata/2.snapshot.json", "metadata/1.staging.json"} {
		put(t, w.store, name, []byte("{}"))
	}
	w.release("staging", 1)
	if _, err := w.client("", night).VerifyAll(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
}
