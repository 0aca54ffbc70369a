package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/runtime"
)

var night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// repository signs and publishes small releases of the channel canary. It
// panics when it cannot, so that the example can use it too.
type repository struct {
	store artifacts.Store
	blobs *artifacts.Mem
	made  *publish.Created
}

func newRepository() *repository {
	store := artifacts.NewMem()
	made, err := publish.Init(context.Background(), store, publish.InitOptions{Solo: true, Now: night, Channels: []string{"canary"}})
	if err != nil {
		panic(err)
	}
	return &repository{store: store, blobs: artifacts.NewMem(), made: made}
}

// release publishes variants 1..n, each with one artifact, and returns what a
// client verifies.
func (r *repository) release(n int) *catalog.Verified {
	ctx := context.Background()
	p := publish.Proposal{
		Channel: "canary", Domain: "toy", Contexts: []string{"low", "burst"}, Blobs: r.blobs,
		Policy: catalog.Policy{MaxExperiments: 1, CoolDownTicks: 2, WindowRequests: 10},
	}
	for i := 1; i <= n; i++ {
		data := fmt.Appendf(nil, "weights %d", i)
		if _, err := r.blobs.Put(ctx, data); err != nil {
			panic(err)
		}
		v := catalog.Variant{
			Name: fmt.Sprintf("v%d", i), Domain: "toy", Type: "weights", Point: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
			Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", data)},
		}
		v.Identity = catalog.IdentityOf(v)
		p.Entries = append(p.Entries, catalog.Entry{Variant: v, Scope: catalog.ScopeCanary, Envelope: catalog.Envelope{Contexts: p.Contexts}})
	}
	p.Baseline = p.Entries[0].Variant.Identity
	repo := &publish.Repository{Store: r.store, Keys: r.made.Keys, Now: night}
	if _, err := repo.Release(ctx, p); err != nil {
		panic(err)
	}
	c, err := trust.Open(trust.Config{Store: r.store, Root: r.made.Root, Now: func() time.Time { return night }})
	if err != nil {
		panic(err)
	}
	v, err := c.Refresh(ctx, "canary")
	if err := errors.Join(err, c.Close()); err != nil {
		panic(err)
	}
	return v
}

// stage reads the artifact of a variant: a real handle from verified bytes.
func stage(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	return blobs.Get(ctx, e.Variant.Artifacts[0])
}

func TestFromASignedReleaseToARequest(t *testing.T) {
	r := newRepository()
	rt, err := runtime.Open(t.Context(), runtime.Config{Stage: stage}, r.release(3))
	if err != nil {
		t.Fatal(err)
	}
	burst, ok := rt.Class("burst")
	s := rt.Load()
	if id := s.Select(burst); !ok || id != 1 || !bytes.Equal(s.Handle(id).([]byte), []byte("weights 1")) {
		t.Fatalf("variant %d: %q", id, s.Handle(id))
	}
	if d := rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: s.Generation(), Class: burst, Variant: 2, Ramp: runtime.RampDirect}); d.Reason != runtime.ReasonNeedsRamp {
		t.Fatalf("an entry of canary scope went directly: %+v", d)
	}
	if d := rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: s.Generation(), Class: burst, Variant: 2}); d.Outcome != runtime.InCanary {
		t.Fatalf("%+v", d)
	}
	if err := rt.Adopt(t.Context(), r.release(4)); err != nil {
		t.Fatal(err)
	}
	n := rt.Load()
	if n.Release() != 2 || !bytes.Equal(n.Handle(4).([]byte), []byte("weights 4")) || s.Release() != 1 {
		t.Fatalf("release %d: %q", n.Release(), n.Handle(4))
	}
	if _, share := n.Candidate(burst); share != 0 {
		t.Fatal("an experiment outlived its release")
	}
}

func Example() {
	releases := newRepository()
	rt, err := runtime.Open(context.Background(), runtime.Config{Stage: stage, Metrics: []runtime.Metric{{Name: "cost"}}}, releases.release(2))
	if err != nil {
		fmt.Println(err)
		return
	}
	low, _ := rt.Class("low")
	rec := rt.Recorder(0) // one a goroutine

	s := rt.Load() // one snapshot a request
	v := s.Select(low)
	fmt.Printf("variant %d: %s\n", v, s.Handle(v))
	rec.Record(v, low, 0, 143)

	rt.Kill(runtime.ReasonOperator)
	d := rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Class: low, Variant: 2})
	fmt.Println(d.Outcome, d.Reason)
	// Output:
	// variant 1: weights 1
	// refused killed
}

func BenchmarkAdopt1000(b *testing.B) {
	// Staging is only looking up bytes here: what is measured is the view,
	// the tables and the swap. Verification has its own benchmark.
	r := newRepository()
	first, second := r.release(2), r.release(1000)
	for b.Loop() {
		b.StopTimer()
		rt, err := runtime.Open(context.Background(), runtime.Config{}, first)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := rt.Adopt(context.Background(), second); err != nil {
			b.Fatal(err)
		}
	}
}
