package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxManifestBytes bounds a manifest, written or read.
const MaxManifestBytes = 64 << 20

// ErrManifest is wrapped by every refusal of a manifest.
var ErrManifest = errors.New("manifest refused")

func refuse(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), ErrManifest)
}

// EncodeManifest returns the one byte string that stands for the release:
// compact JSON with the fields in the order of the type, lists never null,
// times in UTC with whole seconds. The release is checked as by Check.
func EncodeManifest(r Release) ([]byte, error) {
	r = normal(r)
	if err := Check(&r); err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, refuse("manifest", "%v", err)
	}
	if len(b) > MaxManifestBytes {
		return nil, refuse("manifest", "%d bytes, at most %d", len(b), MaxManifestBytes)
	}
	return b, nil
}

// DecodeManifest accepts exactly what EncodeManifest writes and refuses every
// other spelling of it: unknown, missing, repeated or reordered fields, white
// space, other number or string forms, data after the end. The error wraps
// ErrManifest and names the field.
func DecodeManifest(b []byte) (Release, error) {
	if len(b) > MaxManifestBytes {
		return Release{}, refuse("manifest", "%d bytes, at most %d", len(b), MaxManifestBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var r Release
	if err := dec.Decode(&r); err != nil {
		return Release{}, refuse(fieldOf(err), "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Release{}, refuse("manifest", "data after the end")
	}
	if err := Check(&r); err != nil {
		return Release{}, err
	}
	again, err := json.Marshal(r)
	if err != nil {
		return Release{}, refuse("manifest", "%v", err)
	}
	if !bytes.Equal(b, again) {
		return Release{}, notCanonical(b, again)
	}
	return r, nil
}

// fieldOf names the field that a decoding error is about.
func fieldOf(err error) string {
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		return typed.Field
	}
	return "manifest"
}

// notCanonical says why b is not the canonical form: a repeated key by its
// path, anything else by the offset at which the two differ.
func notCanonical(b, canonical []byte) error {
	if path := repeatedKey(b); path != "" {
		return refuse(path, "key appears twice")
	}
	i := 0
	for i < len(b) && i < len(canonical) && b[i] == canonical[i] {
		i++
	}
	return refuse("manifest", "not the canonical form from byte %d on, near %q", i, near(b, i))
}

func near(b []byte, i int) []byte { return b[max(0, i-20):min(len(b), i+20)] }

// repeatedKey returns the path of the first object key that appears twice in
// the JSON text b, or "". b must be valid JSON.
func repeatedKey(b []byte) string {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return repeatedIn(dec, "")
}

func repeatedIn(dec *json.Decoder, path string) string {
	tok, err := dec.Token()
	if err != nil {
		return ""
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return ""
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if open == '{' {
			tok, err := dec.Token()
			key, isKey := tok.(string)
			if err != nil || !isKey {
				return ""
			}
			at = strings.TrimPrefix(path+"."+key, ".")
			if seen[key] {
				return at
			}
			seen[key] = true
		}
		if found := repeatedIn(dec, at); found != "" {
			return found
		}
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return ""
	}
	return ""
}

// normal returns r with every list that is always written made non-nil and
// its times in UTC. Maps and lists of r itself are not changed.
func normal(r Release) Release {
	r.Created, r.Expires = whole(r.Created), whole(r.Expires)
	r.Contexts = list(r.Contexts)
	r.Policy.Guardrails = list(r.Policy.Guardrails)
	r.Tombstones = list(r.Tombstones)
	entries := make([]Entry, len(r.Entries))
	for i, e := range r.Entries {
		e.Variant.Artifacts = list(e.Variant.Artifacts)
		e.Envelope.Contexts = list(e.Envelope.Contexts)
		e.Curves = list(e.Curves)
		e.Expectations = list(e.Expectations)
		e.Evidence = list(e.Evidence)
		entries[i] = e
	}
	r.Entries = entries
	return r
}

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
