package catalog

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/arqon/arqon/artifacts"
)

func checkVariant(v *Variant, scanned bool) error {
	for _, n := range [...]struct{ field, value string }{{"name", v.Name}, {"domain", v.Domain}, {"type", v.Type}} {
		if err := checkName(n.value); err != nil {
			return within(n.field, err)
		}
	}
	if err := checkPoint(v.Point, scanned); err != nil {
		return within("point", err)
	}
	if len(v.Artifacts) > maxList {
		return refuse("artifacts", "%d, at most %d", len(v.Artifacts), maxList)
	}
	for i := range v.Artifacts {
		if err := checkRef(&v.Artifacts[i]); err != nil {
			return nth("artifacts", i, err)
		}
	}
	if err := checkKnobs(v.Knobs); err != nil {
		return within("knobs", err)
	}
	if len(v.Labels) > maxList {
		return refuse("labels", "%d, at most %d", len(v.Labels), maxList)
	}
	badLabel := func(k, text string) bool { return checkName(k) != nil || checkText(text) != nil }
	if k, ok := firstBad(v.Labels, badLabel); ok {
		return refuse("labels", "%.80q: want a plain name and text of at most %d bytes", k, maxTextBytes)
	}
	if err := checkDigest(v.Identity); err != nil {
		return within("identity", err)
	}
	if !isIdentity(v, scanned) {
		return refuse("identity", "%s is not the digest of domain, point and artifacts", v.Identity.Short())
	}
	return nil
}

func checkKnobs(knobs []Knob) error {
	if len(knobs) > maxList {
		return refuse("", "%d, at most %d", len(knobs), maxList)
	}
	seen := make(map[string]bool, len(knobs))
	for i := range knobs {
		k := &knobs[i]
		if err := checkKnob(k); err != nil {
			return nth("", i, err)
		}
		if seen[k.Name] {
			return nth("", i, refuse("name", "%q appears twice", k.Name))
		}
		seen[k.Name] = true
	}
	return nil
}

func checkKnob(k *Knob) error {
	if err := checkName(k.Name); err != nil {
		return within("name", err)
	}
	if err := checkText(k.Unit); err != nil {
		return within("unit", err)
	}
	b := k.Bounds
	if !finite(b.Min, b.Max, b.MaxDelta, k.Default) || b.Min > k.Default || k.Default > b.Max || b.MaxDelta <= 0 {
		return refuse("bounds", "want finite min ≤ default ≤ max and max_delta above 0")
	}
	return nil
}

func checkEnvelope(e *Envelope, contexts []string) error {
	if err := checkHardware(&e.Hardware); err != nil {
		return within("hardware", err)
	}
	if e.MemoryBytesMax < 0 {
		return refuse("memory_bytes_max", "%d is negative", e.MemoryBytesMax)
	}
	if err := checkNames(e.Contexts); err != nil {
		return within("contexts", err)
	}
	for i, c := range e.Contexts {
		if !contains(contexts, c) {
			return nth("contexts", i, refuse("", "%q: not one of the release's contexts", c))
		}
	}
	badLimit := func(m string, limit float64) bool { return checkName(m) != nil || !finite(limit) }
	if m, ok := firstBad(e.Limits, badLimit); ok {
		return refuse("limits", "%.80q: want a plain name and a finite number", m)
	}
	if len(e.FailureModes) > maxList || len(e.Limits) > maxList {
		return refuse("", "limits and failure modes: at most %d", maxList)
	}
	for i, s := range e.FailureModes {
		if err := checkText(s); err != nil {
			return nth("failure_modes", i, err)
		}
	}
	return nil
}

// firstBad returns the first bad key in ascending order. Keys are sorted only
// when one is bad: nearly always, none is.
func firstBad[V any](m map[string]V, bad func(string, V) bool) (string, bool) {
	for k, v := range m {
		if !bad(k, v) {
			continue
		}
		for _, first := range sortedKeys(m) {
			if bad(first, m[first]) {
				return first, true
			}
		}
	}
	return "", false
}

func checkHardware(h *Hardware) error {
	for _, n := range [...]struct{ field, value string }{{"os", h.OS}, {"arch", h.Arch}} {
		if n.value != "" {
			if err := checkName(n.value); err != nil {
				return within(n.field, err)
			}
		}
	}
	if err := checkNames(h.CPUFeatures); err != nil {
		return within("cpu_features", err)
	}
	if h.CoresMin < 0 {
		return refuse("cores_min", "%d is negative", h.CoresMin)
	}
	return nil
}

func checkCurves(curves []LatencyCurve) error {
	if len(curves) > maxList {
		return refuse("", "%d, at most %d", len(curves), maxList)
	}
	for i := range curves {
		c := &curves[i]
		if err := checkName(c.Context); err != nil {
			return nth("", i, within("context", err))
		}
		if !finite(c.P50NS, c.P99NS) || c.P50NS < 0 || c.P99NS < 0 || c.Samples < 0 {
			return nth("", i, refuse("", "want finite times and counts, 0 or more"))
		}
	}
	return nil
}

func checkExpectations(list []Expectation) error {
	if len(list) > maxList {
		return refuse("", "%d, at most %d", len(list), maxList)
	}
	for i := range list {
		if err := checkExpectation(&list[i]); err != nil {
			return nth("", i, err)
		}
	}
	return nil
}

