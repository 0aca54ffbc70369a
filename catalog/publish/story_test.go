package publish_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

var night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// world is a repository with everybody's keys, and the artifacts of a night.
type world struct {
	t     testing.TB
	store artifacts.Store
	blobs *artifacts.Mem
	made  *publish.Created
}

func found(t *testing.T, store artifacts.Store, o publish.InitOptions) *world {
	t.Helper()
	o.Now = night
	made, err := publish.Init(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, store: store, blobs: artifacts.NewMem(), made: made}
}

func (w *world) repo() *publish.Repository {
	return &publish.Repository{Store: w.store, Keys: w.made.Keys, Now: night}
}

// variant builds an entry for a scope; the same n is the same variant.
func (w *world) variant(n int, scope catalog.Scope) catalog.Entry {
	w.t.Helper()
	data := fmt.Appendf(nil, "weights %d", n)
	if _, err := w.blobs.Put(context.Background(), data); err != nil {
		w.t.Fatal(err)
	}
	v := catalog.Variant{
		Name: fmt.Sprintf("burst-%02d", n), Domain: "infer", Type: "early-exit",
		Point:     json.RawMessage(fmt.Sprintf(`{"exit":%d}`, n)),
		Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", data)},
	}
	v.Identity = catalog.IdentityOf(v)
	return catalog.Entry{Variant: v, Scope: scope, Envelope: catalog.Envelope{Contexts: []string{"burst"}}}
}

// proposal wishes for the variants; the first is the baseline.
func (w *world) proposal(channel string, numbers ...int) publish.Proposal {
	p := publish.Proposal{Channel: channel, Domain: "infer", Contexts: []string{"burst"}, Blobs: w.blobs}
	for _, n := range numbers {
		e := w.variant(n, catalog.Scope(channel))
		p.Entries = append(p.Entries, e)
		if channel != "canary" {
			p.Evidence = append(p.Evidence, publish.Evidence{
				Identity: e.Variant.Identity, Gate: "report", Predicate: json.RawMessage(fmt.Sprintf(`{"e":%d,"html":"<b>"}`, n)),
			})
		}
	}
	p.Baseline = p.Entries[0].Variant.Identity
	return p
}

// large makes a repository whose canary channel has n variants. A described
// one has what a night says of it, 2 KB; the others are bare, 0.6 KB.
func large(tb testing.TB, n int, described bool) *world {
	tb.Helper()
	w := &world{t: tb, blobs: artifacts.NewMem(), store: artifacts.NewMem()}
	made, err := publish.Init(context.Background(), w.store, publish.InitOptions{Solo: true, Now: night, Channels: []string{"canary"}})
	if err != nil {
		tb.Fatal(err)
	}
	w.made = made
	if _, err := w.repo().Release(context.Background(), many(w, n, described)); err != nil {
		tb.Fatal(err)
	}
	return w
}

// many wishes for n variants in canary.
func many(w *world, n int, described bool) publish.Proposal {
	p := publish.Proposal{Channel: "canary", Domain: "infer", Contexts: []string{"burst"}, Blobs: w.blobs}
	for i := range n {
		e := w.variant(i, catalog.ScopeCanary)
		p.Entries = append(p.Entries, e)
		if !described {
			continue
		}
		e.Variant.Seed, e.Variant.Labels = uint64(i), map[string]string{"engine": "cma", "origin": "cma r0 g0 i0", "run": "night-0001", "trial": fmt.Sprint(i)}
		e.Envelope.Hardware, e.Envelope.Limits = catalog.Hardware{}, map[string]float64{"artifact_bytes": 300000}
		e.Curves = []catalog.LatencyCurve{{Context: "burst", P50NS: 70589.61666666667 + float64(i), P99NS: 213895.5, Samples: 36}}
		for _, m := range []string{"accuracy", "cost_macs", "artifact_bytes", "cpu_ns", "p99_ns"} {
			e.Expectations = append(e.Expectations, catalog.Expectation{
				Metric: m, Context: "burst", Unit: "1", Direction: "lower", Scale: "ratio", Baseline: 84165.70999999999, Value: 70589.61666666667,
				Change: -0.16521814883159203, Lower: -0.20113510715482733, Upper: -0.12872748929394323, Alpha: .05,
			})
		}
		p.Entries[i] = e
	}
	p.Baseline = p.Entries[0].Variant.Identity
	return p
}

