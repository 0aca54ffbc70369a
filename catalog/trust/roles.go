package trust

import (
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
)

// checkRoleTargets accepts exactly one target: the one that the role is for.
func checkRoleTargets(name, role string, m *metadata.Metadata[metadata.TargetsType]) error {
	target := YankTarget
	if isChannel(role) {
		target = ManifestTarget(role)
	}
	f := m.Signed.Targets[target]
	if f == nil || len(m.Signed.Targets) != 1 {
		return refuse(WrongChannel, name, "want exactly the target %s", target)
	}
	if m.Signed.Delegations != nil {
		return refuse(BadRole, name, "role %s may not delegate", role)
	}
	if len(f.Hashes) != 1 || len(f.Hashes["sha256"]) != 32 || f.Length <= 0 {
		return refuse(Malformed, name, "target %s: want a length and a sha256 hash", target)
	}
	return nil
}

// checkMeta refuses what go-tuf would trip over or believe without a check:
// missing lengths, other hashes than sha256, names that are not roles.
func checkMeta(name string, meta map[string]*metadata.MetaFiles, allowed func(role string) bool) error {
	for _, file := range slices.Sorted(maps.Keys(meta)) {
		m := meta[file]
		role, ok := strings.CutSuffix(file, ".json")
		known := role == RoleYank || isChannel(role) || slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role)
		if !ok || !known || !allowed(role) {
			return refuse(Malformed, name, "names %.80q, which does not belong there", file)
		}
		if m == nil || m.Version < 1 || m.Length < 1 || m.Length > maxRoleBytes || len(m.Hashes) != 1 || len(m.Hashes["sha256"]) != 32 {
			return refuse(Malformed, name, "%s: want a version, a length and a sha256 hash", file)
		}
	}
	return nil
}

func metaRef(m *metadata.MetaFiles) artifacts.Ref {
	return artifacts.Ref{Digest: artifacts.Digest("sha256:" + m.Hashes["sha256"].String()), Size: m.Length}
}
