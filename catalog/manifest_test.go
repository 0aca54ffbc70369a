package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func entry(id catalog.VariantID, scope catalog.Scope) catalog.Entry {
	v := catalog.Variant{
		Name: fmt.Sprintf("burst-%08x", id), Domain: "infer", Type: "early-exit",
		Point:     json.RawMessage(fmt.Sprintf(`{"bits":%d,"exit":0.25}`, id)),
		Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", fmt.Append(nil, id))},
		Knobs:     []catalog.Knob{{Name: "threshold", Default: .5, Bounds: catalog.Bounds{Min: .1, Max: .9, MaxDelta: .05}}},
		Seed:      math.MaxUint64, Labels: map[string]string{"engine": "ga", "run": "r1"},
	}
	v.Identity = catalog.IdentityOf(v)
	return catalog.Entry{
		ID: id, Variant: v, Scope: scope,
		Envelope:     catalog.Envelope{Contexts: []string{"burst"}, Limits: map[string]float64{"p99_ns": 1e6}},
		Curves:       []catalog.LatencyCurve{{Context: "burst", P50NS: 1200.5, P99NS: 9e4, Samples: 100}},
		Expectations: []catalog.Expectation{{Metric: "cost", Context: "burst", Direction: "lower", Scale: "ratio", Change: -.42, Lower: -.5, Upper: -.4, Alpha: .05}},
		Evidence:     []catalog.Evidence{{Gate: "report", Ref: artifacts.RefOf("", "application/json", []byte("e"))}},
	}
}

// waived is the entry, served under a waiver.
func waived(e catalog.Entry) catalog.Entry {
	tolerance := .5
	e.Waivers = []catalog.Waived{{
		Waiver: catalog.Waiver{Study: "infer", Context: "burst", Metric: "p99_ns", Tolerance: &tolerance, Reason: "launch", Created: start, Expires: start.AddDate(0, 0, 7)},
		File:   artifacts.RefOf("launch.waiver", "application/json", []byte("signed")),
	}}
	return e
}

// golden is the entry with questions that it must answer.
func golden(e catalog.Entry) catalog.Entry {
	e.Golden = []catalog.Golden{
		{Question: "bytes", Digest: artifacts.DigestOf([]byte("answer"))},
		{Question: "numbers", Values: []float64{1, -.25, 1e-9}, Tolerance: 1e-6},
	}
	return e
}

func release() catalog.Release {
	limit := .8
	return catalog.Release{
		Schema: catalog.ManifestSchema, Channel: "staging", Domain: "infer", Sequence: 2, Previous: artifacts.DigestOf(nil),
		Created: start, Expires: start.AddDate(0, 0, 14), NextID: 9, RuntimeMin: 1,
		Contexts: []string{"low-load", "burst"}, Baseline: 3,
		Policy:     catalog.Policy{Guardrails: []catalog.Guardrail{{Metric: "accuracy", Min: &limit}}, MaxExperiments: 1, CoolDownTicks: 5, WindowRequests: 64},
		Entries:    []catalog.Entry{entry(3, "staging"), golden(waived(entry(5, "staging")))},
		Tombstones: []catalog.Tombstone{{ID: 1, Identity: artifacts.DigestOf([]byte("gone")), Reason: "superseded"}},
	}
}

