package catalog

import (
	"encoding/json"
	"slices"

	"github.com/arqon/arqon/artifacts"
)

// The short way through a shard: one method a type, its fields in the order in
// which encoding/json writes them. TestScanKnowsEveryField and FuzzDecodeShard
// hold it against encoding/json.

// room is where the elements of a list gather until their number is known. The
// next list of their type uses it again; none holds another of its own type.
type room struct {
	refs         []artifacts.Ref
	names        []string
	knobs        []Knob
	curves       []LatencyCurve
	expectations []Expectation
	evidence     []Evidence
	waivers      []Waived
	golden       []Golden
	values       []float64
}

// shard reads a whole shard, appending to the lists of s.
func (r *scan) shard(s *shard) bool {
	if !r.lit(`{"schema":`) || !r.string(&s.Schema) || !r.lit(`,"entries":`) || !r.list(func() bool {
		s.Entries = append(s.Entries, Entry{})
		return r.entry(&s.Entries[len(s.Entries)-1])
	}) {
		return false
	}
	return r.lit(`,"tombstones":`) && r.list(func() bool {
		s.Tombstones = append(s.Tombstones, Tombstone{})
		return r.tombstone(&s.Tombstones[len(s.Tombstones)-1])
	}) && r.lit(`}`) && r.end()
}

func (r *scan) tombstone(t *Tombstone) bool {
	return r.lit(`{"id":`) && r.id(&t.ID) &&
		r.lit(`,"identity":`) && r.string((*string)(&t.Identity)) &&
		r.lit(`,"reason":`) && r.string(&t.Reason) && r.lit(`}`)
}

func (r *scan) entry(e *Entry) bool {
	return r.lit(`{"id":`) && r.id(&e.ID) &&
		r.lit(`,"variant":`) && r.variant(&e.Variant) &&
		r.lit(`,"envelope":`) && r.envelope(&e.Envelope) &&
		r.lit(`,"curves":`) && listOf(r, &r.room.curves, (*scan).curve, &e.Curves) &&
		r.lit(`,"expectations":`) && listOf(r, &r.room.expectations, (*scan).expectation, &e.Expectations) &&
		r.lit(`,"scope":`) && r.string((*string)(&e.Scope)) &&
		r.lit(`,"evidence":`) && listOf(r, &r.room.evidence, (*scan).evidence, &e.Evidence) &&
		(!r.lit(`,"waivers":`) || listOf(r, &r.room.waivers, (*scan).waived, &e.Waivers) && len(e.Waivers) > 0) &&
		r.lit(`,"fallback":`) && r.id(&e.Fallback) &&
		(!r.lit(`,"reference":`) || r.yes(&e.Reference)) &&
		(!r.lit(`,"golden":`) || listOf(r, &r.room.golden, (*scan).golden, &e.Golden) && len(e.Golden) > 0) &&
		r.lit(`}`)
}

func (r *scan) variant(v *Variant) bool {
	return r.lit(`{"name":`) && r.string(&v.Name) &&
		r.lit(`,"domain":`) && r.string(&v.Domain) &&
		r.lit(`,"type":`) && r.string(&v.Type) &&
		r.lit(`,"point":`) && r.raw(&v.Point) &&
		r.lit(`,"artifacts":`) && listOf(r, &r.room.refs, (*scan).ref, &v.Artifacts) &&
		(!r.lit(`,"knobs":`) || listOf(r, &r.room.knobs, (*scan).knob, &v.Knobs) && len(v.Knobs) > 0) &&
		r.lit(`,"identity":`) && r.string((*string)(&v.Identity)) &&
		r.lit(`,"seed":`) && r.uint(&v.Seed) &&
		(!r.lit(`,"labels":`) || mapOf(r, (*scan).string, &v.Labels) && len(v.Labels) > 0) &&
		r.lit(`}`)
}

func (r *scan) ref(f *artifacts.Ref) bool {
	return r.lit(`{`) &&
		(!r.lit(`"name":`) || r.string(&f.Name) && f.Name != "" && r.lit(`,`)) &&
		r.lit(`"digest":`) && r.string((*string)(&f.Digest)) &&
		r.lit(`,"size":`) && r.integer(&f.Size) &&
		(!r.lit(`,"media_type":`) || r.string(&f.MediaType) && f.MediaType != "") &&
		r.lit(`}`)
}

func (r *scan) knob(k *Knob) bool {
	return r.lit(`{"name":`) && r.string(&k.Name) &&
		(!r.lit(`,"unit":`) || r.string(&k.Unit) && k.Unit != "") &&
		r.lit(`,"default":`) && r.float(&k.Default) &&
		r.lit(`,"bounds":{"min":`) && r.float(&k.Bounds.Min) &&
		r.lit(`,"max":`) && r.float(&k.Bounds.Max) &&
		r.lit(`,"max_delta":`) && r.float(&k.Bounds.MaxDelta) && r.lit(`}}`)
}

func (r *scan) envelope(e *Envelope) bool {
	return r.lit(`{"hardware":`) && r.hardware(&e.Hardware) &&
		r.lit(`,"memory_bytes_max":`) && r.integer(&e.MemoryBytesMax) &&
		r.lit(`,"contexts":`) && listOf(r, &r.room.names, (*scan).string, &e.Contexts) &&
		(!r.lit(`,"limits":`) || mapOf(r, (*scan).float, &e.Limits) && len(e.Limits) > 0) &&
		(!r.lit(`,"failure_modes":`) || listOf(r, &r.room.names, (*scan).string, &e.FailureModes) && len(e.FailureModes) > 0) &&
		r.lit(`}`)
}

