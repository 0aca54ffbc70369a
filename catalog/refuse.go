package catalog

import (
	"errors"
	"fmt"
	"strings"
)

// ErrManifest is wrapped by every refusal of a manifest or of a shard of it.
var ErrManifest = errors.New("manifest refused")

// refusal is one rule that does not hold, at a field. The path of the field is
// put together only when there is a refusal: most releases have none.
type refusal struct{ field, reason string }

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %s: %v", r.field, r.reason, ErrManifest)
}

func (r *refusal) Unwrap() error { return ErrManifest }

func refuse(field, format string, args ...any) error {
	return &refusal{field: field, reason: fmt.Sprintf(format, args...)}
}

// within puts the outer field before the path of err; nil stays nil.
func within(field string, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	path := field
	switch {
	case r.field == "":
	case strings.HasPrefix(r.field, "["):
		path += r.field
	default:
		path += "." + r.field
	}
	return &refusal{field: path, reason: r.reason}
}

// nth is within for the i-th of a list.
func nth(list string, i int, err error) error {
	if err == nil {
		return nil
	}
	return within(fmt.Sprintf("%s[%d]", list, i), err)
}
