package catalog

import (
	"time"

	"github.com/arqon/arqon/artifacts"
)

// Limits of a manifest, besides MaxManifestBytes.
const (
	maxEntries    = 200_000
	maxTombstones = 1_000_000
	maxList       = 4096      // of any other list
	maxNameBytes  = 200       // of a name
	maxTextBytes  = 4096      // of a sentence for people
	maxGolden     = 64        // questions an entry
	maxPointBytes = 64 << 10  // of a point
	maxPointDepth = 64        // of objects and lists in a point that is read the short way
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
func Check(r *Release) error { return check(r, false) }

// check is Check; scanned says that every point is known to be compact JSON of
// plain strings, without a repeated key.
func check(r *Release, scanned bool) error {
	if err := checkHead(r); err != nil {
		return err
	}
	n := len(r.Entries) + len(r.Tombstones)
	c := checker{scope: Scope(r.Channel), release: r, scanned: scanned, ids: make(map[VariantID]bool, n), identities: make(map[artifacts.Digest]VariantID, n)}
	for i := range r.Entries {
		if i > 0 && r.Entries[i].ID < r.Entries[i-1].ID {
			return nth("entries", i, refuse("id", "%d: want ascending ids", r.Entries[i].ID))
		}
		if err := c.claim(r.Entries[i].ID, r.Entries[i].Variant.Identity); err != nil {
			return nth("entries", i, err)
		}
	}
	for i := range r.Entries {
		if err := c.entry(&r.Entries[i]); err != nil {
			return nth("entries", i, err)
		}
	}
	return c.rest()
}

// checkHead checks what the entries have no part in.
func checkHead(r *Release) error {
	if r.Schema != ManifestSchema {
		return refuse("schema", "%.80q: this version reads %q", r.Schema, ManifestSchema)
	}
	if Scope(r.Channel).Rank() == 0 {
		return refuse("channel", "%.80q: want one of %v", r.Channel, Channels())
	}
	if err := checkHeader(r); err != nil {
		return err
	}
	return checkPolicy(&r.Policy, r.Contexts)
}

func checkHeader(r *Release) error {
	if err := checkName(r.Domain); err != nil {
		return within("domain", err)
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
		if err := checkDigest(r.Previous); err != nil {
			return within("previous", err)
		}
	}
	if err := checkTime(r.Created); err != nil {
		return within("created", err)
	}
	if err := checkTime(r.Expires); err != nil {
		return within("expires", err)
	}
	if !r.Expires.After(r.Created) || r.Expires.After(r.Created.AddDate(maxYears, 0, 0)) {
		return refuse("expires", "%s: want after created %s and within %d years",
			r.Expires.Format(time.RFC3339), r.Created.Format(time.RFC3339), maxYears)
	}
	return within("contexts", checkNames(r.Contexts))
}

func checkPolicy(p *Policy, contexts []string) error {
	if len(p.Guardrails) > maxList {
		return refuse("policy.guardrails", "%d, at most %d", len(p.Guardrails), maxList)
	}
	for i, g := range p.Guardrails {
		if err := checkGuardrail(&g, contexts); err != nil {
			return nth("policy.guardrails", i, err)
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

func checkGuardrail(g *Guardrail, contexts []string) error {
	if err := checkName(g.Metric); err != nil {
		return within("metric", err)
	}
	if g.Context != "" && !contains(contexts, g.Context) {
		return refuse("context", "%.80q: not one of the release's contexts", g.Context)
	}
	if g.Min == nil && g.Max == nil {
		return refuse("", "has neither min nor max")
	}
	if (g.Min != nil && !finite(*g.Min)) || (g.Max != nil && !finite(*g.Max)) ||
		(g.Min != nil && g.Max != nil && *g.Min > *g.Max) {
		return refuse("", "want finite min ≤ max")
	}
	return nil
}

// checker holds what the rules between entries need.
type checker struct {
	scope      Scope
	release    *Release
	scanned    bool
	ids        map[VariantID]bool // true: an entry, false: a tombstone
	identities map[artifacts.Digest]VariantID
}

// claim notes that id stands for identity: once, below next_id, not 0.
func (c *checker) claim(id VariantID, identity artifacts.Digest) error {
	if id == BuiltIn {
		return refuse("id", "0 is the built-in's id")
	}
	if id >= c.release.NextID {
		return refuse("id", "%d: want below next_id %d", id, c.release.NextID)
	}
	if _, ok := c.ids[id]; ok {
		return refuse("id", "%d appears twice", id)
	}
	if other, ok := c.identities[identity]; ok {
		return refuse("identity", "ids %d and %d are the same variant", other, id)
	}
	c.ids[id], c.identities[identity] = true, id
	return nil
}

func (c *checker) entry(e *Entry) error {
	if err := checkVariant(&e.Variant, c.scanned); err != nil {
		return within("variant", err)
	}
	if e.Variant.Domain != c.release.Domain {
		return refuse("variant.domain", "%.80q in a release of %q", e.Variant.Domain, c.release.Domain)
	}
	if e.Scope != c.scope {
		return refuse("scope", "%.40q in channel %s: want %s", e.Scope, c.release.Channel, c.scope)
	}
	if err := checkEnvelope(&e.Envelope, c.release.Contexts); err != nil {
		return within("envelope", err)
	}
	if err := checkCurves(e.Curves); err != nil {
		return within("curves", err)
	}
	if err := checkExpectations(e.Expectations); err != nil {
		return within("expectations", err)
	}
	if err := c.evidence(e.Evidence); err != nil {
		return within("evidence", err)
	}
	if err := checkWaived(e); err != nil {
		return within("waivers", err)
	}
	if err := checkGolden(e.Golden); err != nil {
		return within("golden", err)
	}
	if e.Fallback != BuiltIn && (!c.ids[e.Fallback] || e.Fallback == e.ID) {
		return refuse("fallback", "%d: want 0 or another entry's id", e.Fallback)
	}
	return nil
}

func (c *checker) evidence(list []Evidence) error {
	if len(list) == 0 && c.scope != ScopeCanary {
		return refuse("", "scope %s needs at least one", c.scope)
	}
	if len(list) > maxList {
		return refuse("", "%d, at most %d", len(list), maxList)
	}
	for i := range list {
		if err := checkName(list[i].Gate); err != nil {
			return nth("", i, within("gate", err))
		}
		if err := checkRef(&list[i].Ref); err != nil {
			return nth("", i, within("ref", err))
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
		if i > 0 && t.ID < r.Tombstones[i-1].ID {
			return nth("tombstones", i, refuse("id", "%d: want ascending ids", t.ID))
		}
		if err := checkTombstone(&t); err != nil {
			return nth("tombstones", i, err)
		}
		if err := c.claim(t.ID, t.Identity); err != nil {
			return nth("tombstones", i, err)
		}
	}
	return nil
}

func checkTombstone(t *Tombstone) error {
	if err := checkDigest(t.Identity); err != nil {
		return within("identity", err)
	}
	if err := checkText(t.Reason); err != nil {
		return within("reason", err)
	}
	return nil
}