func encode(t testing.TB, r catalog.Release) catalog.Files {
	t.Helper()
	f, err := catalog.EncodeManifest(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// decode reads a release back from its files.
func decode(f catalog.Files) (catalog.Release, error) {
	blobs := artifacts.NewMem()
	for _, b := range f.Shards {
		if _, err := blobs.Put(context.Background(), b); err != nil {
			return catalog.Release{}, err
		}
	}
	return catalog.ReadRelease(context.Background(), f.Manifest, blobs)
}

// relist makes a manifest that lists the shards as they are now.
func relist(t testing.TB, f catalog.Files, shards ...[]byte) catalog.Files {
	t.Helper()
	m, err := catalog.DecodeManifest(f.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	out := catalog.Files{Manifest: f.Manifest, Shards: shards}
	for i, was := range m.Shards() {
		now := artifacts.RefOf("", "", shards[i])
		old := fmt.Sprintf(`"digest":%q,"size":%d}`, was.Digest, was.Size)
		out.Manifest = bytes.Replace(out.Manifest, []byte(old), fmt.Appendf(nil, `"digest":%q,"size":%d}`, now.Digest, now.Size), 1)
	}
	return out
}

func TestManifestRoundTrip(t *testing.T) {
	f := encode(t, release())
	got, err := decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, release()) {
		t.Errorf("decoded release differs:\n%+v", got)
	}
	if len(f.Shards) != 1 || !bytes.Contains(f.Shards[0], []byte(`"entries":[{"id":3,`)) {
		t.Errorf("the list of variants is not the key entries: %.300s", f.Shards)
	}
	empty := release()
	empty.Entries, empty.Tombstones, empty.Contexts, empty.Policy = nil, nil, nil, catalog.Policy{}
	empty.Baseline = 0
	if _, err := decode(encode(t, empty)); err != nil {
		t.Errorf("an empty release: %v", err)
	}
}

// Every rule: what breaks it, and the field that the refusal must name.
func TestManifestRefusals(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		field  string
		break_ func(*catalog.Release)
	}{
		{"schema", func(r *catalog.Release) { r.Schema = "arqon-catalog/3" }},
		{"channel", func(r *catalog.Release) { r.Channel = "nightly" }},
		{"domain", func(r *catalog.Release) { r.Domain = "a/b" }},
		{"sequence", func(r *catalog.Release) { r.Sequence = 0 }},
		{"previous", func(r *catalog.Release) { r.Previous = "" }},
		{"previous", func(r *catalog.Release) { r.Sequence = 1 }},
		{"expires", func(r *catalog.Release) { r.Expires = r.Created }},
		{"created", func(r *catalog.Release) { r.Created = time.Time{} }},
		{"next_id", func(r *catalog.Release) { r.NextID = 0 }},
		{"runtime_abi_min", func(r *catalog.Release) { r.RuntimeMin = 0 }},
		{"contexts[1]", func(r *catalog.Release) { r.Contexts = []string{"burst", "burst"} }},
		{"baseline", func(r *catalog.Release) { r.Baseline = 4 }},
		{"baseline", func(r *catalog.Release) { r.Baseline = 0 }},
		{"baseline", func(r *catalog.Release) { r.Baseline = 1 }},
		{"entries[1].id", func(r *catalog.Release) { r.Entries[1].ID = 3 }},
		{"entries[1].id", func(r *catalog.Release) { r.Entries[1].ID = 2 }},
		{"entries[0].id", func(r *catalog.Release) { r.Entries[0].ID = 0 }},
		{"entries[1].id", func(r *catalog.Release) { r.Entries[1].ID = 9 }},
		{"entries[1].identity", func(r *catalog.Release) { r.Entries[1].Variant = r.Entries[0].Variant }},
		{"tombstones[0].id", func(r *catalog.Release) { r.Tombstones[0].ID = 5 }},
		{"tombstones[0].identity", func(r *catalog.Release) { r.Tombstones[0].Identity = r.Entries[0].Variant.Identity }},
		{"tombstones[0].identity", func(r *catalog.Release) { r.Tombstones[0].Identity = "sha256:00" }},
		{"entries[1].waivers[0].waiver.reason", func(r *catalog.Release) { r.Entries[1].Waivers[0].Waiver.Reason = "" }},
		{"entries[1].waivers[0].waiver.context", func(r *catalog.Release) { r.Entries[1].Waivers[0].Waiver.Context = "low-load" }},
		{"entries[1].waivers[0].waiver.tolerance", func(r *catalog.Release) { r.Entries[1].Waivers[0].Waiver.Tolerance = &nan }},
		{"entries[1].waivers[0].waiver", func(r *catalog.Release) { r.Entries[1].Waivers[0].Waiver.Limit = new(float64) }},
		{"entries[1].waivers[0].waiver.expires", func(r *catalog.Release) { r.Entries[1].Waivers[0].Waiver.Expires = start.AddDate(2, 0, 0) }},
		{"entries[1].waivers[0].file.digest", func(r *catalog.Release) { r.Entries[1].Waivers[0].File.Digest = "" }},
		{"entries[1].golden[0].question", func(r *catalog.Release) { r.Entries[1].Golden[0].Question = "a/b" }},
		{"entries[1].golden[1].question", func(r *catalog.Release) { r.Entries[1].Golden[1].Question = "bytes" }},
		{"entries[1].golden[0]", func(r *catalog.Release) { r.Entries[1].Golden[0].Digest = "" }},
		{"entries[1].golden[0].digest", func(r *catalog.Release) { r.Entries[1].Golden[0].Digest = "sha256:0" }},
		{"entries[1].golden[0].tolerance", func(r *catalog.Release) { r.Entries[1].Golden[0].Tolerance = .1 }},
		{"entries[1].golden[1].values", func(r *catalog.Release) { r.Entries[1].Golden[1].Values[0] = nan }},
		{"entries[1].golden[1].tolerance", func(r *catalog.Release) { r.Entries[1].Golden[1].Tolerance = 2 }},
		{"entries[0].scope", func(r *catalog.Release) { r.Entries[0].Scope = "prod" }},
		{"entries[0].scope", func(r *catalog.Release) { r.Entries[0].Scope = "canary" }},
		{"entries[0].scope", func(r *catalog.Release) { r.Channel = "prod" }},
		{"entries[0].fallback", func(r *catalog.Release) { r.Entries[0].Fallback = 4 }},
		{"entries[0].fallback", func(r *catalog.Release) { r.Entries[0].Fallback = 3 }},
		{"entries[0].fallback", func(r *catalog.Release) { r.Entries[0].Fallback = 1 }},
		{"entries[0].evidence", func(r *catalog.Release) { r.Entries[0].Evidence = nil }},
		{"entries[0].evidence[0].ref.digest", func(r *catalog.Release) { r.Entries[0].Evidence[0].Ref.Digest = "md5:1" }},
		{"entries[0].variant.name", func(r *catalog.Release) { r.Entries[0].Variant.Name = "../x" }},
		{"entries[0].variant.name", func(r *catalog.Release) { r.Entries[0].Variant.Name = "a\x1b[2J" }},
		{"entries[0].variant.name", func(r *catalog.Release) { r.Entries[0].Variant.Name = "a\u202eb" }},
		{"entries[0].variant.domain", func(r *catalog.Release) { r.Entries[0].Variant.Domain = "cache"; fix(r) }},
		{"entries[0].variant.identity", func(r *catalog.Release) { r.Entries[0].Variant.Point = json.RawMessage(`{}`) }},
		{"entries[0].variant.point.a", func(r *catalog.Release) { r.Entries[0].Variant.Point = json.RawMessage(`{"a":1,"a":2}`); fix(r) }},
		{"entries[0].variant.point", func(r *catalog.Release) { r.Entries[0].Variant.Point = json.RawMessage(`{`) }},
		{"entries[0].variant.artifacts[0].name", func(r *catalog.Release) { r.Entries[0].Variant.Artifacts[0].Name = "a/b" }},
		{"entries[0].variant.artifacts[0].size", func(r *catalog.Release) { r.Entries[0].Variant.Artifacts[0].Size = -1 }},
		{"entries[0].variant.knobs[0].bounds", func(r *catalog.Release) { r.Entries[0].Variant.Knobs[0].Bounds.Max = nan }},
		{"entries[0].variant.knobs[0].bounds", func(r *catalog.Release) { r.Entries[0].Variant.Knobs[0].Bounds.MaxDelta = 0 }},
		{"entries[0].variant.knobs[0].bounds", func(r *catalog.Release) { r.Entries[0].Variant.Knobs[0].Default = 2 }},
		{"entries[0].envelope.contexts[0]", func(r *catalog.Release) { r.Entries[0].Envelope.Contexts[0] = "night" }},
		{"entries[0].envelope.limits", func(r *catalog.Release) { r.Entries[0].Envelope.Limits["p99_ns"] = math.Inf(1) }},
		{"entries[0].envelope.memory_bytes_max", func(r *catalog.Release) { r.Entries[0].Envelope.MemoryBytesMax = -1 }},
		{"entries[0].curves[0]", func(r *catalog.Release) { r.Entries[0].Curves[0].P99NS = nan }},
		{"entries[0].expectations[0]", func(r *catalog.Release) { r.Entries[0].Expectations[0].Lower = 1 }},
		{"entries[0].expectations[0].alpha", func(r *catalog.Release) { r.Entries[0].Expectations[0].Alpha = 1 }},
		{"entries[0].expectations[0].direction", func(r *catalog.Release) { r.Entries[0].Expectations[0].Direction = "" }},
		{"entries[0].expectations[0].scale", func(r *catalog.Release) { r.Entries[0].Expectations[0].Scale = "log" }},
		{"policy.guardrails[0]", func(r *catalog.Release) { *r.Policy.Guardrails[0].Min = nan }},
		{"policy.guardrails[0]", func(r *catalog.Release) { r.Policy.Guardrails[0].Min = nil }},
		{"policy.guardrails[0].context", func(r *catalog.Release) { r.Policy.Guardrails[0].Context = "none" }},
		{"policy.max_experiments", func(r *catalog.Release) { r.Policy.MaxExperiments = -1 }},
	} {
		r := release()
		c.break_(&r)
		_, err := catalog.EncodeManifest(r)
		if !errors.Is(err, catalog.ErrManifest) || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%s: encoding gives %v", c.field, err)
		}
		raw, jsonErr := catalog.EncodeUnchecked(r)
		if jsonErr != nil {
			continue // JSON has no NaN: such a manifest cannot be written down
		}
		_, err = decode(raw)
		if !errors.Is(err, catalog.ErrManifest) || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%s: decoding gives %v", c.field, err)
		}
	}
}

