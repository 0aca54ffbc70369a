// Package catalog is the narrow waist of Arqon: the words that the offline
// side writes and the runtime reads.
//
// It has no type for an unapproved thing: an [Entry] comes out of a verdict,
// a [Release] holds entries, and a [Verified] release is made only by
// catalog/trust. Nothing here searches, signs, fetches or decides; only the
// standard library and the digest words of artifacts are imported.
package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// VariantID names a variant for ever. 0 is the fallback built into the host;
// every other id is allocated once by a publish and never reused.
type VariantID uint32

// BuiltIn is the fallback that every host carries and that cannot be yanked.
const BuiltIn VariantID = 0

// Scope is how far an entry may go. The zero Scope goes nowhere.
type Scope string

// The scopes, narrow to wide. Canary needs the first four gates, Staging the
// canary gate as well, Prod a signed approval on top.
const (
	ScopeCanary  Scope = "canary"
	ScopeStaging Scope = "staging"
	ScopeProd    Scope = "prod"
)

// Rank orders scopes from narrow (1) to wide (3); 0 is not a scope.
func (s Scope) Rank() int {
	switch s {
	case ScopeCanary:
		return 1
	case ScopeStaging:
		return 2
	case ScopeProd:
		return 3
	}
	return 0
}

// Bounds limit a knob: absolute limits and the largest step of one update,
// all in the knob's unit. Min ≤ Max, 0 < MaxDelta.
type Bounds struct {
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
	MaxDelta float64 `json:"max_delta"`
}

// Knob is one number that the runtime may move while it serves.
type Knob struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit,omitempty"`
	Default float64 `json:"default"`
	Bounds  Bounds  `json:"bounds"`
}

// Variant is one pre-built way to run a system: a point of its domain's space
// and the artifacts built from it.
type Variant struct {
	Name      string            `json:"name"`   // for people: "burst-3f2a09c1"
	Domain    string            `json:"domain"` // the domain whose loader opens it
	Type      string            `json:"type"`   // "quantization", "early-exit", "adapter", …
	Point     json.RawMessage   `json:"point"`  // canonical JSON: the knobs it was built from
	Artifacts []artifacts.Ref   `json:"artifacts"`
	Knobs     []Knob            `json:"knobs,omitempty"`  // what may move online
	Identity  artifacts.Digest  `json:"identity"`         // IdentityOf(the variant)
	Seed      uint64            `json:"seed"`             // the seed it was built with
	Labels    map[string]string `json:"labels,omitempty"` // lineage for people: engine, run, trial
}

// identity is what makes two variants the same one.
type identity struct {
	Domain    string             `json:"domain"`
	Point     json.RawMessage    `json:"point"`
	Artifacts []artifacts.Digest `json:"artifacts"`
}

// IdentityOf returns the digest of the variant's domain, point and artifact
// digests. Same identity, same id; an id whose identity changes is an attack.
func IdentityOf(v Variant) artifacts.Digest {
	if b, ok := plainIdentity(nil, &v, false); ok {
		return artifacts.DigestOf(b)
	}
	id := identity{Domain: v.Domain, Point: v.Point, Artifacts: []artifacts.Digest{}}
	for _, a := range v.Artifacts {
		id.Artifacts = append(id.Artifacts, a.Digest)
	}
	b, err := json.Marshal(id)
	if err != nil {
		return "" // the point is not JSON: the zero digest matches nothing
	}
	return artifacts.DigestOf(b)
}

// isIdentity reports whether the variant's identity, which is a digest, is
// IdentityOf(it); scanned says that the point is known to be compact JSON of
// plain strings.
func isIdentity(v *Variant, scanned bool) bool {
	var room [512]byte
	b, ok := plainIdentity(room[:0], v, scanned)
	if !ok {
		return v.Identity == IdentityOf(*v)
	}
	sum := sha256.Sum256(b)
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return v.Identity.Hex() == string(digits[:])
}

// plainIdentity appends the JSON of an identity in which nothing needs an
// escape to b; false for any other.
func plainIdentity(b []byte, v *Variant, scanned bool) ([]byte, bool) {
	if !plainText(v.Domain) {
		return nil, false
	}
	if !scanned {
		if r := newScan(v.Point); !r.value(maxPointDepth) || !r.end() {
			return nil, false
		}
	}
	b = append(append(append(b, `{"domain":"`...), v.Domain...), `","point":`...)
	b = append(append(b, v.Point...), `,"artifacts":[`...)
	for i, a := range v.Artifacts {
		if !plainText(string(a.Digest)) {
			return nil, false
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), a.Digest...), '"')
	}
	return append(b, `]}`...), true
}

// Hardware is the least a host must have. Zero fields ask for nothing.
type Hardware struct {
	OS          string   `json:"os,omitempty"`
	Arch        string   `json:"arch,omitempty"`
	CPUFeatures []string `json:"cpu_features,omitempty"`
	CoresMin    int      `json:"cores_min,omitempty"`
}

// Lacks is the first of the features that a host does not offer, "" if it offers
// all. What a host offers may end in "*": it then offers every feature that
// begins like that, because it does not use what the feature is about.
func Lacks(features, offered []string) string {
	has := func(f string) bool {
		for _, o := range offered {
			prefix, any := strings.CutSuffix(o, "*")
			if o == f || any && strings.HasPrefix(f, prefix) {
				return true
			}
		}
		return false
	}
	for _, f := range features {
		if !has(f) {
			return f
		}
	}
	return ""
}

