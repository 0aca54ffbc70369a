package trust

import (
	"bytes"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"schema":"arqon-trust-state/2","root":"AA==","versions":{},"channels":{},"identities":{"digest":"","size":0},"yanked":{},"log":{"size":0,"hash":"","snapshot":""},"largest_time_unix_s":0}`))
	f.Add([]byte(`{"schema":"arqon-trust-state/2","root":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		// What was accepted can be used without a panic and without a change.
		c := s.clone()
		if err := c.adopt("m", &catalog.Release{Channel: "prod", Sequence: 1, NextID: 1}, artifacts.Ref{}); err != nil {
			return
		}
		c.Versions["root"]++
		if again, err := decodeState(b); err != nil || again.Versions["root"] != s.Versions["root"] {
			t.Fatal("a clone shares its maps")
		}
	})
}

func FuzzDecodeIdentities(f *testing.F) {
	one, err := identify(7, artifacts.DigestOf(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(identities{one}.encode())
	f.Add([]byte(identitiesSchema))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := decodeIdentities(b)
		if err == nil && !bytes.Equal(ids.encode(), b) {
			t.Fatalf("a second spelling: %q", b)
		}
	})
}

// Metadata of any kind from a hostile store: refused or accepted, no panic,
// and one spelling only.
func FuzzDecodeMetadata(f *testing.F) {
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"root","consistent_snapshot":true,"expires":"2026-03-01T02:00:00Z","keys":{"a":null},"roles":{"root":null},"spec_version":"1.0.31","version":1}}`))
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"timestamp","expires":"2026-03-01T02:00:00Z","meta":{"snapshot.json":null},"spec_version":"1.0.31","version":1}}`))
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"targets","delegations":{"keys":{},"roles":[{"keyids":[],"name":"prod","paths":["x"],"terminating":true,"threshold":0}]},"expires":"2026-03-01T02:00:00Z","spec_version":"1.0.31","targets":{},"version":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if root, err := decodeRoot("r", b); err == nil {
			same(t, b, root)
		}
		if m, err := decodeExact("t", b, metadata.Timestamp()); err == nil {
			same(t, b, m)
			if err := checkMeta("t", m.Signed.Meta, func(string) bool { return true }); err == nil && m.Signed.Meta["snapshot.json"] != nil {
				metaRef(m.Signed.Meta["snapshot.json"])
			}
		}
		if m, err := decodeExact("d", b, metadata.Targets()); err == nil {
			same(t, b, m)
			if err := checkDelegations("d", m); err == nil && m.Signed.Delegations == nil {
				t.Fatal("no delegations were accepted")
			}
			if err := checkRoleTargets("d", "prod", m); err == nil {
				if _, ok := targetRef(m.Signed.Targets[ManifestTarget("prod")]); !ok {
					t.Fatal("no manifest was accepted")
				}
			}
		}
	})
}

func same[T metadata.Roles](t *testing.T, b []byte, m *metadata.Metadata[T]) {
	t.Helper()
	again, err := m.ToBytes(false)
	if err != nil || !bytes.Equal(b, again) {
		t.Fatalf("a second spelling: %s", b)
	}
}
