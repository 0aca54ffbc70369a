package benchmarks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/artifacts"
)

// maxPointBytes bounds the JSON of a point.
const maxPointBytes = 1 << 20

// toFloat accepts the forms that a number has after JSON, YAML or Go code.
func toFloat(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case int32:
		return float64(n), true
	case uint64:
		return float64(n), true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}

// sameValue compares two canonical values.
func sameValue(a, b any) bool {
	as, aList := a.([]string)
	bs, bList := b.([]string)
	if aList || bList {
		return aList && bList && slices.Equal(as, bs)
	}
	return a == b
}

// Normalize checks types and ranges, drops inactive parameters, fills missing
// active ones with their defaults and checks the constraints. Whole-number
// parameters accept any integral number. Every refusal wraps ErrBadCandidate
// and names the parameter or the constraint.
func (s Space) Normalize(p Point) (Point, error) {
	all := make(Point, len(s.Parameters))
	for _, q := range s.Parameters {
		v, given := p[q.Name]
		if !given {
			all[q.Name] = q.fallback()
			continue
		}
		c, err := q.value(v)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadCandidate, err)
		}
		all[q.Name] = c
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if _, known := all[name]; !known {
			return nil, fmt.Errorf("%w: unknown parameter %.80q", ErrBadCandidate, name)
		}
	}
	out := s.activeOnly(all)
	rules, err := s.compile()
	if err != nil {
		return nil, err
	}
	if err := rules.violated(out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCandidate, err)
	}
	return out, nil
}

// Canonical returns the point's one JSON form: sorted keys, shortest floats,
// whole numbers without an exponent, no spaces. It is nil for a value that no
// normalized point holds (NaN, say): nil matches nothing.
func (p Point) Canonical() json.RawMessage {
	clean := make(map[string]any, len(p))
	for name, v := range p {
		if f, ok := v.(float64); ok {
			v = f + 0 // −0 becomes 0
		}
		clean[name] = v
	}
	b, err := json.Marshal(clean) // sorts the keys
	if err != nil {
		return nil
	}
	return b
}

// Digest names the point: the digest of Canonical, or "" where that is nil.
func (p Point) Digest() artifacts.Digest {
	b := p.Canonical()
	if b == nil {
		return ""
	}
	return artifacts.DigestOf(b)
}

// Equal reports whether two normalized points are the same.
func (p Point) Equal(q Point) bool {
	return maps.EqualFunc(p, q, sameValue)
}

// Clone returns a copy that shares nothing with p.
func (p Point) Clone() Point {
	out := make(Point, len(p))
	for name, v := range p {
		if list, ok := v.([]string); ok {
			v = slices.Clone(list)
		}
		out[name] = v
	}
	return out
}

// DecodePoint reads one JSON object as a point of the space and normalizes it.
// It refuses duplicate and unknown names, trailing data and more than 1 MiB.
func DecodePoint(s Space, b []byte) (Point, error) {
	if len(b) > maxPointBytes {
		return nil, fmt.Errorf("point of %d bytes: at most %d: %w", len(b), maxPointBytes, ErrBadCandidate)
	}
	p, err := decodeObject(b)
	if err != nil {
		return nil, fmt.Errorf("point: %w: %w", ErrBadCandidate, err)
	}
	return s.Normalize(p)
}

// decodeObject differs from json.Unmarshal in refusing a name that comes
// twice: which value counts would be the reader's choice.
func decodeObject(b []byte) (Point, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	out := Point{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("name %v is not a string", tok)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%.80q is given twice", name)
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		out[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	return out, nil
}

// String is for people and logs.
func (p Point) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b.WriteByte(' ')
		}
		if f, ok := p[name].(float64); ok && !math.IsInf(f, 0) {
			fmt.Fprintf(&b, "%s=%.4g", name, f)
			continue
		}
		fmt.Fprintf(&b, "%s=%v", name, p[name])
	}
	return b.String()
}
