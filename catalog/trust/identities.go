package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// identities is what each id ever stood for, by ascending id. A list is never
// changed once it is made, so that many states share it: a catalog of 100,000
// variants has one of 3.6 MB.
//
// Its file, named by its digest in the state, is the line identitiesSchema and
// then 36 bytes an id: the id, big endian, and the identity's SHA-256.
type identities []identified

type identified struct {
	id       catalog.VariantID
	identity [sha256.Size]byte
}

const (
	identitiesSchema   = "arqon-identities/1\n"
	identifiedBytes    = 4 + sha256.Size
	maxIdentitiesBytes = 1 << 30
)

func (i identified) digest() artifacts.Digest {
	return artifacts.Digest("sha256:" + hex.EncodeToString(i.identity[:]))
}

func identify(id catalog.VariantID, d artifacts.Digest) (identified, error) {
	out := identified{id: id}
	if _, err := artifacts.ParseDigest(string(d)); err != nil {
		return out, err
	}
	_, err := hex.Decode(out.identity[:], []byte(d.Hex()))
	return out, err
}

// of returns what id stood for; false for an id that was never seen.
func (s identities) of(id catalog.VariantID) (artifacts.Digest, bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i].id >= id })
	if i == len(s) || s[i].id != id {
		return "", false
	}
	return s[i].digest(), true
}

// with returns s and what it has not seen of more, which has ascending ids. If
// that is nothing, it is s itself. An id that stood for something else before
// is a Repointed refusal of the file name.
func (s identities) with(name string, more identities) (identities, error) {
	if len(s) == 0 && len(more) > 0 {
		return more, nil
	}
	var fresh identities
	i := 0
	for _, m := range more {
		for i < len(s) && s[i].id < m.id {
			i++
		}
		switch {
		case i == len(s) || s[i].id != m.id:
			fresh = append(fresh, m)
		case s[i].identity != m.identity:
			return nil, refuse(Repointed, name, "id %d was %s and is now %s", m.id, s[i].digest().Short(), m.digest().Short())
		}
	}
	if len(fresh) == 0 {
		return s, nil
	}
	out := make(identities, 0, len(s)+len(fresh))
	out = append(append(out, s...), fresh...)
	slices.SortFunc(out, func(a, b identified) int { return int(int64(a.id) - int64(b.id)) })
	return out, nil
}

// identitiesOf lists what the ids of a release, tombstones included, stand for.
func identitiesOf(name string, r *catalog.Release) (identities, error) {
	out := make(identities, 0, len(r.Entries)+len(r.Tombstones))
	add := func(id catalog.VariantID, d artifacts.Digest) error {
		i, err := identify(id, d)
		if err != nil {
			return refuse(Malformed, name, "identity of id %d: %v", id, err)
		}
		out = append(out, i)
		return nil
	}
	for i := range r.Entries {
		if err := add(r.Entries[i].ID, r.Entries[i].Variant.Identity); err != nil {
			return nil, err
		}
	}
	for _, t := range r.Tombstones {
		if err := add(t.ID, t.Identity); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b identified) int { return int(int64(a.id) - int64(b.id)) })
	return out, nil
}

func (s identities) encode() []byte {
	b := make([]byte, 0, len(identitiesSchema)+identifiedBytes*len(s))
	b = append(b, identitiesSchema...)
	for i := range s {
		b = binary.BigEndian.AppendUint32(b, uint32(s[i].id))
		b = append(b, s[i].identity[:]...)
	}
	return b
}

func decodeIdentities(b []byte) (identities, error) {
	rest, ok := bytes.CutPrefix(b, []byte(identitiesSchema))
	if !ok || len(rest)%identifiedBytes != 0 {
		return nil, fmt.Errorf("identities: want the line %.18q and %d bytes an id", identitiesSchema, identifiedBytes)
	}
	out := make(identities, len(rest)/identifiedBytes)
	for i := range out {
		one := rest[i*identifiedBytes:]
		out[i].id = catalog.VariantID(binary.BigEndian.Uint32(one))
		copy(out[i].identity[:], one[4:])
		if out[i].id == catalog.BuiltIn || (i > 0 && out[i].id <= out[i-1].id) {
			return nil, fmt.Errorf("identities: id %d: want ascending ids above 0", out[i].id)
		}
	}
	return out, nil
}
