package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
)

// checkKey accepts one kind of key, under its own id: ECDSA on P-256. A key
// listed under another id could be counted twice.
func checkKey(file, id string, key *metadata.Key) (*ecdsa.PublicKey, error) {
	if key == nil || key.Type != metadata.KeyTypeECDSA_SHA2_P256 || key.Scheme != metadata.KeySchemeECDSA_SHA2_P256 {
		return nil, refuse(BadRole, file, "key %.12s: not an ECDSA P-256 key", id)
	}
	fresh := metadata.Key{Type: key.Type, Scheme: key.Scheme, Value: key.Value, UnrecognizedFields: key.UnrecognizedFields}
	if own, err := fresh.ID(); err != nil || own != id {
		return nil, refuse(BadRole, file, "key %.12s: listed under an id that is not its own", id)
	}
	public, err := key.ToPublicKey()
	if err != nil {
		return nil, refuse(BadRole, file, "key %.12s: %v", id, err)
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, refuse(BadRole, file, "key %.12s: not on curve P-256", id)
	}
	return ec, nil
}

// checkRole refuses a role that could be satisfied by fewer people than it
// says: a threshold below 1, a key twice or unknown, more signatures asked
// for than there are keys.
func checkRole(file, role string, keyIDs []string, threshold int, keys map[string]*metadata.Key) error {
	if threshold < 1 || threshold > len(keyIDs) {
		return refuse(BadRole, file, "role %s: threshold %d of %d keys", role, threshold, len(keyIDs))
	}
	for i, id := range keyIDs {
		if slices.Contains(keyIDs[:i], id) {
			return refuse(BadRole, file, "role %s: key %.12s is listed twice", role, id)
		}
		if _, err := checkKey(file, id, keys[id]); err != nil {
			return err
		}
	}
	return nil
}

func checkRoot(file string, root *metadata.Metadata[metadata.RootType]) error {
	if !root.Signed.ConsistentSnapshot {
		return refuse(BadRole, file, "consistent snapshots are switched off")
	}
	for _, name := range metadata.TOP_LEVEL_ROLE_NAMES {
		role := root.Signed.Roles[name]
		if role == nil {
			return refuse(BadRole, file, "role %s is missing", name)
		}
		if err := checkRole(file, name, role.KeyIDs, role.Threshold, root.Signed.Keys); err != nil {
			return err
		}
	}
	return nil
}

func checkDelegations(file string, targets *metadata.Metadata[metadata.TargetsType]) error {
	d := targets.Signed.Delegations
	if d == nil || d.SuccinctRoles != nil {
		return refuse(BadRole, file, "no plain delegations")
	}
	for i, role := range d.Roles {
		if slices.ContainsFunc(d.Roles[:i], func(r metadata.DelegatedRole) bool { return r.Name == role.Name }) {
			return refuse(BadRole, file, "role %s is delegated twice", role.Name)
		}
		if want := rolePath(role.Name); want == "" || !slices.Equal(role.Paths, []string{want}) || !role.Terminating {
			return refuse(BadRole, file, "role %.40q: want one of the known roles, terminating, with its own path", role.Name)
		}
		if err := checkRole(file, role.Name, role.KeyIDs, role.Threshold, d.Keys); err != nil {
			return err
		}
	}
	return nil
}

// verifySignatures is stricter than a threshold: every signature of the file
// must come from one of the keys, once, and verify.
func verifySignatures(file string, signed any, signatures []metadata.Signature, keys map[string]*metadata.Key, allowed []string) error {
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		return refuse(Malformed, file, "%v", err)
	}
	for i, s := range signatures {
		if slices.ContainsFunc(signatures[:i], func(o metadata.Signature) bool { return o.KeyID == s.KeyID }) {
			return refuse(BadSignature, file, "key %.12s signs twice", s.KeyID)
		}
		if !slices.Contains(allowed, s.KeyID) {
			return refuse(BadSignature, file, "signature of key %.12s, which has no part in this role", s.KeyID)
		}
		public, err := checkKey(file, s.KeyID, keys[s.KeyID])
		if err != nil {
			return err
		}
		if !verify(public, payload, s.Signature) {
			return refuse(BadSignature, file, "the signature of key %.12s does not verify", s.KeyID)
		}
	}
	return nil
}

// verify checks an ECDSA P-256 signature (ASN.1) over SHA-256 of the message.
func verify(public *ecdsa.PublicKey, message, sig []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(public, sum[:], sig)
}

// promisedFile reads the version of a role's metadata that another file
// promises, by one of walk's ways to read, in its one form.
func promisedFile[T metadata.Roles](
	ctx context.Context, read func(context.Context, string, artifacts.Ref) ([]byte, error), role string, meta *metadata.MetaFiles, empty *metadata.Metadata[T],
) (name string, b []byte, m *metadata.Metadata[T], err error) {
	name = MetadataName(role, meta.Version)
	if b, err = read(ctx, name, metaRef(meta)); err != nil {
		return name, nil, nil, err
	}
	m, err = decodeExact(name, b, empty)
	return name, b, m, err
}

// decodeExact decodes a metadata file and refuses every spelling but the one
// that encodes to the same bytes: repeated keys, white space, unsorted keys.
func decodeExact[T metadata.Roles](file string, b []byte, empty *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	m, err := empty.FromBytes(b)
	if err != nil {
		return nil, refuse(Malformed, file, "%v", err)
	}
	again, err := m.ToBytes(false)
	if err != nil {
		return nil, refuse(Malformed, file, "%v", err)
	}
	if !bytes.Equal(b, again) {
		return nil, refuse(Malformed, file, "not in canonical form from byte %d on", firstDifference(b, again))
	}
	return m, nil
}

func firstDifference(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// rolePath is the one path pattern that a delegated role may sign for.
func rolePath(role string) string {
	if role == RoleYank {
		return "yank/*"
	}
	if isChannel(role) {
		return fmt.Sprintf("catalog/%s/*", role)
	}
	return ""
}
