package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/arqon/arqon/artifacts"
)

// Limits of a manifest, besides MaxManifestBytes.
const (
	maxEntries    = 200_000
	maxTombstones = 1_000_000
	maxList       = 4096      // of any other list
	maxNameBytes  = 200       // of a name
	maxTextBytes  = 4096      // of a sentence for people
	maxPointBytes = 64 << 10  // of a point
	maxBlobBytes  = 16 << 30  // of one artifact
	maxYears      = 5         // between Created and Expires
	maxTicks      = 1_000_000 // of policy counts
)

// Channels lists the channels that a repository may have. A channel carries
// the scope of its own name and no other: what is in prod was approved for
// prod, and nothing in staging claims to be.
func Channels() []string {
	return []string{string(ScopeProd), string(ScopeStaging), string(ScopeCanary)}
}

// Check returns an error wrapping ErrManifest that names the first field of
// the release that breaks a rule.
func Check(r *Release) error {
	if r.Schema != ManifestSchema {
		return refuse("schema", "%.80q: this version reads %q", r.Schema, ManifestSchema)
	}
	scope := Scope(r.Channel)
	if scope.Rank() == 0 {
		return refuse("channel", "%.80q: want one of %v", r.Channel, Channels())
	}
	if err := checkHeader(r); err != nil {
		return err
	}
	if err := checkPolicy(&r.Policy, r.Contexts); err != nil {
		return err
	}
	c := checker{scope: scope, release: r, ids: map[VariantID]bool{}, identities: map[artifacts.Digest]VariantID{}}
	for i := range r.Entries {
		if i > 0 && r.Entries[i].ID < r.Entries[i-1].ID {
			return refuse(fmt.Sprintf("entries[%d].id", i), "%d: want ascending ids", r.Entries[i].ID)
		}
		if err := c.claim(fmt.Sprintf("entries[%d]", i), r.Entries[i].ID, r.Entries[i].Variant.Identity); err != nil {
			return err
		}
	}
	for i := range r.Entries {
		if err := c.entry(fmt.Sprintf("entries[%d]", i), &r.Entries[i]); err != nil {
			return err
		}
	}
	return c.rest()
}

func checkHeader(r *Release) error {
	if err := checkName("domain", r.Domain); err != nil {
		return err
	}
	switch {
	case r.Sequence == 0:
		return refuse("sequence", "0: the first release is 1")
	case r.Sequence == 1 && r.Previous != "":
		return refuse("previous", "the first release has none")
	case r.NextID == 0:
		return refuse("next_id", "0 is the built-in's id")
	case r.RuntimeMin < 1:
		return refuse("runtime_abi_min", "%d: want 1 or more", r.RuntimeMin)
	case len(r.Entries) > maxEntries:
		return refuse("entries", "%d, at most %d", len(r.Entries), maxEntries)
	case len(r.Tombstones) > maxTombstones:
		return refuse("tombstones", "%d, at most %d", len(r.Tombstones), maxTombstones)
	}
	if r.Sequence > 1 {
		if err := checkDigest("previous", r.Previous); err != nil {
			return err
		}
	}
	if err := checkTime("created", r.Created); err != nil {
		return err
	}
	if err := checkTime("expires", r.Expires); err != nil {
		return err
	}
	if !r.Expires.After(r.Created) || r.Expires.After(r.Created.AddDate(maxYears, 0, 0)) {
		return refuse("expires", "%s: want after created %s and within %d years",
			r.Expires.Format(time.RFC3339), r.Created.Format(time.RFC3339), maxYears)
	}
	return checkNames("contexts", r.Contexts)
}

