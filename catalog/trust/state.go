package trust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

const (
	stateName     = "trust-state.json"
	stateSchema   = "arqon-trust-state/1"
	maxStateBytes = 128 << 20
)

// state is what a client must not forget: without it an old repository looks
// as good as a new one. It is written before anything is adopted.
type state struct {
	Schema      string                                 `json:"schema"`
	Root        []byte                                 `json:"root"`     // the newest verified root
	Versions    map[string]int64                       `json:"versions"` // role → newest version seen
	Channels    map[string]channelState                `json:"channels"`
	Identities  map[catalog.VariantID]artifacts.Digest `json:"identities"` // what each id ever stood for
	Yanked      map[catalog.VariantID]string           `json:"yanked"`     // id → reason, for ever
	LargestTime int64                                  `json:"largest_time_unix_s"`
}

// channelState is the last good release of a channel.
type channelState struct {
	Sequence uint64            `json:"sequence"`
	NextID   catalog.VariantID `json:"next_id"`
	Manifest artifacts.Ref     `json:"manifest"`
}

func newState() *state {
	return &state{
		Schema: stateSchema, Versions: map[string]int64{}, Channels: map[string]channelState{},
		Identities: map[catalog.VariantID]artifacts.Digest{}, Yanked: map[catalog.VariantID]string{},
	}
}

// clone copies s, so that a refused refresh leaves no trace in it.
func (s *state) clone() *state {
	c := *s
	c.Versions, c.Channels = maps.Clone(s.Versions), maps.Clone(s.Channels)
	c.Identities, c.Yanked = maps.Clone(s.Identities), maps.Clone(s.Yanked)
	return &c
}

// decodeState accepts the one spelling of a state. A damaged state is refused
// and never replaced by an empty one: that would be forgetting.
func decodeState(b []byte) (*state, error) {
	s := newState()
	if err := decodeStrict(b, s); err != nil {
		return nil, err
	}
	if s.Schema != stateSchema {
		return nil, fmt.Errorf("schema %.80q: this version reads %s", s.Schema, stateSchema)
	}
	if len(s.Root) == 0 || s.Versions == nil || s.Channels == nil || s.Identities == nil || s.Yanked == nil {
		return nil, errors.New("incomplete")
	}
	return s, nil
}

// loadState reads the state of the directory; nil when it has none yet.
func loadState(ctx context.Context, dir *artifacts.Dir) (*state, []byte, error) {
	b, err := dir.Read(ctx, stateName, maxStateBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return newState(), nil, nil
	}
	if err != nil {
		return nil, nil, refusal(stateName, err)
	}
	s, err := decodeState(b)
	if err != nil {
		return nil, nil, refuse(Unreadable, stateName,
			"the state in %s is damaged (%v): restore it, or remove it only after pinning a root and a floor you trust", dir.Path(), err)
	}
	return s, b, nil
}

// raise notes the versions of a verified head and the time.
func (s *state) raise(h *Head, now time.Time) {
	s.Root = h.RootBytes
	s.Versions["root"] = h.Root.Signed.Version
	s.Versions["timestamp"] = h.Timestamp.Signed.Version
	s.Versions["snapshot"] = h.Snapshot.Signed.Version
	s.Versions["targets"] = h.Targets.Signed.Version
	for role, m := range h.Roles {
		s.Versions[role] = m.Signed.Version
	}
	s.LargestTime = max(s.LargestTime, now.Unix())
}

// adopt checks a release against everything seen before and notes it. name is
// the manifest's, for the refusal.
func (s *state) adopt(name string, r catalog.Release, manifest artifacts.Ref) error {
	was := s.Channels[r.Channel]
	switch {
	case r.Sequence < was.Sequence:
		return refuse(Rollback, name, "release %d of %s, and %d was seen before", r.Sequence, r.Channel, was.Sequence)
	case r.Sequence == was.Sequence && manifest.Digest != was.Manifest.Digest:
		return refuse(Rollback, name, "another release %d of %s than the one seen before", r.Sequence, r.Channel)
	case r.NextID < was.NextID:
		return refuse(NextID, name, "next_id is %d, and %d was seen before", r.NextID, was.NextID)
	case r.Sequence == was.Sequence+1 && was.Sequence > 0 && r.Previous != was.Manifest.Digest:
		return refuse(MixAndMatch, name, "release %d does not continue release %d", r.Sequence, was.Sequence)
	}
	ids := catalog.Identities(r)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if before, ok := s.Identities[id]; ok && before != ids[id] {
			return refuse(Repointed, name, "id %d was %s and is now %s", id, before.Short(), ids[id].Short())
		}
		s.Identities[id] = ids[id]
	}
	s.Channels[r.Channel] = channelState{Sequence: r.Sequence, NextID: r.NextID, Manifest: manifest}
	return nil
}

// withdraw notes a yank list. Yanks are sticky: a list without an id that was
// yanked before is refused.
func (s *state) withdraw(name string, y Yank) error {
	listed := map[catalog.VariantID]bool{}
	for _, e := range y.Yanked {
		listed[e.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(s.Yanked)) {
		if !listed[id] {
			return refuse(Unyanked, name, "id %d was withdrawn before and is not any more", id)
		}
	}
	for _, e := range y.Yanked {
		if before, ok := s.Identities[e.ID]; ok && e.Identity != before {
			return refuse(Repointed, name, "id %d was %s and is withdrawn as %s", e.ID, before.Short(), e.Identity.Short())
		}
		s.Identities[e.ID] = e.Identity
		s.Yanked[e.ID] = e.Reason
	}
	return nil
}