// hardware has no field that must be there, so any may be the first.
func (r *scan) hardware(h *Hardware) bool {
	more := false
	next := func(key string) bool {
		before := r.i
		if (!more || r.lit(`,`)) && r.lit(key) {
			more = true
			return true
		}
		r.i = before
		return false
	}
	return r.lit(`{`) &&
		(!next(`"os":`) || r.string(&h.OS) && h.OS != "") &&
		(!next(`"arch":`) || r.string(&h.Arch) && h.Arch != "") &&
		(!next(`"cpu_features":`) || listOf(r, &r.room.names, (*scan).string, &h.CPUFeatures) && len(h.CPUFeatures) > 0) &&
		(!next(`"cores_min":`) || r.int(&h.CoresMin) && h.CoresMin != 0) &&
		r.lit(`}`)
}

func (r *scan) curve(c *LatencyCurve) bool {
	return r.lit(`{"context":`) && r.string(&c.Context) &&
		r.lit(`,"p50_ns":`) && r.float(&c.P50NS) &&
		r.lit(`,"p99_ns":`) && r.float(&c.P99NS) &&
		r.lit(`,"samples":`) && r.int(&c.Samples) && r.lit(`}`)
}

func (r *scan) expectation(x *Expectation) bool {
	return r.lit(`{"metric":`) && r.string(&x.Metric) &&
		r.lit(`,"context":`) && r.string(&x.Context) &&
		r.lit(`,"unit":`) && r.string(&x.Unit) &&
		r.lit(`,"direction":`) && r.string(&x.Direction) &&
		r.lit(`,"scale":`) && r.string(&x.Scale) &&
		r.lit(`,"baseline":`) && r.float(&x.Baseline) &&
		r.lit(`,"value":`) && r.float(&x.Value) &&
		r.lit(`,"change":`) && r.float(&x.Change) &&
		r.lit(`,"lower":`) && r.float(&x.Lower) &&
		r.lit(`,"upper":`) && r.float(&x.Upper) &&
		r.lit(`,"alpha":`) && r.float(&x.Alpha) &&
		(!r.lit(`,"exact":`) || r.yes(&x.Exact)) &&
		r.lit(`}`)
}

func (r *scan) evidence(e *Evidence) bool {
	return r.lit(`{"gate":`) && r.string(&e.Gate) && r.lit(`,"ref":`) && r.ref(&e.Ref) && r.lit(`}`)
}

func (r *scan) golden(g *Golden) bool {
	return r.lit(`{"question":`) && r.string(&g.Question) &&
		(!r.lit(`,"digest":`) || r.string((*string)(&g.Digest)) && g.Digest != "") &&
		(!r.lit(`,"values":`) || listOf(r, &r.room.values, (*scan).float, &g.Values) && len(g.Values) > 0) &&
		(!r.lit(`,"tolerance":`) || r.float(&g.Tolerance) && g.Tolerance != 0) &&
		r.lit(`}`)
}

func (r *scan) waived(w *Waived) bool {
	return r.lit(`{"waiver":`) && r.waiver(&w.Waiver) && r.lit(`,"file":`) && r.ref(&w.File) && r.lit(`}`)
}

func (r *scan) waiver(w *Waiver) bool {
	return r.lit(`{"study":`) && r.string(&w.Study) &&
		r.lit(`,"context":`) && r.string(&w.Context) &&
		r.lit(`,"metric":`) && r.string(&w.Metric) &&
		(!r.lit(`,"tolerance":`) || r.pointer(&w.Tolerance)) &&
		(!r.lit(`,"limit":`) || r.pointer(&w.Limit)) &&
		r.lit(`,"reason":`) && r.string(&w.Reason) &&
		r.lit(`,"created":`) && r.time(&w.Created) &&
		r.lit(`,"expires":`) && r.time(&w.Expires) && r.lit(`}`)
}

func (r *scan) string(s *string) (ok bool) {
	*s, ok = r.text()
	return ok
}

// yes reads the only value that a bool has which is left out otherwise.
func (r *scan) yes(b *bool) bool {
	*b = r.lit(`true`)
	return *b
}

func (r *scan) pointer(f **float64) bool {
	*f = new(float64)
	return r.float(*f)
}

// raw reads a value that is kept as it is written.
func (r *scan) raw(b *json.RawMessage) bool {
	from := r.i
	if !r.value(maxPointDepth) {
		return false
	}
	*b = []byte(r.s[from:r.i])
	return true
}

// listOf reads a list, which is never null.
func listOf[T any](r *scan, room *[]T, one func(*scan, *T) bool, out *[]T) bool {
	if r.lit(`[]`) {
		*out = []T{}
		return true
	}
	if !r.lit(`[`) {
		return false
	}
	*room = (*room)[:0]
	for {
		var zero T
		*room = append(*room, zero)
		if !one(r, &(*room)[len(*room)-1]) {
			return false
		}
		if r.lit(`,`) {
			continue
		}
		*out = slices.Clone(*room)
		return r.lit(`]`)
	}
}

// mapOf reads an object with ascending keys, so that none repeats.
func mapOf[V any](r *scan, one func(*scan, *V) bool, out *map[string]V) bool {
	m := map[string]V{}
	last := ""
	if !r.lit(`{`) {
		return false
	}
	for !r.lit(`}`) {
		if len(m) > 0 && !r.lit(`,`) {
			return false
		}
		key, ok := r.text()
		if !ok || (len(m) > 0 && key <= last) || !r.lit(`:`) {
			return false
		}
		var v V
		if !one(r, &v) {
			return false
		}
		m[key], last = v, key
	}
	*out = m
	return true
}
