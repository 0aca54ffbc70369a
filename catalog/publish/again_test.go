package publish_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

// Going back is going forward: a new release with old content, the same ids,
// and nothing that was withdrawn meanwhile.
func TestRollbackAndPromotion(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1, 2, 3)
	w.release("staging", 1, 4)
	repo, ctx := w.repo(), t.Context()
	if err := repo.Yank(ctx, "wrong answers", 3); err != nil {
		t.Fatal(err)
	}
	p, left, err := repo.Rollback(ctx, "staging", 1)
	if err != nil || len(left) != 1 || left[0].ID != 3 {
		t.Fatalf("rollback: left out %v, %v", left, err)
	}
	out, err := repo.Release(ctx, p)
	if err != nil || out.Release.Sequence != 3 || fmt.Sprint(ids(&out.Release)) != "[1 2]" {
		t.Fatalf("rollback: release %d %v, %v", out.Release.Sequence, ids(&out.Release), err)
	}
	for _, n := range []uint64{0, 3, 4} {
		if _, _, err := repo.Rollback(ctx, "staging", n); !errors.Is(err, publish.ErrProposal) {
			t.Errorf("rollback to %d: %v", n, err)
		}
	}
	// One id to prod takes the baseline along, a second one comes beside it.
	promote := func(ids ...catalog.VariantID) *publish.Published {
		t.Helper()
		p, _, err := repo.Promotion(ctx, "staging", "prod", ids...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := repo.Release(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := promote(2)
	if fmt.Sprint(ids(&first.Release)) != "[1 2]" || first.Release.Baseline != 1 || first.Release.Entries[1].Scope != catalog.ScopeProd {
		t.Fatalf("promoted %v", ids(&first.Release))
	}
	w.release("staging", 1, 2, 5)
	if second := promote(5); fmt.Sprint(ids(&second.Release)) != "[1 2 5]" {
		t.Fatalf("promoted beside: %v", ids(&second.Release))
	}
	if _, _, err := repo.Promotion(ctx, "prod", "staging"); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("promotion down: %v", err)
	}
	if _, _, err := repo.Promotion(ctx, "staging", "prod", 4); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("promotion of what is not there: %v", err)
	}
	// A yanked baseline is no ground to go back to.
	if err := repo.Yank(ctx, "wrong answers", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := repo.Rollback(ctx, "staging", 2); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("rollback to a withdrawn baseline: %v", err)
	}
	// The history tells all of it.
	past, err := w.client("", night).History(ctx, "staging", true)
	if err != nil || len(past) != 4 {
		t.Fatalf("history: %d releases, %v", len(past), err)
	}
	for i, p := range past {
		if p.Release.Sequence != uint64(i)+1 || len(p.Approvers) != 1 || len(p.Evidence) != len(p.Release.Entries) {
			t.Errorf("history %d: %d by %v, %d proofs", i, p.Release.Sequence, p.Approvers, len(p.Evidence))
		}
	}
}
