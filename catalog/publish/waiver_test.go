package publish

import (
	"errors"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func aWaiver() catalog.Waiver {
	tolerance := .5
	return catalog.Waiver{
		Study: "infer", Context: "burst", Metric: "p99_ns", Tolerance: &tolerance, Reason: "launch",
		Created: night.Truncate(time.Second), Expires: night.Truncate(time.Second).AddDate(0, 0, 14),
	}
}

// file is the waiver as signed by the key.
func waiverFile(t *testing.T, k *Key, w catalog.Waiver) []byte {
	t.Helper()
	words, err := catalog.EncodeWaiver(w)
	if err != nil {
		t.Fatal(err)
	}
	b, err := SignStatement(k, catalog.PredicateWaiver, []trust.Subject{trust.CosignedSubject(words)}, words)
	if err != nil {
		t.Fatal(err)
	}
	out, err := trust.Cosign(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A waiver that nobody may sign, that says something else than was signed, or
// that has expired, is not signed by an honest approver's tool; one that got
// into a release regardless is found by who reads the history.
func TestWaivers(t *testing.T) {
	stranger, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	wider := aWaiver()
	wider.Tolerance = new(float64)
	*wider.Tolerance = 5
	old := aWaiver()
	old.Created, old.Expires = old.Created.AddDate(0, 0, -30), old.Created.AddDate(0, 0, -1)
	for name, c := range map[string]struct {
		listed, signed catalog.Waiver
		stranger       bool
		want           error
	}{
		"good":              {aWaiver(), aWaiver(), false, nil},
		"by a stranger":     {aWaiver(), aWaiver(), true, trust.ErrStatement},
		"of something else": {wider, aWaiver(), false, trust.ErrStatement},
		"expired":           {old, old, false, ErrProposal},
	} {
		f := newForger(t)
		f.publish(1)
		d, _ := f.head().Delegation("prod")
		k := f.key(d.KeyIDs)
		if c.stranger {
			k = stranger
		}
		file := waiverFile(t, k, c.signed)
		ref := artifacts.RefOf("launch.waiver", trust.CosignedMediaType, file)
		f.put(trust.EvidenceName(ref), file)
		waived := []catalog.Waived{{Waiver: c.listed, File: ref}}

		ref0, _ := f.head().Manifest("staging")
		rel, _, err := f.repo().readManifest(t.Context(), trust.TargetName(trust.ManifestTarget("staging"), ref0.Digest), ref0)
		if err != nil {
			t.Fatal(err)
		}
		p := Proposal{Channel: "staging", Domain: "infer", Contexts: []string{"burst"}, Entries: rel.Entries, Baseline: rel.Entries[0].Variant.Identity}
		p.Entries[0].Envelope.Contexts = []string{"burst"}
		p.Entries[0].Waivers = waived
		_, err = f.repo().Release(t.Context(), p)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: release: %v, want %v", name, err, c.want)
		}
		if c.want == nil || errors.Is(c.want, ErrProposal) {
			continue
		}
		f.manifest(func(r *catalog.Release) { // every key in hostile hands
			r.Entries[0].Envelope.Contexts, r.Entries[0].Waivers = []string{"burst"}, waived
		})
		client, err := trust.Open(trust.Config{Store: f.store, Root: f.made.Root, Now: func() time.Time { return night }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.History(t.Context(), "staging", true); trust.ReasonOf(err) == "" {
			t.Errorf("%s: the history passes: %v", name, err)
		}
	}
}
