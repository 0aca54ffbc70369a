package artifacts

import (
	"fmt"
	"io/fs"
	"strings"
)

const (
	maxNameBytes = 512 // a whole object name
	maxPartBytes = 200 // one part between slashes; leaves room for a temporary suffix
)

// CheckName refuses every object name that is not relative, clean and plain:
// no empty, "." or ".." parts, no part that starts with a dot (stores keep
// their own files there), no backslash, colon or control character. What is
// left is safe as a path on every system and as an object key.
func CheckName(name string) error {
	if len(name) > maxNameBytes {
		return fmt.Errorf("object name %.40q…: longer than %d bytes", name, maxNameBytes)
	}
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("object name %.80q: want a clean relative path with slashes", name)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || r == '\\' || r == ':' {
			return fmt.Errorf("object name %.80q: %q is not allowed", name, r)
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' {
			return fmt.Errorf("object name %.80q: a part may not start with a dot", name)
		}
		if len(part) > maxPartBytes {
			return fmt.Errorf("object name %.80q: a part is longer than %d bytes", name, maxPartBytes)
		}
	}
	return nil
}

// checkPrefix accepts what List accepts: "" or the beginning of a name.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckName(strings.TrimSuffix(prefix, "/"))
}
