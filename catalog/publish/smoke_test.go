package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// Every entry is opened once before it may serve. One that fails, or panics,
// refuses its release by name; the last good one goes on, also after a
// restart, and nothing of the refused one is remembered.
func TestSmokeBeforeUse(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	good := w.release("staging", 1, 2)
	state := t.TempDir()
	var opened []string
	broken := errors.New("answers 41")
	open := func() *trust.Client {
		c, err := trust.Open(trust.Config{
			Store: w.store, StateDir: state, Root: w.made.Root, Now: func() time.Time { return night },
			Smoke: func(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) error {
				b, err := blobs.Get(ctx, e.Variant.Artifacts[0])
				opened = append(opened, string(b))
				switch {
				case err != nil:
					return err
				case string(b) == "weights 4":
					return broken
				case string(b) == "weights 5":
					panic("index out of range")
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	c := open()
	if _, err := c.Refresh(t.Context(), "staging"); err != nil || strings.Join(opened, ",") != "weights 1,weights 2" {
		t.Fatalf("%v, %v", opened, err)
	}
	opened = nil
	for _, bad := range []int{4, 5} {
		w.release("staging", 1, 2, bad)
		_, err := c.Refresh(t.Context(), "staging")
		if trust.ReasonOf(err) != trust.Smoke || (bad == 4 && !errors.Is(err, broken)) {
			t.Fatalf("variant %d: %v", bad, err)
		}
		for _, client := range []*trust.Client{c, open()} {
			if v, err := client.Last(t.Context(), "staging"); err != nil || v.Manifest() != good.Manifest {
				t.Fatalf("variant %d: last: %v", bad, err)
			}
		}
	}
	if got := strings.Join(opened, ","); got != "weights 4,weights 5" {
		t.Errorf("what served already was opened again: %s", got)
	}
	w.release("staging", 1, 3)
	if v, err := c.Refresh(t.Context(), "staging"); err != nil || v.Release().Sequence != 4 {
		t.Errorf("after a good release: %v", err)
	}
}
