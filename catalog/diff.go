package catalog

import (
	"bytes"
	"encoding/json"
	"sort"

	"github.com/arqon/arqon/artifacts"
)

// Change is what differs for one id between two releases. A nil side means
// that the id was not an entry there.
type Change struct {
	ID       VariantID
	Old, New *Entry
	Fields   []string // what changed, by JSON name; empty for an added or removed entry
}

// Difference is what an approver reads before signing.
type Difference struct {
	OldSequence, NewSequence uint64
	Added, Removed, Changed  []Change // each by ascending id
	OldBaseline, NewBaseline VariantID
	PolicyChanged            bool
	Repointed                []VariantID // ids whose identity differs: never legitimate
}

// Empty reports whether nothing that a runtime would notice differs.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.Repointed) == 0 &&
		d.OldBaseline == d.NewBaseline && !d.PolicyChanged
}

// Diff compares two releases of a channel. The zero Release stands for "no
// release yet".
func Diff(old, new Release) Difference {
	d := Difference{
		OldSequence: old.Sequence, NewSequence: new.Sequence,
		OldBaseline: old.Baseline, NewBaseline: new.Baseline,
		PolicyChanged: !sameJSON(old.Policy, new.Policy),
	}
	before, after := byID(old.Entries), byID(new.Entries)
	for _, id := range sortedIDs(before, after) {
		o, n := before[id], after[id]
		switch {
		case o == nil:
			d.Added = append(d.Added, Change{ID: id, New: n})
		case n == nil:
			d.Removed = append(d.Removed, Change{ID: id, Old: o})
		default:
			if fields := changedFields(o, n); len(fields) > 0 {
				d.Changed = append(d.Changed, Change{ID: id, Old: o, New: n, Fields: fields})
			}
		}
	}
	d.Repointed = repointed(old, new)
	return d
}

// repointed lists ids that both releases know, as entries or tombstones, with
// different identities.
func repointed(old, new Release) []VariantID {
	before := Identities(old)
	var ids []VariantID
	for id, identity := range Identities(new) {
		if was, ok := before[id]; ok && was != identity {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}

// Identities maps every id that the release knows, tombstones included, to
// the identity that it stands for.
func Identities(r Release) map[VariantID]artifacts.Digest {
	m := make(map[VariantID]artifacts.Digest, len(r.Entries)+len(r.Tombstones))
	for i := range r.Entries {
		m[r.Entries[i].ID] = r.Entries[i].Variant.Identity
	}
	for _, t := range r.Tombstones {
		m[t.ID] = t.Identity
	}
	return m
}

func changedFields(o, n *Entry) []string {
	var fields []string
	for _, f := range []struct {
		name     string
		old, new any
	}{
		{"variant", o.Variant, n.Variant}, {"envelope", o.Envelope, n.Envelope}, {"curves", o.Curves, n.Curves},
		{"expectations", o.Expectations, n.Expectations}, {"scope", o.Scope, n.Scope},
		{"evidence", o.Evidence, n.Evidence}, {"waivers", o.Waivers, n.Waivers}, {"fallback", o.Fallback, n.Fallback}, {"reference", o.Reference, n.Reference},
		{"golden", o.Golden, n.Golden},
	} {
		if !sameJSON(f.old, f.new) {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// sameJSON compares by what would be written; values that cannot be written
// differ from everything.
func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && bytes.Equal(x, y)
}

func byID(entries []Entry) map[VariantID]*Entry {
	m := make(map[VariantID]*Entry, len(entries))
	for i := range entries {
		m[entries[i].ID] = &entries[i]
	}
	return m
}

func sortedIDs(a, b map[VariantID]*Entry) []VariantID {
	var ids []VariantID
	for id := range a {
		ids = append(ids, id)
	}
	for id := range b {
		if a[id] == nil {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
