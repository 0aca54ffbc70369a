package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// A release is stored as a manifest and its shards. The manifest is what is
// signed, and its digest names the release; it says everything but the entries
// and tombstones, which are in the shards that it lists by digest:
//
//	{"schema":"arqon-catalog/2","channel":…,…,"shards":[{"number":0,"digest":…,"size":…},…]}
//	{"schema":"arqon-shard/1","entries":[…],"tombstones":[…]}
//
// Shard n holds the ids from n·idsPerShard up to, but not including,
// (n+1)·idsPerShard, so an entry that changes changes one shard, and whoever
// has the release before fetches that one.
const (
	// MaxManifestBytes bounds a manifest, written or read.
	MaxManifestBytes = 4 << 20
	// MaxShardBytes bounds a shard, written or read.
	MaxShardBytes = 32 << 20

	shardSchema = "arqon-shard/1"
	idsPerShard = 32
)

// Manifest is a release without what is in its shards.
type Manifest struct {
	header
	shards []shardRef
}

// header is a Release but for its entries and tombstones.
type header struct {
	Schema     string           `json:"schema"`
	Channel    string           `json:"channel"`
	Domain     string           `json:"domain"`
	Sequence   uint64           `json:"sequence"`
	Previous   artifacts.Digest `json:"previous"`
	Created    time.Time        `json:"created"`
	Expires    time.Time        `json:"expires"`
	NextID     VariantID        `json:"next_id"`
	RuntimeMin int              `json:"runtime_abi_min"`
	Contexts   []string         `json:"contexts"`
	Baseline   VariantID        `json:"baseline"`
	Policy     Policy           `json:"policy"`
}

type shardRef struct {
	Number VariantID        `json:"number"`
	Digest artifacts.Digest `json:"digest"`
	Size   int64            `json:"size"`
}

type wireManifest struct {
	header
	Shards []shardRef `json:"shards"`
}

type shard struct {
	Schema     string      `json:"schema"`
	Entries    []Entry     `json:"entries"`
	Tombstones []Tombstone `json:"tombstones"`
}

// Files are a release as it is stored.
type Files struct {
	Manifest []byte
	Shards   [][]byte // in the order in which the manifest lists them
}

// EncodeManifest returns the one form that the release has: compact JSON with
// the fields in the order of the types, lists never null, times in UTC with
// whole seconds. The release is checked as by Check.
func EncodeManifest(r Release) (Files, error) {
	r = normal(r)
	if err := Check(&r); err != nil {
		return Files{}, err
	}
	return encode(r)
}

// encode writes a normal release.
func encode(r Release) (Files, error) {
	w := wireManifest{header: headerOf(r), Shards: []shardRef{}}
	var f Files
	for len(r.Entries)+len(r.Tombstones) > 0 {
		var s shard
		var n VariantID
		n, s, r.Entries, r.Tombstones = cutShard(r.Entries, r.Tombstones)
		b, err := json.Marshal(s)
		if err != nil {
			return Files{}, refuse("manifest", "%v", err)
		}
		if len(b) > MaxShardBytes {
			return Files{}, refuse(fmt.Sprintf("shards[%d]", len(w.Shards)), "%d bytes, at most %d", len(b), MaxShardBytes)
		}
		w.Shards = append(w.Shards, shardRef{Number: n, Digest: artifacts.DigestOf(b), Size: int64(len(b))})
		f.Shards = append(f.Shards, b)
	}
	var err error
	if f.Manifest, err = json.Marshal(w); err != nil {
		return Files{}, refuse("manifest", "%v", err)
	}
	if len(f.Manifest) > MaxManifestBytes {
		return Files{}, refuse("manifest", "%d bytes, at most %d", len(f.Manifest), MaxManifestBytes)
	}
	return f, nil
}