// Envelope says where a variant is known to be safe.
type Envelope struct {
	Hardware       Hardware           `json:"hardware"`
	MemoryBytesMax int64              `json:"memory_bytes_max"` // 0: not limited
	Contexts       []string           `json:"contexts"`         // the classes it may serve
	Limits         map[string]float64 `json:"limits,omitempty"` // metric → absolute limit that it was held to
	FailureModes   []string           `json:"failure_modes,omitempty"`
}

// LatencyCurve is what one request costs in one context, in nanoseconds.
type LatencyCurve struct {
	Context string  `json:"context"`
	P50NS   float64 `json:"p50_ns"`
	P99NS   float64 `json:"p99_ns"`
	Samples int     `json:"samples"`
}

// Expectation is what a metric was shown to be in one context, as a
// confidence interval at 1−Alpha that holds at the moment the gate stopped.
type Expectation struct {
	Metric    string  `json:"metric"`
	Context   string  `json:"context"`
	Unit      string  `json:"unit"`
	Direction string  `json:"direction"` // "lower" or "higher" is better
	Scale     string  `json:"scale"`     // "ratio" or "difference": how Change is meant
	Baseline  float64 `json:"baseline"`  // the baseline's value
	Value     float64 `json:"value"`     // the variant's value
	Change    float64 `json:"change"`    // variant against baseline, e.g. −.42 = 42 % lower
	Lower     float64 `json:"lower"`     // interval of Change
	Upper     float64 `json:"upper"`
	Alpha     float64 `json:"alpha"`
	Exact     bool    `json:"exact,omitempty"` // deterministic: the interval is a point
}

// Evidence points at a signed statement about an entry.
type Evidence struct {
	Gate string        `json:"gate"` // which gate it speaks for, or "report"
	Ref  artifacts.Ref `json:"ref"`
}

// Golden is a question with the answer that the variant gave when it was
// built. A host asks it again before the variant may serve: bytes that are what
// was signed and answer otherwise were broken before they were signed, or are
// broken by this machine.
type Golden struct {
	// Question is the domain's own name of a small input. Everything that the
	// input is made of follows from it.
	Question string `json:"question"`
	// Digest is of the answer's bytes, where they are the same on every
	// machine. An answer has a digest, or Values, or both.
	Digest artifacts.Digest `json:"digest,omitempty"`
	// Values are the answer's numbers. One that is got may differ from the one
	// that is wanted by Tolerance·max(1, |wanted|).
	Values    []float64 `json:"values,omitempty"`
	Tolerance float64   `json:"tolerance,omitempty"`
}

// Entry is one approved variant of a release.
type Entry struct {
	ID           VariantID      `json:"id"`
	Variant      Variant        `json:"variant"`
	Envelope     Envelope       `json:"envelope"`
	Curves       []LatencyCurve `json:"curves"`
	Expectations []Expectation  `json:"expectations"`
	Scope        Scope          `json:"scope"`
	Evidence     []Evidence     `json:"evidence"`
	Waivers      []Waived       `json:"waivers,omitempty"` // that it was judged under
	Fallback     VariantID      `json:"fallback"`
	Reference    bool           `json:"reference,omitempty"` // the baseline itself: approved as not worse, not as better
	Golden       []Golden       `json:"golden,omitempty"`    // what a host asks before it serves the entry
}

// Serves reports whether the envelope names the context.
func (e Entry) Serves(context string) bool {
	for _, c := range e.Envelope.Contexts {
		if c == context {
			return true
		}
	}
	return false
}

// Tombstone keeps the id of a variant that left the catalog.
type Tombstone struct {
	ID       VariantID        `json:"id"`
	Identity artifacts.Digest `json:"identity"`
	Reason   string           `json:"reason"`
}

// Guardrail is a limit that an online window of a context must respect.
type Guardrail struct {
	Metric  string   `json:"metric"`
	Context string   `json:"context"` // "" = every context
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
}

// Policy is what the runtime's executor may not change: it comes signed.
type Policy struct {
	Guardrails     []Guardrail `json:"guardrails"`
	MaxExperiments int         `json:"max_experiments"` // at once, a context
	CoolDownTicks  int         `json:"cool_down_ticks"` // after a rollback
	WindowRequests int         `json:"window_requests"` // requests before a guardrail judges
}

// Release is one manifest of one channel.
type Release struct {
	Schema     string           `json:"schema"`
	Channel    string           `json:"channel"`
	Domain     string           `json:"domain"`
	Sequence   uint64           `json:"sequence"` // 1, 2, 3, … a channel
	Previous   artifacts.Digest `json:"previous"` // manifest of Sequence−1; empty for 1
	Created    time.Time        `json:"created"`
	Expires    time.Time        `json:"expires"`
	NextID     VariantID        `json:"next_id"`
	RuntimeMin int              `json:"runtime_abi_min"`
	Contexts   []string         `json:"contexts"` // classes, in the order of the class index
	Baseline   VariantID        `json:"baseline"`
	Policy     Policy           `json:"policy"`
	Entries    []Entry          `json:"entries"`
	Tombstones []Tombstone      `json:"tombstones"`
}

// Entry finds an entry by id.
func (r *Release) Entry(id VariantID) (Entry, bool) {
	for _, e := range r.Entries {
		if e.ID == id {
			return e, true
		}
	}
	return Entry{}, false
}

// ManifestSchema is the only schema that this version reads and writes.
const ManifestSchema = "arqon-catalog/2"

// RuntimeABI is what this version's runtime offers; a release that asks for
// more is refused.
const RuntimeABI = 1