func checkExpectation(x *Expectation) error {
	if err := checkName(x.Metric); err != nil {
		return within("metric", err)
	}
	if err := checkName(x.Context); err != nil {
		return within("context", err)
	}
	if err := checkText(x.Unit); err != nil {
		return within("unit", err)
	}
	if x.Direction != "lower" && x.Direction != "higher" {
		return refuse("direction", "%.40q: want lower or higher", x.Direction)
	}
	if x.Scale != "ratio" && x.Scale != "difference" {
		return refuse("scale", "%.40q: want ratio or difference", x.Scale)
	}
	if !finite(x.Baseline, x.Value, x.Change, x.Lower, x.Upper) || x.Lower > x.Upper {
		return refuse("", "want finite numbers and lower ≤ upper")
	}
	if !(x.Alpha >= 0 && x.Alpha < 1) {
		return refuse("alpha", "%v: want 0 ≤ alpha < 1", x.Alpha)
	}
	return nil
}

// checkGolden accepts what a host can ask and compare.
func checkGolden(list []Golden) error {
	if len(list) > maxGolden {
		return refuse("", "%d, at most %d", len(list), maxGolden)
	}
	for i := range list {
		g := &list[i]
		if err := checkName(g.Question); err != nil {
			return nth("", i, within("question", err))
		}
		for _, before := range list[:i] {
			if before.Question == g.Question {
				return nth("", i, refuse("question", "%q appears twice", g.Question))
			}
		}
		if g.Digest == "" && len(g.Values) == 0 {
			return nth("", i, refuse("", "has neither a digest nor values"))
		}
		if g.Digest != "" {
			if err := checkDigest(g.Digest); err != nil {
				return nth("", i, within("digest", err))
			}
		}
		if len(g.Values) > maxList || !finite(g.Values...) {
			return nth("", i, refuse("values", "want at most %d finite numbers", maxList))
		}
		if !(g.Tolerance >= 0 && g.Tolerance <= 1) || (g.Tolerance > 0 && len(g.Values) == 0) {
			return nth("", i, refuse("tolerance", "%v: want 0 to 1, and 0 without values", g.Tolerance))
		}
	}
	return nil
}

func checkRef(ref *artifacts.Ref) error {
	if ref.Name != "" {
		if err := checkName(ref.Name); err != nil {
			return within("name", err)
		}
	}
	if err := checkDigest(ref.Digest); err != nil {
		return within("digest", err)
	}
	if ref.Size < 0 || ref.Size > maxBlobBytes {
		return refuse("size", "%d: want 0 to %d bytes", ref.Size, int64(maxBlobBytes))
	}
	if err := checkText(ref.MediaType); err != nil {
		return within("media_type", err)
	}
	return nil
}

func checkDigest(d artifacts.Digest) error {
	if _, err := artifacts.ParseDigest(string(d)); err != nil {
		return refuse("", "%v", err)
	}
	return nil
}

func checkTime(t time.Time) error {
	_, offset := t.Zone()
	if offset != 0 || t.Nanosecond() != 0 || t.Year() < 2000 || t.Year() > 9999 {
		return refuse("", "%s: want UTC, whole seconds, year 2000 or later", t.Format(time.RFC3339Nano))
	}
	return nil
}

// fewNames are compared one with another; more of them need a map.
const fewNames = 16

func checkNames(names []string) error {
	if len(names) > maxList {
		return refuse("", "%d, at most %d", len(names), maxList)
	}
	var seen map[string]bool
	for i, n := range names {
		if err := checkName(n); err != nil {
			return nth("", i, err)
		}
		if seen[n] || (seen == nil && contains(names[:i], n)) {
			return nth("", i, refuse("", "%q appears twice", n))
		}
		if seen == nil && i == fewNames {
			seen = make(map[string]bool, len(names))
			for _, before := range names[:i] {
				seen[before] = true
			}
		}
		if seen != nil {
			seen[n] = true
		}
	}
	return nil
}

// checkName accepts what may become a label, a file name or a key: 1 to 200
// bytes of UTF-8 without separators, control characters or a leading dot.
func checkName(s string) error {
	if 0 < len(s) && len(s) <= maxNameBytes && s[0] != '.' && plainName(s) {
		return nil
	}
	if s == "" || len(s) > maxNameBytes || s[0] == '.' || strings.ContainsAny(s, `/\`) || !plain(s) {
		return refuse("", "%.80q: want 1 to %d bytes, no separators or control characters, no leading dot", s, maxNameBytes)
	}
	return nil
}

// plainName reports whether s is ASCII without separators and control
// characters, as nearly every name.
func plainName(s string) bool {
	for i := range len(s) {
		if !inName[s[i]] {
			return false
		}
	}
	return true
}

var inName = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '/' && c != '\\'
	}
	return t
}()

// checkText accepts one line for people, empty included.
func checkText(s string) error {
	if len(s) > maxTextBytes || !plain(s) {
		return refuse("", "%.80q: want at most %d bytes without control characters", s, maxTextBytes)
	}
	return nil
}

// plain reports whether s is valid UTF-8 without control or direction
// characters, which could make a page show something else than was signed.
func plain(s string) bool {
	i := 0
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return true // ASCII, as nearly always
	}
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' ||
			(r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069') {
			return false
		}
	}
	return true
}

// checkPoint accepts JSON without a repeated key; scanned says that it is.
func checkPoint(point json.RawMessage, scanned bool) error {
	if len(point) > maxPointBytes {
		return refuse("", "want JSON of at most %d bytes", maxPointBytes)
	}
	if scanned {
		return nil
	}
	if r := newScan(point); r.value(maxPointDepth) && r.end() {
		return nil // compact, and every key once
	}
	if !json.Valid(point) {
		return refuse("", "want JSON of at most %d bytes", maxPointBytes)
	}
	if key := repeatedKey(point); key != "" {
		return refuse(key, "key appears twice")
	}
	return nil
}

func finite(xs ...float64) bool {
	for _, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
