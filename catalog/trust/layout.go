package trust

import (
	"fmt"
	"strings"

	"github.com/arqon/arqon/artifacts"
)

// The layout of a repository, as catalog/publish writes it.
const (
	TimestampName = "metadata/timestamp.json"

	maxRootBytes      = 1 << 20
	maxTimestampBytes = 64 << 10
	maxRoleBytes      = 4 << 20
	maxBundleBytes    = 64 << 20
	maxYankBytes      = 16 << 20
	maxRoots          = 1024    // versions walked in one refresh
	maxVersionJump    = 1 << 20 // of a version above its floor: more is a fast-forward
)

// The delegated roles; the channels' roles carry the channels' names.
const (
	RoleYank   = "yank"
	YankTarget = "yank/yank.json"
	YankSchema = "arqon-yank/1"
)

// MetadataName is where version n of a role's metadata lives; roles are root,
// targets, snapshot, yank and the channels.
func MetadataName(role string, n int64) string { return fmt.Sprintf("metadata/%d.%s.json", n, role) }

// ManifestTarget is the TUF target path of a channel's manifest.
func ManifestTarget(channel string) string { return "catalog/" + channel + "/catalog.json" }

// TargetName is where the bytes of a TUF target live: consistent snapshots put
// the digest before the last part of the path.
func TargetName(target string, d artifacts.Digest) string {
	i := strings.LastIndexByte(target, '/') + 1
	return "targets/" + target[:i] + d.Hex() + "." + target[i:]
}

// EvidenceName is where an evidence file lives: signed bundles apart, anything
// else (raw pairs, say) among the blobs.
func EvidenceName(ref artifacts.Ref) string {
	if ref.MediaType == BundleMediaType {
		return "evidence/sha256/" + ref.Digest.Hex() + ".sigstore.json"
	}
	return artifacts.BlobName(ref.Digest)
}

// ApprovalName is where the approval bundle of one key for one manifest lives.
func ApprovalName(manifest artifacts.Digest, keyID string) string {
	return "approvals/" + manifest.Hex() + "/" + keyID + ".sigstore.json"
}