// cutShard takes the shard with the lowest ids off two lists with ascending ids.
func cutShard(entries []Entry, tombstones []Tombstone) (VariantID, shard, []Entry, []Tombstone) {
	n := ^VariantID(0)
	if len(entries) > 0 {
		n = entries[0].ID / idsPerShard
	}
	if len(tombstones) > 0 {
		n = min(n, tombstones[0].ID/idsPerShard)
	}
	e, t := 0, 0
	for e < len(entries) && entries[e].ID/idsPerShard == n {
		e++
	}
	for t < len(tombstones) && tombstones[t].ID/idsPerShard == n {
		t++
	}
	return n, shard{Schema: shardSchema, Entries: list(entries[:e]), Tombstones: list(tombstones[:t])}, entries[e:], tombstones[t:]
}

func headerOf(r Release) header {
	return header{
		Schema: r.Schema, Channel: r.Channel, Domain: r.Domain, Sequence: r.Sequence, Previous: r.Previous,
		Created: r.Created, Expires: r.Expires, NextID: r.NextID, RuntimeMin: r.RuntimeMin,
		Contexts: r.Contexts, Baseline: r.Baseline, Policy: r.Policy,
	}
}

func (h header) release() Release {
	return Release{
		Schema: h.Schema, Channel: h.Channel, Domain: h.Domain, Sequence: h.Sequence, Previous: h.Previous,
		Created: h.Created, Expires: h.Expires, NextID: h.NextID, RuntimeMin: h.RuntimeMin,
		Contexts: h.Contexts, Baseline: h.Baseline, Policy: h.Policy,
	}
}

// DecodeManifest accepts exactly what EncodeManifest writes and refuses every
// other spelling of it: unknown, missing, repeated or reordered fields, white
// space, other number or string forms, data after the end. The error wraps
// ErrManifest and names the field. What the shards say is not known yet.
func DecodeManifest(b []byte) (Manifest, error) {
	if len(b) > MaxManifestBytes {
		return Manifest{}, refuse("manifest", "%d bytes, at most %d", len(b), MaxManifestBytes)
	}
	var w wireManifest
	if err := decodeLong("manifest", b, &w); err != nil {
		return Manifest{}, err
	}
	head := w.release()
	if err := checkHead(&head); err != nil {
		return Manifest{}, err
	}
	for i, s := range w.Shards {
		if i > 0 && s.Number <= w.Shards[i-1].Number {
			return Manifest{}, nth("shards", i, refuse("number", "%d: want ascending numbers", s.Number))
		}
		if err := checkDigest(s.Digest); err != nil {
			return Manifest{}, nth("shards", i, within("digest", err))
		}
		if s.Size < 1 || s.Size > MaxShardBytes {
			return Manifest{}, nth("shards", i, refuse("size", "%d: want 1 to %d bytes", s.Size, MaxShardBytes))
		}
	}
	return Manifest{header: w.header, shards: w.Shards}, nil
}

// Shards returns what the manifest is made of besides itself.
func (m *Manifest) Shards() []artifacts.Ref {
	refs := make([]artifacts.Ref, len(m.shards))
	for i, s := range m.shards {
		refs[i] = artifacts.Ref{Digest: s.Digest, Size: s.Size}
	}
	return refs
}

// Release reads the shards and returns the whole release, checked as by Check.
// The error wraps ErrManifest, or is that of get.
func (m *Manifest) Release(ctx context.Context, get artifacts.Getter) (Release, error) {
	all := shard{Entries: make([]Entry, 0, idsPerShard*len(m.shards)), Tombstones: []Tombstone{}}
	var scan scan
	short := true
	for i, ref := range m.Shards() {
		b, err := get.Get(ctx, ref)
		if err != nil {
			return Release{}, err
		}
		scanned, err := decodeShard(&scan, b, m.shards[i].Number, &all)
		if err != nil {
			return Release{}, nth("shards", i, err)
		}
		short = short && scanned
	}
	r := m.release()
	r.Entries, r.Tombstones = all.Entries, all.Tombstones
	if err := check(&r, short); err != nil {
		return Release{}, err
	}
	return r, nil
}

// ReadRelease decodes a manifest and reads its shards.
func ReadRelease(ctx context.Context, manifest []byte, get artifacts.Getter) (Release, error) {
	m, err := DecodeManifest(manifest)
	if err != nil {
		return Release{}, err
	}
	return m.Release(ctx, get)
}