// fix recomputes the first entry's identity.
func fix(r *catalog.Release) {
	r.Entries[0].Variant.Identity = catalog.IdentityOf(r.Entries[0].Variant)
}

// Other spellings of a good release, each refused.
func TestManifestHasOneSpelling(t *testing.T) {
	good := encode(t, release())
	for _, c := range []struct{ what, old, new, says string }{
		{"unknown field", `{"schema"`, `{"extra":1,"schema"`, `unknown field "extra"`},
		{"repeated key", `"sequence":2`, `"sequence":1,"sequence":2`, "sequence: key appears twice"},
		{"other case", `"sequence"`, `"Sequence"`, "canonical"},
		{"white space", `"sequence":2`, `"sequence": 2`, "canonical"},
		{"escape", `"infer"`, `"\u0069nfer"`, "canonical"},
		{"number", `"sequence":2`, `"sequence":2e0`, "sequence"},
		{"null list", `"shards":[`, `"shards":null,"x":[`, "unknown field"},
		{"zone", `2026-03-01T02:00:00Z`, `2026-03-01T02:00:00+00:00`, "canonical"},
		{"missing field", `"next_id":9,`, ``, "canonical"},
		{"order", `"next_id":9,"runtime_abi_min":1`, `"runtime_abi_min":1,"next_id":9`, "canonical"},
		{"type", `"sequence":2`, `"sequence":"2"`, "sequence"},
		{"cut", `"shards"`, `"shards`, "manifest"},
		{"shard twice", `"shards":[`, `"shards":[{"number":0,"digest":"sha256:` + strings.Repeat("0", 64) + `","size":1},`, "shards[1].number"},
		{"shard elsewhere", `"shards":[{"number":0`, `"shards":[{"number":1`, "shards[0].entries[0].id"},
		{"shard with a path", `"shards":[{"number":0,"digest":"sha256:`, `"shards":[{"number":0,"digest":"sha256:../`, "shards[0].digest"},
	} {
		bad := bytes.Replace(good.Manifest, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(bad, good.Manifest) {
			t.Fatalf("%s: the manifest has no %q", c.what, c.old)
		}
		_, err := decode(catalog.Files{Manifest: bad, Shards: good.Shards})
		if !errors.Is(err, catalog.ErrManifest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want one with %q", c.what, err, c.says)
		}
	}
	for _, tail := range []string{" ", "\n", "{}", "x", "]"} {
		if _, err := catalog.DecodeManifest(append(bytes.Clone(good.Manifest), tail...)); !errors.Is(err, catalog.ErrManifest) {
			t.Errorf("%q after the end was accepted", tail)
		}
	}
	for _, b := range []string{"", "null", "{}", "[]", strings.Repeat("[", 100_000)} {
		if _, err := catalog.DecodeManifest([]byte(b)); !errors.Is(err, catalog.ErrManifest) {
			t.Errorf("%.20q was accepted", b)
		}
	}
	if _, err := catalog.DecodeManifest(make([]byte, catalog.MaxManifestBytes+1)); !errors.Is(err, catalog.ErrManifest) {
		t.Error("a manifest over the cap was accepted")
	}
}

// Other spellings of a good shard under its own digest: what was signed is not
// in the one form, and is refused all the same.
func TestShardHasOneSpelling(t *testing.T) {
	good := encode(t, release())
	for _, c := range []struct{ what, old, new, says string }{
		{"unknown field", `{"schema"`, `{"extra":1,"schema"`, `unknown field "extra"`},
		{"other schema", `arqon-shard/1`, `arqon-shard/2`, "shards[0].schema"},
		{"repeated key", `"id":3`, `"id":2,"id":3`, "id: key appears twice"},
		{"repeated key in a map", `"engine":"ga"`, `"engine":"x","engine":"ga"`, "labels.engine: key appears twice"},
		{"repeated key in a point", `"point":{"bits":3`, `"point":{"bits":2,"bits":3`, "point.bits: key appears twice"},
		{"order in a map", `"engine":"ga","run":"r1"`, `"run":"r1","engine":"ga"`, "canonical"},
		{"other case", `"scope"`, `"Scope"`, "canonical"},
		{"white space", `"id":3`, `"id": 3`, "canonical"},
		{"white space in a point", `"bits":3`, `"bits": 3`, "canonical"},
		{"escape", `"infer"`, `"\u0069nfer"`, "canonical"},
		{"zero first", `"id":3`, `"id":03`, "invalid character"},
		{"minus zero", `"samples":100`, `"samples":-0`, "canonical"},
		{"float", `0.25`, `0.250`, "identity"},
		{"float of a field", `1200.5`, `1200.50`, "canonical"},
		{"null list", `"tombstones":[{`, `"tombstones":null,"x":[{`, "unknown field"},
		{"null for a list", `"evidence":[{`, `"evidence":null,"x":[{`, "unknown field"},
		{"empty where left out", `"labels":{"engine":"ga","run":"r1"}`, `"labels":{}`, "canonical"},
		{"null for a map", `"labels":{"engine":"ga","run":"r1"}`, `"labels":null`, "canonical"},
		{"missing field", `"seed":18446744073709551615,`, ``, "canonical"},
		{"number too large", `18446744073709551615`, `18446744073709551616`, "seed"},
		{"name with a separator", `"name":"net.bin"`, `"name":"a/b"`, "entries[0].variant.artifacts[0].name"},
	} {
		bad := bytes.Replace(good.Shards[0], []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(bad, good.Shards[0]) {
			t.Fatalf("%s: the shard has no %q", c.what, c.old)
		}
		_, err := decode(relist(t, good, bad))
		if !errors.Is(err, catalog.ErrManifest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want one with %q", c.what, err, c.says)
		}
	}
	for _, tail := range []string{" ", "\n", "{}", "x", "]"} {
		if _, err := decode(relist(t, good, append(bytes.Clone(good.Shards[0]), tail...))); !errors.Is(err, catalog.ErrManifest) {
			t.Errorf("%q after the end was accepted", tail)
		}
	}
	if _, err := decode(relist(t, good, []byte(`{"schema":"arqon-shard/1","entries":[],"tombstones":[]}`))); !errors.Is(err, catalog.ErrManifest) {
		t.Error("a shard without anything was accepted")
	}
}

// One entry that changes changes one shard: the others keep their digests.
func TestOneChangeChangesOneShard(t *testing.T) {
	old := release()
	old.Entries, old.Tombstones, old.NextID, old.Baseline = nil, nil, 1001, 1
	for id := range catalog.VariantID(1000) {
		old.Entries = append(old.Entries, entry(id+1, "staging"))
	}
	now := old
	now.Entries = append([]catalog.Entry{}, old.Entries...)
	now.Entries[500].Envelope.MemoryBytesMax = 1
	a, b := encode(t, old), encode(t, now)
	changed := 0
	for i := range a.Shards {
		if !bytes.Equal(a.Shards[i], b.Shards[i]) {
			changed++
		}
	}
	if changed != 1 || len(a.Shards) != len(b.Shards) || len(a.Shards) < 1000/32 {
		t.Errorf("%d of %d shards changed", changed, len(a.Shards))
	}
}

// Whatever was encoded decodes to a release that encodes to the same bytes,
// and no single changed byte gives another spelling of the same release.
func TestManifestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := release()
		r.Sequence = rapid.Uint64Range(2, math.MaxUint64).Draw(t, "sequence")
		n := rapid.IntRange(1, 6).Draw(t, "entries")
		r.Entries, r.Tombstones, r.Baseline = nil, nil, 1
		r.NextID = catalog.VariantID(n + 1)
		for i := range n {
			e := entry(catalog.VariantID(i+1), "staging")
			e.Variant.Name = "n" + rapid.StringMatching(`[ -.0-Z^-~é世<>&]{0,30}`).Draw(t, "name")
			e.Curves[0].P50NS = rapid.Float64Range(0, 1e12).Draw(t, "p50")
			e.Expectations[0].Value = rapid.Float64Range(-1e300, 1e300).Draw(t, "value")
			r.Entries = append(r.Entries, e)
		}
		f, err := catalog.EncodeManifest(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := catalog.EncodeManifest(got)
		if err != nil || !reflect.DeepEqual(f, again) {
			t.Fatalf("encoded twice differently: %v", err)
		}
		for _, b := range [][]byte{f.Manifest, f.Shards[0]} {
			bad := bytes.Clone(b)
			bad[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			if catalog.DecodeShardShort(bad) && catalog.DecodeShardLong(bad) != nil {
				t.Fatalf("the short way accepts another spelling: %s", bad)
			}
			if m, err := catalog.DecodeManifest(bad); err == nil {
				if other, err := m.Release(context.Background(), mem(f.Shards)); err == nil && reflect.DeepEqual(other, got) {
					t.Fatalf("two spellings of one release:\n%s\n%s", b, bad)
				}
			}
		}
	})
}

// mem is a getter of the shards alone.
func mem(shards [][]byte) artifacts.Getter {
	blobs := artifacts.NewMem()
	for _, b := range shards {
		if _, err := blobs.Put(context.Background(), b); err != nil {
			return nil
		}
	}
	return blobs
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(encode(f, release()).Manifest)
	f.Add([]byte(`{"schema":"arqon-catalog/2"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := catalog.DecodeManifest(b); err != nil && !errors.Is(err, catalog.ErrManifest) {
			t.Fatalf("error without its sentinel: %v", err)
		}
	})
}

// The short way decodes what the long way accepts and nothing else; only what
// holds something else than plain text may go the long way.
func FuzzDecodeShard(f *testing.F) {
	f.Add(encode(f, release()).Shards[0])
	f.Add([]byte(`{"schema":"arqon-shard/1","entries":[],"tombstones":[{"id":1,"identity":"","reason":"\u003cb\u003e é"}]}`))
	f.Add([]byte(`{"schema":"arqon-shard/1","entries":[{"variant":{"point":{"a":[1,{"b":null}]}}}],"tombstones":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		long := catalog.DecodeShardLong(b)
		if long != nil && !errors.Is(long, catalog.ErrManifest) {
			t.Fatalf("error without its sentinel: %v", long)
		}
		if catalog.DecodeShardShort(b) && long != nil {
			t.Fatalf("a second spelling (%v): %s", long, b)
		}
	})
}

func TestDiff(t *testing.T) {
	old, now := release(), release()
	if d := catalog.Diff(old, now); !d.Empty() {
		t.Errorf("equal releases differ: %+v", d)
	}
	now.Sequence, now.Baseline = 3, 7
	now.Entries = []catalog.Entry{entry(5, "staging"), entry(7, "staging")}
	now.Entries[0].Envelope.MemoryBytesMax = 300_000
	now.Policy.WindowRequests++
	now.Tombstones[0].Identity = artifacts.DigestOf([]byte("other"))
	d := catalog.Diff(old, now)
	if d.Empty() || len(d.Added) != 1 || d.Added[0].ID != 7 || len(d.Removed) != 1 || d.Removed[0].ID != 3 ||
		len(d.Changed) != 1 || d.Changed[0].ID != 5 || !reflect.DeepEqual(d.Changed[0].Fields, []string{"envelope", "waivers", "golden"}) ||
		!d.PolicyChanged || d.NewBaseline != 7 || !reflect.DeepEqual(d.Repointed, []catalog.VariantID{1}) {
		t.Errorf("difference: %+v", d)
	}
}