func checkPolicy(p *Policy, contexts []string) error {
	if len(p.Guardrails) > maxList {
		return refuse("policy.guardrails", "%d, at most %d", len(p.Guardrails), maxList)
	}
	for i, g := range p.Guardrails {
		at := fmt.Sprintf("policy.guardrails[%d]", i)
		if err := checkName(at+".metric", g.Metric); err != nil {
			return err
		}
		if g.Context != "" && !contains(contexts, g.Context) {
			return refuse(at+".context", "%.80q: not one of the release's contexts", g.Context)
		}
		if g.Min == nil && g.Max == nil {
			return refuse(at, "has neither min nor max")
		}
		if (g.Min != nil && !finite(*g.Min)) || (g.Max != nil && !finite(*g.Max)) ||
			(g.Min != nil && g.Max != nil && *g.Min > *g.Max) {
			return refuse(at, "want finite min ≤ max")
		}
	}
	for _, c := range []struct {
		field string
		value int
	}{{"max_experiments", p.MaxExperiments}, {"cool_down_ticks", p.CoolDownTicks}, {"window_requests", p.WindowRequests}} {
		if c.value < 0 || c.value > maxTicks {
			return refuse("policy."+c.field, "%d: want 0 to %d", c.value, maxTicks)
		}
	}
	return nil
}

// checker holds what the rules between entries need.
type checker struct {
	scope      Scope
	release    *Release
	ids        map[VariantID]bool // true: an entry, false: a tombstone
	identities map[artifacts.Digest]VariantID
}

// claim notes that id stands for identity: once, below next_id, not 0.
func (c *checker) claim(at string, id VariantID, identity artifacts.Digest) error {
	if id == BuiltIn {
		return refuse(at+".id", "0 is the built-in's id")
	}
	if id >= c.release.NextID {
		return refuse(at+".id", "%d: want below next_id %d", id, c.release.NextID)
	}
	if _, ok := c.ids[id]; ok {
		return refuse(at+".id", "%d appears twice", id)
	}
	if other, ok := c.identities[identity]; ok {
		return refuse(at+".identity", "ids %d and %d are the same variant", other, id)
	}
	c.ids[id], c.identities[identity] = true, id
	return nil
}

func (c *checker) entry(at string, e *Entry) error {
	if err := checkVariant(at+".variant", &e.Variant); err != nil {
		return err
	}
	if e.Variant.Domain != c.release.Domain {
		return refuse(at+".variant.domain", "%.80q in a release of %q", e.Variant.Domain, c.release.Domain)
	}
	if e.Scope != c.scope {
		return refuse(at+".scope", "%.40q in channel %s: want %s", e.Scope, c.release.Channel, c.scope)
	}
	if err := checkEnvelope(at+".envelope", &e.Envelope, c.release.Contexts); err != nil {
		return err
	}
	if err := checkCurves(at+".curves", e.Curves); err != nil {
		return err
	}
	if err := checkExpectations(at+".expectations", e.Expectations); err != nil {
		return err
	}
	if err := c.evidence(at+".evidence", e.Evidence); err != nil {
		return err
	}
	if e.Fallback != BuiltIn && (!c.ids[e.Fallback] || e.Fallback == e.ID) {
		return refuse(at+".fallback", "%d: want 0 or another entry's id", e.Fallback)
	}
	return nil
}

func (c *checker) evidence(at string, list []Evidence) error {
	if len(list) == 0 && c.scope != ScopeCanary {
		return refuse(at, "scope %s needs at least one", c.scope)
	}
	if len(list) > maxList {
		return refuse(at, "%d, at most %d", len(list), maxList)
	}
	for i := range list {
		if err := checkName(fmt.Sprintf("%s[%d].gate", at, i), list[i].Gate); err != nil {
			return err
		}
		if err := checkRef(fmt.Sprintf("%s[%d].ref", at, i), &list[i].Ref); err != nil {
			return err
		}
	}
	return nil
}

// rest checks the tombstones and what points at entries.
func (c *checker) rest() error {
	r := c.release
	if len(r.Entries) > 0 || r.Baseline != BuiltIn {
		if !c.ids[r.Baseline] {
			return refuse("baseline", "%d is not an entry", r.Baseline)
		}
	}
	for i, t := range r.Tombstones {
		at := fmt.Sprintf("tombstones[%d]", i)
		if err := checkDigest(at+".identity", t.Identity); err != nil {
			return err
		}
		if err := checkText(at+".reason", t.Reason); err != nil {
			return err
		}
		if err := c.claim(at, t.ID, t.Identity); err != nil {
			return err
		}
	}
	return nil
}

