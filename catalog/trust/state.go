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
	stateSchema   = "arqon-trust-state/2"
	maxStateBytes = 64 << 20
)

// state is what a client must not forget: without it an old repository looks
// as good as a new one. It is written before anything is adopted.
type state struct {
	Schema      string                       `json:"schema"`
	Root        []byte                       `json:"root"`     // the newest verified root
	Versions    map[string]int64             `json:"versions"` // role → newest version seen
	Channels    map[string]channelState      `json:"channels"`
	Identities  artifacts.Ref                `json:"identities"` // the file of what each id ever stood for
	Yanked      map[catalog.VariantID]string `json:"yanked"`     // id → reason, for ever
	Log         Log                          `json:"log"`
	LargestTime int64                        `json:"largest_time_unix_s"`

	identities identities // as in that file
}

// channelState is the last good release of a channel.
type channelState struct {
	Sequence uint64            `json:"sequence"`
	NextID   catalog.VariantID `json:"next_id"`
	Manifest artifacts.Ref     `json:"manifest"`
}

func newState() *state {
	s := &state{
		Schema: stateSchema, Versions: map[string]int64{}, Channels: map[string]channelState{},
		Yanked: map[catalog.VariantID]string{},
	}
	s.know(nil)
	return s
}

// learn is know for what identities.with returned: often nothing new.
func (s *state) learn(ids identities) {
	if len(ids) != len(s.identities) {
		s.know(ids)
	}
}

// know makes ids what s knows of the past.
func (s *state) know(ids identities) {
	s.identities = ids
	s.Identities = artifacts.RefOf("", "", ids.encode())
}

// clone copies s, so that a refused refresh leaves no trace in it.
func (s *state) clone() *state {
	c := *s
	c.Versions, c.Channels = maps.Clone(s.Versions), maps.Clone(s.Channels)
	c.Yanked = maps.Clone(s.Yanked)
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
	if len(s.Root) == 0 || s.Versions == nil || s.Channels == nil || s.Yanked == nil {
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
	if err == nil {
		err = s.loadIdentities(ctx, dir)
	}
	if err != nil {
		return nil, nil, refuse(Unreadable, stateName,
			"the state in %s is damaged (%v): restore it, or remove it only after pinning a root and a floor you trust", dir.Path(), err)
	}
	return s, b, nil
}

func (s *state) loadIdentities(ctx context.Context, dir *artifacts.Dir) error {
	if s.Identities.Size > maxIdentitiesBytes {
		return fmt.Errorf("identities of %d bytes, at most %d", s.Identities.Size, maxIdentitiesBytes)
	}
	b, err := dir.Get(ctx, s.Identities)
	if err != nil {
		return err
	}
	s.identities, err = decodeIdentities(b)
	return err
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
	s.Log = h.Log
	s.LargestTime = max(s.LargestTime, now.Unix())
}

// adopt checks a release against everything seen before and notes it. name is
// the manifest's, for the refusal.
func (s *state) adopt(name string, r *catalog.Release, manifest artifacts.Ref) error {
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
	ids, err := identitiesOf(name, r)
	if err != nil {
		return err
	}
	if ids, err = s.identities.with(name, ids); err != nil {
		return err
	}
	s.learn(ids)
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
	var ids identities
	for _, e := range y.Yanked {
		if before, ok := s.identities.of(e.ID); ok && e.Identity != before {
			return refuse(Repointed, name, "id %d was %s and is withdrawn as %s", e.ID, before.Short(), e.Identity.Short())
		}
		i, err := identify(e.ID, e.Identity)
		if err != nil {
			return refuse(Malformed, name, "identity of id %d: %v", e.ID, err)
		}
		ids = append(ids, i) // a yank list has ascending ids
		s.Yanked[e.ID] = e.Reason
	}
	ids, err := s.identities.with(name, ids)
	if err != nil {
		return err
	}
	s.learn(ids)
	return nil
}
