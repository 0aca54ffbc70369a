package runtime

import (
	"math"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Snapshot is one immutable state of everything a request needs: which
// variant serves each class, the shares of canaries, the knobs, and the staged
// variants. Take one with Runtime.Load and use it for the whole request.
type Snapshot struct {
	generation uint64
	release    uint64
	checksum   uint64
	route      []uint32    // incumbent by class
	canary     []canaryArm // by class
	knobs      []float64   // by KnobID
	table      *table
	kill       *Snapshot // what the kill switch stores; nil: this is it
	routesSum  uint64    // of route and canary, which generations share
	knobsSum   uint64
}

// canaryArm sends a share of a class's keys to a second variant.
type canaryArm struct {
	below   uint64 // hashes below it go to the variant; 0: none
	salt    uint64 // another experiment picks other keys
	variant uint32
	all     bool // share 1
}

// table holds the staged variants of a release. It is immutable.
type table struct {
	slot    []int32 // by VariantID; −1: not staged
	handles []any
	builtIn any

	identity map[catalog.VariantID]artifacts.Digest // of what is staged, for the next release
}

func (t *table) handle(id catalog.VariantID) any {
	if uint(id) < uint(len(t.slot)) {
		if i := t.slot[id]; i >= 0 {
			return t.handles[i]
		}
	}
	return t.builtIn
}

// Select returns the variant that serves the class: an index. A class that
// does not exist is served by the built-in fallback.
func (s *Snapshot) Select(c Class) catalog.VariantID {
	if int(c) < len(s.route) {
		return catalog.VariantID(s.route[c])
	}
	return catalog.BuiltIn
}

// Route is Select with the canary's share: requests with the same key go the
// same way while a share lasts, and a growing share keeps the keys it had.
func (s *Snapshot) Route(c Class, key uint64) catalog.VariantID {
	if int(c) >= len(s.route) {
		return catalog.BuiltIn
	}
	a := &s.canary[c]
	if a.below != 0 && (a.all || mix(key^a.salt) < a.below) {
		return catalog.VariantID(a.variant)
	}
	return catalog.VariantID(s.route[c])
}

// Handle returns what Config.Stage made of the variant, or the built-in
// fallback for an id that is not staged.
func (s *Snapshot) Handle(id catalog.VariantID) any { return s.table.handle(id) }

// Knob returns a knob's value, 0 for one that does not exist.
func (s *Snapshot) Knob(k KnobID) float64 {
	if int(k) < len(s.knobs) {
		return s.knobs[k]
	}
	return 0
}

// Candidate returns the variant that a canary or a staged experiment of the
// class serves a share of, and the share.
func (s *Snapshot) Candidate(c Class) (catalog.VariantID, float64) {
	if int(c) >= len(s.canary) || s.canary[c].below == 0 {
		return catalog.BuiltIn, 0
	}
	a := s.canary[c]
	if a.all {
		return catalog.VariantID(a.variant), 1
	}
	return catalog.VariantID(a.variant), float64(a.below) / (1 << 64)
}

// Shadow returns a variant that should be tried beside the one that serves: the
// host gives it a copy of some requests, records what it measures under the
// variant's id, and throws its answers away. It is BuiltIn where there is none.
func (s *Snapshot) Shadow(c Class) catalog.VariantID {
	if int(c) >= len(s.canary) || s.canary[c].below != 0 {
		return catalog.BuiltIn
	}
	return catalog.VariantID(s.canary[c].variant)
}

// Generation counts published snapshots, from 1.
func (s *Snapshot) Generation() uint64 { return s.generation }

// Release is the sequence of the release that the snapshot serves.
func (s *Snapshot) Release() uint64 { return s.release }

// Classes is the number of classes.
func (s *Snapshot) Classes() int { return len(s.route) }

// Intact recomputes the checksum: false would mean that somebody changed a
// published snapshot or that a reader saw half of one.
func (s *Snapshot) Intact() bool {
	return s.checksum == checksum(s.generation, s.release, sumRoutes(s.route, s.canary), sumKnobs(s.knobs))
}

func checksum(generation, release, routes, knobs uint64) uint64 {
	return mix(mix(mix(generation)^mix(release+1)^routes) ^ knobs)
}

func sumRoutes(route []uint32, canary []canaryArm) (h uint64) {
	for i, r := range route {
		c := &canary[i]
		h = mix(mix(mix(h^(uint64(r)<<32|uint64(c.variant)))^c.below) ^ c.salt)
	}
	return h
}

func sumKnobs(knobs []float64) (h uint64) {
	for _, k := range knobs {
		h = mix(h ^ math.Float64bits(k))
	}
	return h
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// arm makes the routing of a share of a class.
func arm(variant catalog.VariantID, share float64, salt uint64) canaryArm {
	if !(share > 0) {
		return canaryArm{}
	}
	if share >= 1 {
		return canaryArm{below: math.MaxUint64, variant: uint32(variant), salt: salt, all: true}
	}
	return canaryArm{below: max(uint64(share*(1<<64)), 1), variant: uint32(variant), salt: salt}
}