func checkVariant(at string, v *Variant) error {
	for _, n := range []struct{ field, value string }{{"name", v.Name}, {"domain", v.Domain}, {"type", v.Type}} {
		if err := checkName(at+"."+n.field, n.value); err != nil {
			return err
		}
	}
	if len(v.Point) > maxPointBytes || !json.Valid(v.Point) {
		return refuse(at+".point", "want JSON of at most %d bytes", maxPointBytes)
	}
	if key := repeatedKey(v.Point); key != "" {
		return refuse(at+".point."+key, "key appears twice")
	}
	if len(v.Artifacts) > maxList {
		return refuse(at+".artifacts", "%d, at most %d", len(v.Artifacts), maxList)
	}
	for i := range v.Artifacts {
		if err := checkRef(fmt.Sprintf("%s.artifacts[%d]", at, i), &v.Artifacts[i]); err != nil {
			return err
		}
	}
	if err := checkKnobs(at+".knobs", v.Knobs); err != nil {
		return err
	}
	if len(v.Labels) > maxList {
		return refuse(at+".labels", "%d, at most %d", len(v.Labels), maxList)
	}
	for _, k := range sortedKeys(v.Labels) {
		if checkName("", k) != nil || checkText("", v.Labels[k]) != nil {
			return refuse(at+".labels", "%.80q: want a plain name and text of at most %d bytes", k, maxTextBytes)
		}
	}
	if err := checkDigest(at+".identity", v.Identity); err != nil {
		return err
	}
	if v.Identity != IdentityOf(*v) {
		return refuse(at+".identity", "%s is not the digest of domain, point and artifacts", v.Identity.Short())
	}
	return nil
}

func checkKnobs(at string, knobs []Knob) error {
	if len(knobs) > maxList {
		return refuse(at, "%d, at most %d", len(knobs), maxList)
	}
	seen := map[string]bool{}
	for i, k := range knobs {
		at := fmt.Sprintf("%s[%d]", at, i)
		if err := checkName(at+".name", k.Name); err != nil {
			return err
		}
		if err := checkText(at+".unit", k.Unit); err != nil {
			return err
		}
		if seen[k.Name] {
			return refuse(at+".name", "%q appears twice", k.Name)
		}
		seen[k.Name] = true
		b := k.Bounds
		if !finite(b.Min, b.Max, b.MaxDelta, k.Default) || b.Min > k.Default || k.Default > b.Max || b.MaxDelta <= 0 {
			return refuse(at+".bounds", "want finite min ≤ default ≤ max and max_delta above 0")
		}
	}
	return nil
}

func checkEnvelope(at string, e *Envelope, contexts []string) error {
	h := e.Hardware
	for _, n := range []struct{ field, value string }{{"os", h.OS}, {"arch", h.Arch}} {
		if n.value != "" {
			if err := checkName(at+".hardware."+n.field, n.value); err != nil {
				return err
			}
		}
	}
	if err := checkNames(at+".hardware.cpu_features", h.CPUFeatures); err != nil {
		return err
	}
	if h.CoresMin < 0 {
		return refuse(at+".hardware.cores_min", "%d is negative", h.CoresMin)
	}
	if e.MemoryBytesMax < 0 {
		return refuse(at+".memory_bytes_max", "%d is negative", e.MemoryBytesMax)
	}
	if err := checkNames(at+".contexts", e.Contexts); err != nil {
		return err
	}
	for i, c := range e.Contexts {
		if !contains(contexts, c) {
			return refuse(fmt.Sprintf("%s.contexts[%d]", at, i), "%q: not one of the release's contexts", c)
		}
	}
	for _, m := range sortedKeys(e.Limits) {
		if checkName("", m) != nil || !finite(e.Limits[m]) {
			return refuse(at+".limits", "%.80q: want a plain name and a finite number", m)
		}
	}
	if len(e.FailureModes) > maxList || len(e.Limits) > maxList {
		return refuse(at, "limits and failure modes: at most %d", maxList)
	}
	for i, s := range e.FailureModes {
		if err := checkText(fmt.Sprintf("%s.failure_modes[%d]", at, i), s); err != nil {
			return err
		}
	}
	return nil
}