// decodeShard appends to all what the one spelling of the shard with the
// number holds. The short way and the long way accept the same bytes; only the
// long way can explain. scanned says that the short way did, which has seen
// that every point is compact JSON of plain strings.
func decodeShard(r *scan, b []byte, number VariantID, all *shard) (scanned bool, err error) {
	if len(b) > MaxShardBytes {
		return false, refuse("", "%d bytes, at most %d", len(b), MaxShardBytes)
	}
	e, t := len(all.Entries), len(all.Tombstones)
	r.reset(b)
	scanned = r.shard(all)
	if !scanned {
		var s shard
		if err := decodeLong("", b, &s); err != nil {
			return false, err
		}
		all.Schema, all.Entries, all.Tombstones = s.Schema, append(all.Entries[:e], s.Entries...), append(all.Tombstones[:t], s.Tombstones...)
	}
	if all.Schema != shardSchema {
		return false, refuse("schema", "%.80q: this version reads %q", all.Schema, shardSchema)
	}
	entries, tombstones := all.Entries[e:], all.Tombstones[t:]
	if len(entries)+len(tombstones) == 0 {
		return false, refuse("", "holds nothing")
	}
	for i := range entries {
		if entries[i].ID/idsPerShard != number {
			return false, nth("entries", i, refuse("id", "%d does not belong into shard %d", entries[i].ID, number))
		}
	}
	for i := range tombstones {
		if tombstones[i].ID/idsPerShard != number {
			return false, nth("tombstones", i, refuse("id", "%d does not belong into shard %d", tombstones[i].ID, number))
		}
	}
	return scanned, nil
}

// decodeLong decodes with encoding/json, encodes again and compares. what
// names the file in a refusal that is about no field of it.
func decodeLong[T wireManifest | shard](what string, b []byte, v *T) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return refuse(fieldOf(err, what), "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(what, "data after the end")
	}
	again, err := json.Marshal(written(*v))
	if err != nil {
		return refuse(what, "%v", err)
	}
	if !bytes.Equal(b, again) {
		return notCanonical(what, b, again)
	}
	return nil
}

// written is v with its lists as they are always written: never null.
func written(v any) any {
	switch v := v.(type) {
	case wireManifest:
		r := normal(v.release())
		return wireManifest{header: headerOf(r), Shards: list(v.Shards)}
	case shard:
		r := normal(Release{Entries: v.Entries, Tombstones: v.Tombstones})
		return shard{Schema: v.Schema, Entries: r.Entries, Tombstones: r.Tombstones}
	}
	return v
}

// fieldOf names the field that a decoding error is about.
func fieldOf(err error, otherwise string) string {
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		return typed.Field
	}
	return otherwise
}

// notCanonical says why b is not the canonical form: a repeated key by its
// path, anything else by the offset at which the two differ.
func notCanonical(what string, b, canonical []byte) error {
	if path := repeatedKey(b); path != "" {
		return refuse(path, "key appears twice")
	}
	i := 0
	for i < len(b) && i < len(canonical) && b[i] == canonical[i] {
		i++
	}
	return refuse(what, "not the canonical form from byte %d on, near %q", i, near(b, i))
}

func near(b []byte, i int) []byte { return b[max(0, i-20):min(len(b), i+20)] }

// normal returns r with every list that is always written made non-nil and
// its times in UTC. Maps and lists of r itself are not changed.
func normal(r Release) Release {
	r.Created, r.Expires = whole(r.Created), whole(r.Expires)
	r.Contexts = list(r.Contexts)
	r.Policy.Guardrails = list(r.Policy.Guardrails)
	r.Tombstones = list(r.Tombstones)
	entries := make([]Entry, len(r.Entries))
	for i, e := range r.Entries {
		e.Variant.Artifacts = list(e.Variant.Artifacts)
		e.Envelope.Contexts = list(e.Envelope.Contexts)
		e.Curves = list(e.Curves)
		e.Expectations = list(e.Expectations)
		e.Evidence = list(e.Evidence)
		entries[i] = e
	}
	r.Entries = entries
	return r
}

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