func (w *world) client(stateDir string, now time.Time) *trust.Client {
	w.t.Helper()
	c, err := trust.Open(trust.Config{Store: w.store, StateDir: stateDir, Root: w.made.Root, Now: func() time.Time { return now }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return c
}

func (w *world) release(channel string, numbers ...int) *publish.Published {
	w.t.Helper()
	p, err := w.repo().Release(w.t.Context(), w.proposal(channel, numbers...))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func ids(r *catalog.Release) (out []catalog.VariantID) {
	for _, e := range r.Entries {
		out = append(out, e.ID)
	}
	return out
}

// One person, from an empty directory to bytes that a runtime may load.
func TestStorySolo(t *testing.T) {
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
	state := t.TempDir()
	c := w.client(state, night)
	if _, err := c.Refresh(t.Context(), "staging"); trust.ReasonOf(err) != trust.NoRelease {
		t.Fatalf("before the first release: %v", err)
	}
	first := w.release("staging", 1, 2, 3)
	v, err := c.Refresh(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	if v.IsZero() || v.Manifest() != first.Manifest || fmt.Sprint(ids(v.Release())) != "[1 2 3]" || v.Release().Baseline != 1 {
		t.Fatalf("verified %v %v", v.Manifest(), ids(v.Release()))
	}
	e, _ := v.Release().Entry(2)
	b, err := v.Blobs().Get(t.Context(), e.Variant.Artifacts[0])
	if err != nil || string(b) != "weights 2" {
		t.Fatalf("artifact %q, %v", b, err)
	}
	if _, err := v.Blobs().Get(t.Context(), artifacts.RefOf("", "", []byte("other"))); !errors.Is(err, artifacts.ErrNotFound) {
		t.Fatalf("a blob that the release does not have: %v", err)
	}
	// The second night: 2 stays with its id, 1 and 3 leave, 4 is new, 1 comes back on the third.
	w.release("staging", 2, 4)
	if v, err = c.Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(ids(v.Release())) != "[2 4]" || len(v.Release().Tombstones) != 2 || v.Release().Sequence != 2 {
		t.Fatalf("second release: %v, tombstones %v", ids(v.Release()), v.Release().Tombstones)
	}
	third := w.release("staging", 4, 1, 5)
	if v, err = c.Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(ids(v.Release())) != "[1 4 5]" || v.Release().Baseline != 4 || v.Release().NextID != 6 {
		t.Fatalf("third release: %v", ids(v.Release()))
	}
	// Prod has the same ids.
	w.release("prod", 5, 2)
	p, err := c.Refresh(t.Context(), "prod")
	if err != nil || fmt.Sprint(ids(p.Release())) != "[2 5]" {
		t.Fatalf("prod: %v", err)
	}
	rep, err := w.client("", night).VerifyAll(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Releases) != 2 || !rep.Solo || rep.Releases[1].Manifest != third.Manifest {
		t.Fatalf("audit: %+v", rep)
	}
	// After a restart without the repository, the last good release serves.
	offline, err := trust.Open(trust.Config{Store: artifacts.NewMem(), StateDir: state, Now: func() time.Time { return night }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := offline.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := offline.Refresh(t.Context(), "staging"); trust.ReasonOf(err) != trust.Missing {
		t.Fatalf("refresh from nowhere: %v", err)
	}
	last, err := offline.Last(t.Context(), "staging")
	if err != nil || last.Manifest() != third.Manifest {
		t.Fatalf("last: %v", err)
	}
	for _, e := range last.Release().Entries {
		if _, err := last.Blobs().Get(t.Context(), e.Variant.Artifacts[0]); err != nil {
			t.Errorf("artifact of %d from the cache: %v", e.ID, err)
		}
	}
}

// Three people, a nightly job and a publisher, each with their own key files.
func TestStoryOfSeveralPeople(t *testing.T) {
	keys := t.TempDir()
	asked := 0
	pass := func(string) ([]byte, error) { asked++; return []byte("correct horse"), nil }
	w := found(t, artifacts.NewMem(), publish.InitOptions{KeysDir: keys, Passphrase: pass})
	if len(w.made.KeyFiles) != 13 || asked != 13 {
		t.Fatalf("%d key files, asked %d times", len(w.made.KeyFiles), asked)
	}
	ctx := t.Context()
	person := func(folder string, root bool) *publish.Repository {
		ring, err := publish.OpenKeys(keys+"/"+folder, pass)
		if err != nil {
			t.Fatal(err)
		}
		if root {
			ring.Root = w.made.Root
		}
		return &publish.Repository{Store: w.store, Keys: ring, Now: night}
	}
	prepared, err := person("nightly", true).Propose(ctx, w.proposal("prod", 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	publisher := person("publisher", true)
	if _, err := publisher.Publish(ctx, prepared.Manifest); !errors.Is(err, publish.ErrApprovals) {
		t.Fatalf("published without approvals: %v", err)
	}
	if _, err := person("nightly", false).Sign(ctx, prepared.Manifest); !errors.Is(err, publish.ErrNoKey) {
		t.Fatalf("the proposer approved: %v", err)
	}
	one := person("person-1", true)
	rv, err := one.Sign(ctx, prepared.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if rv.Threshold != 2 || len(rv.Signed) != 1 || rv.Evidence != 2 || len(rv.Difference.Added) != 2 {
		t.Fatalf("review: %+v", rv)
	}
	if _, err := one.Sign(ctx, prepared.Manifest); !errors.Is(err, publish.ErrMayNot) || !strings.Contains(err.Error(), "once") {
		t.Fatalf("one key signed twice: %v", err)
	}
	if _, err := publisher.Publish(ctx, prepared.Manifest); !errors.Is(err, publish.ErrApprovals) {
		t.Fatalf("published with one approval: %v", err)
	}
	if _, err := person("person-3", true).Sign(ctx, prepared.Manifest); err != nil {
		t.Fatal(err)
	}
	done, err := publisher.Publish(ctx, prepared.Manifest)
	if err != nil || done.Again || len(done.Approvers) != 2 {
		t.Fatalf("publish: %+v, %v", done, err)
	}
	if again, err := publisher.Publish(ctx, prepared.Manifest); err != nil || !again.Again {
		t.Fatalf("publish again: %+v, %v", again, err)
	}
	rep, err := w.client("", night).VerifyAll(ctx, "prod")
	if err != nil || rep.Solo || len(rep.Releases[0].Approvers) != 2 || rep.Releases[0].Threshold != 2 {
		t.Fatalf("audit: %+v, %v", rep, err)
	}
	pending, err := publisher.Pending(ctx)
	if err != nil || len(pending) != 1 || pending[0] != prepared.Manifest {
		t.Fatalf("pending %v, %v", pending, err)
	}
}

// A scratch repository for a canary, in memory.
func TestStoryCanary(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true, Channels: []string{"canary"}})
	w.release("canary", 1, 2)
	v, err := w.client("", night).Refresh(t.Context(), "canary")
	if err != nil || len(v.Release().Entries) != 2 {
		t.Fatal(err)
	}
	if _, err := w.client("", night).VerifyAll(t.Context(), "canary"); err != nil {
		t.Fatal(err)
	}
}