func checkCurves(at string, curves []LatencyCurve) error {
	if len(curves) > maxList {
		return refuse(at, "%d, at most %d", len(curves), maxList)
	}
	for i, c := range curves {
		at := fmt.Sprintf("%s[%d]", at, i)
		if err := checkName(at+".context", c.Context); err != nil {
			return err
		}
		if !finite(c.P50NS, c.P99NS) || c.P50NS < 0 || c.P99NS < 0 || c.Samples < 0 {
			return refuse(at, "want finite times and counts, 0 or more")
		}
	}
	return nil
}

func checkExpectations(at string, list []Expectation) error {
	if len(list) > maxList {
		return refuse(at, "%d, at most %d", len(list), maxList)
	}
	for i, x := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		for _, n := range []struct{ field, value string }{{"metric", x.Metric}, {"context", x.Context}} {
			if err := checkName(at+"."+n.field, n.value); err != nil {
				return err
			}
		}
		if err := checkText(at+".unit", x.Unit); err != nil {
			return err
		}
		if x.Direction != "lower" && x.Direction != "higher" {
			return refuse(at+".direction", "%.40q: want lower or higher", x.Direction)
		}
		if x.Scale != "ratio" && x.Scale != "difference" {
			return refuse(at+".scale", "%.40q: want ratio or difference", x.Scale)
		}
		if !finite(x.Baseline, x.Value, x.Change, x.Lower, x.Upper) || x.Lower > x.Upper {
			return refuse(at, "want finite numbers and lower ≤ upper")
		}
		if !(x.Alpha >= 0 && x.Alpha < 1) {
			return refuse(at+".alpha", "%v: want 0 ≤ alpha < 1", x.Alpha)
		}
	}
	return nil
}

func checkRef(at string, ref *artifacts.Ref) error {
	if ref.Name != "" {
		if err := checkName(at+".name", ref.Name); err != nil {
			return err
		}
	}
	if err := checkDigest(at+".digest", ref.Digest); err != nil {
		return err
	}
	if ref.Size < 0 || ref.Size > maxBlobBytes {
		return refuse(at+".size", "%d: want 0 to %d bytes", ref.Size, int64(maxBlobBytes))
	}
	return checkText(at+".media_type", ref.MediaType)
}

func checkDigest(at string, d artifacts.Digest) error {
	if _, err := artifacts.ParseDigest(string(d)); err != nil {
		return refuse(at, "%v", err)
	}
	return nil
}

func checkTime(at string, t time.Time) error {
	_, offset := t.Zone()
	if offset != 0 || t.Nanosecond() != 0 || t.Year() < 2000 || t.Year() > 9999 {
		return refuse(at, "%s: want UTC, whole seconds, year 2000 or later", t.Format(time.RFC3339Nano))
	}
	return nil
}

func checkNames(at string, names []string) error {
	if len(names) > maxList {
		return refuse(at, "%d, at most %d", len(names), maxList)
	}
	seen := map[string]bool{}
	for i, n := range names {
		if err := checkName(fmt.Sprintf("%s[%d]", at, i), n); err != nil {
			return err
		}
		if seen[n] {
			return refuse(fmt.Sprintf("%s[%d]", at, i), "%q appears twice", n)
		}
		seen[n] = true
	}
	return nil
}

// checkName accepts what may become a label, a file name or a key: 1 to 200
// bytes of UTF-8 without separators, control characters or a leading dot.
func checkName(at, s string) error {
	if s == "" || len(s) > maxNameBytes || s[0] == '.' || strings.ContainsAny(s, `/\`) || !plain(s) {
		return refuse(at, "%.80q: want 1 to %d bytes, no separators or control characters, no leading dot", s, maxNameBytes)
	}
	return nil
}

// checkText accepts one line for people, empty included.
func checkText(at, s string) error {
	if len(s) > maxTextBytes || !plain(s) {
		return refuse(at, "%.80q: want at most %d bytes without control characters", s, maxTextBytes)
	}
	return nil
}

// plain reports whether s is valid UTF-8 without control or direction
// characters, which could make a page show something else than was signed.
func plain(s string) bool {
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

func finite(xs ...float64) bool {
	for _, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
