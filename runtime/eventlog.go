package runtime

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/catalog"
)

// The kinds of record in an event log. Inputs are what the executor was given,
// outputs what it did; Replay feeds the first and compares the second.
const (
	recordOpen       uint16 = 1 + iota // input: seed and the view of the first release (JSON)
	recordRelease                      // input: the view of a release that is about to be adopted (JSON)
	recordAdopted                      // output: it is in force
	recordProposal                     // input
	recordDecision                     // output; the intent of a forward change
	recordApplied                      // output: the intent is in force
	recordWindow                       // input
	recordTransition                   // output
	recordCommand                      // input: widen, promote, rollback, snapback, pause, resume, kill, revive
	recordAdapt                        // input: how Tier 2 is configured, and its state where one is resumed (JSON)
	recordStep                         // output: what Tier 2 chose, with propensities, and proposed on the last window
)

// LogPurpose is what the header of a ledger that holds an event log says.
const LogPurpose = "arqon runtime events/3"

// ErrShared is wrapped by the failure of a log that somebody else appends to.
var ErrShared = errors.New("another executor writes this event log")

// ErrRecord is wrapped by errors about records that cannot be decoded.
var ErrRecord = errors.New("event record is not well formed")

type logRecord struct {
	kind    uint16
	payload []byte
}

// queue holds records one behind the other in memory that is used again.
type queue struct {
	kinds []uint16
	ends  []int // of the payloads
	bytes []byte
}

func (q *queue) add(kind uint16, encode func([]byte) []byte) {
	q.bytes = encode(q.bytes)
	q.kinds, q.ends = append(q.kinds, kind), append(q.ends, len(q.bytes))
}

// empty forgets the records, and memory that a release took and no cycle needs.
func (q *queue) empty() {
	if cap(q.bytes) > queueBytesMax {
		q.bytes = nil
	}
	q.kinds, q.ends, q.bytes = q.kinds[:0], q.ends[:0], q.bytes[:0]
}

// write appends the records of x.writes. Under logMu.
func (x *Executor) write() error {
	start := 0
	for i, end := range x.writes.ends {
		if err := x.append(x.writes.kinds[i], x.writes.bytes[start:end:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// append writes one record, which must follow this executor's last one: records
// of two in one file could be replayed as neither's.
func (x *Executor) append(kind uint16, payload []byte) error {
	seq, err := x.log.Append(kind, payload)
	switch {
	case err != nil:
		return err
	case x.written && seq != x.last+1:
		return fmt.Errorf("record %d follows %d: %w", seq, x.last, ErrShared)
	}
	x.last, x.written = seq, true
	return nil
}

const queueBytesMax = 1 << 20

// enqueue keeps a record in machine order until drain writes it. Locked.
func (x *Executor) enqueue(kind uint16, encode func([]byte) []byte) {
	if x.log == nil || x.frozen != nil {
		return
	}
	x.queue.add(kind, encode)
}

// drain writes what is queued; with sync it returns after everything queued
// before the call is durable. Any error freezes adaptation: the baseline
// serves, nothing is retried, and the error is returned ever after.
func (x *Executor) drain(sync bool) error {
	if x.log == nil {
		return nil
	}
	x.logMu.Lock()
	defer x.logMu.Unlock()
	x.writes.empty()
	x.mu.Lock()
	x.queue, x.writes = x.writes, x.queue
	err := x.frozen
	x.mu.Unlock()
	if err == nil {
		err = x.write()
	}
	if err == nil && sync {
		err = x.log.Sync()
	}
	if err == nil {
		return nil
	}
	return x.freeze(err)
}

// freeze puts the baseline in force for good.
func (x *Executor) freeze(err error) error {
	x.rt.Kill(ReasonLogFailed)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.frozen == nil {
		x.frozen = err
		x.queue.empty()
	}
	x.noticeKill()
	return fmt.Errorf("%w: %w", ErrFrozen, x.frozen)
}

// Sync makes everything logged so far durable; ErrNoLog without a log.
func (x *Executor) Sync() error {
	if x.log == nil {
		return ErrNoLog
	}
	x.mu.Lock()
	x.noticeKill()
	x.mu.Unlock()
	return x.drain(true)
}

// opened logs what a replay starts from.
func (x *Executor) opened() error {
	if x.log == nil {
		return nil
	}
	err := x.append(recordOpen, opening{Seed: uint64(x.rt.cfg.Seed), View: x.m.view}.encode(nil))
	if err == nil {
		err = x.log.Sync()
	}
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	return nil
}

type opening struct {
	Seed uint64 `json:"seed"`
	View *view  `json:"view"`
}

func (o opening) encode(b []byte) []byte { return appendJSON(b, o) }

func (v *view) encode(b []byte) []byte { return appendJSON(b, v) }

func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		return b // only a non-finite number could do this, and newView refuses them
	}
	return append(b, j...)
}

func decodeJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if d.More() {
		return fmt.Errorf("%w: bytes after the record", ErrRecord)
	}
	return nil
}

type verb uint8

const (
	verbWiden verb = 1 + iota
	verbPromote
	verbRollback
	verbSnapback
	verbPause
	verbResume
	verbKill
	verbRevive
	verbCount
)

var verbNames = [...]string{"none", "widen", "promote", "rollback", "snapback", "pause", "resume", "kill", "revive"}

func (v verb) String() string { return nameOf(verbNames[:], int(v), "verb") }

// command is an input that is neither a proposal nor a window.
type command struct {
	Verb   verb
	Class  Class
	Reason Reason
	Tick   Tick
	Share  float64
}

type adopted struct {
	Sequence   uint64
	Generation uint64
}

// Fixed layouts, little-endian, in field order: u8 enumerations, u16 classes,
// knobs and metrics, u32 variants and counts, u64 ticks, generations and
// seeds, float64 as their bits. A record has exactly the bytes of its fields.

var le = binary.LittleEndian

func appendFloat(b []byte, x float64) []byte { return le.AppendUint64(b, math.Float64bits(x)) }

func (a adopted) encode(b []byte) []byte {
	return le.AppendUint64(le.AppendUint64(b, a.Sequence), a.Generation)
}

func (c command) encode(b []byte) []byte {
	b = append(b, byte(c.Verb))
	b = le.AppendUint16(b, uint16(c.Class))
	b = append(b, byte(c.Reason))
	b = le.AppendUint64(b, uint64(c.Tick))
	return appendFloat(b, c.Share)
}

func (p Proposal) encode(b []byte) []byte {
	b = slices.Grow(b, 39+10*len(p.Knobs))
	b = le.AppendUint64(b, uint64(p.Tick))
	b = le.AppendUint64(b, p.Base)
	b = le.AppendUint16(b, uint16(p.Class))
	b = le.AppendUint32(b, uint32(p.Variant))
	b = append(b, byte(p.Ramp))
	b = le.AppendUint64(b, p.Seed)
	b = le.AppendUint32(b, uint32(len(p.Knobs)))
	for _, k := range p.Knobs {
		b = le.AppendUint16(b, uint16(k.Knob))
		b = appendFloat(b, k.Delta)
	}
	return b
}

func (d Decision) encode(b []byte) []byte {
	b = slices.Grow(b, 32+11*len(d.Knobs))
	b = le.AppendUint64(b, d.Generation)
	b = le.AppendUint16(b, uint16(d.Class))
	b = le.AppendUint32(b, uint32(d.Variant))
	b = append(b, byte(d.Outcome), byte(d.Reason))
	b = appendFloat(b, d.Share)
	b = le.AppendUint32(b, uint32(len(d.Knobs)))
	for _, k := range d.Knobs {
		b = le.AppendUint16(b, uint16(k.Knob))
		b = appendFloat(b, k.Value)
		clipped := byte(0)
		if k.Clipped {
			clipped = 1
		}
		b = append(b, clipped)
	}
	return b
}

func (t Transition) encode(b []byte) []byte {
	b = le.AppendUint64(b, uint64(t.Tick))
	b = le.AppendUint64(b, t.Generation)
	b = le.AppendUint16(b, uint16(t.Class))
	b = append(b, byte(t.From), byte(t.To), byte(t.Reason))
	b = le.AppendUint32(b, uint32(t.Variant))
	b = le.AppendUint32(b, uint32(t.Serves))
	return appendFloat(b, t.Share)
}

const cellBytes = 2 + 2 + 4 + 8 + 8 + 6*8

func (w *Window) encode(b []byte) []byte {
	b = slices.Grow(b, 20+cellBytes*len(w.Cells))
	b = le.AppendUint64(b, uint64(w.Tick))
	b = le.AppendUint64(b, w.Dropped)
	b = le.AppendUint32(b, uint32(len(w.Cells)))
	for i := range w.Cells {
		c := &w.Cells[i]
		b = le.AppendUint16(b, uint16(c.Class))
		b = le.AppendUint16(b, uint16(c.Metric))
		b = le.AppendUint32(b, uint32(c.Variant))
		b = le.AppendUint64(b, c.Count)
		b = le.AppendUint64(b, c.Invalid)
		for _, x := range [...]float64{c.Mean, c.Var, c.Min, c.Max, c.P50, c.P99} {
			b = appendFloat(b, x)
		}
	}
	return b
}

// reader takes fields off a record; the first short one sticks.
type reader struct {
	b    []byte
	what string
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = fmt.Errorf("%s: cut short: %w", r.what, ErrRecord)
	}
	if r.err != nil {
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() byte       { return r.take(1)[0] }
func (r *reader) u16() uint16    { return le.Uint16(r.take(2)) }
func (r *reader) u32() uint32    { return le.Uint32(r.take(4)) }
func (r *reader) u64() uint64    { return le.Uint64(r.take(8)) }
func (r *reader) float() float64 { return math.Float64frombits(r.u64()) }

// below reads an enumeration.
func (r *reader) below(limit int, field string) byte {
	v := r.u8()
	if r.err == nil && int(v) >= limit {
		r.err = fmt.Errorf("%s: %s is %d: %w", r.what, field, v, ErrRecord)
	}
	return v
}

// count reads a length that must fit both a limit and the bytes that are left.
func (r *reader) count(limit, size int, field string) int {
	n := int(r.u32())
	if r.err == nil && (n > limit || n*size > len(r.b)) {
		r.err = fmt.Errorf("%s: %d %s: %w", r.what, n, field, ErrRecord)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%s: %d bytes too many: %w", r.what, len(r.b), ErrRecord)
	}
	return r.err
}

func decodeAdopted(b []byte) (adopted, error) {
	r := reader{b: b, what: "adopted"}
	a := adopted{Sequence: r.u64(), Generation: r.u64()}
	return a, r.end()
}

func decodeCommand(b []byte) (command, error) {
	r := reader{b: b, what: "command"}
	c := command{Verb: verb(r.below(int(verbCount), "verb")), Class: Class(r.u16()), Reason: Reason(r.below(int(reasonCount), "reason")),
		Tick: Tick(r.u64()), Share: r.float()}
	if r.err == nil && c.Verb == 0 {
		r.err = fmt.Errorf("command: no verb: %w", ErrRecord)
	}
	return c, r.end()
}

func decodeProposal(b []byte) (Proposal, error) {
	r := reader{b: b, what: "proposal"}
	p := Proposal{Tick: Tick(r.u64()), Base: r.u64(), Class: Class(r.u16()), Variant: catalog.VariantID(r.u32()), Ramp: Ramp(r.u8()), Seed: r.u64()}
	n := r.count(len(b), 10, "knobs") // more than knobDeltasMax is a proposal to refuse, not a broken record
	for range n {
		p.Knobs = append(p.Knobs, KnobDelta{Knob: KnobID(r.u16()), Delta: r.float()})
	}
	return p, r.end()
}

func decodeDecision(b []byte) (Decision, error) {
	r := reader{b: b, what: "decision"}
	d := Decision{Generation: r.u64(), Class: Class(r.u16()), Variant: catalog.VariantID(r.u32()),
		Outcome: Outcome(r.below(len(outcomeNames), "outcome")), Reason: Reason(r.below(int(reasonCount), "reason")), Share: r.float()}
	n := r.count(knobDeltasMax, 11, "knobs")
	for range n {
		d.Knobs = append(d.Knobs, KnobValue{Knob: KnobID(r.u16()), Value: r.float(), Clipped: r.below(2, "clipped") == 1})
	}
	return d, r.end()
}

func decodeTransition(b []byte) (Transition, error) {
	r := reader{b: b, what: "transition"}
	t := Transition{Tick: Tick(r.u64()), Generation: r.u64(), Class: Class(r.u16()),
		From: State(r.below(int(stateCount), "state")), To: State(r.below(int(stateCount), "state")),
		Reason: Reason(r.below(int(reasonCount), "reason")), Variant: catalog.VariantID(r.u32()), Serves: catalog.VariantID(r.u32()), Share: r.float()}
	return t, r.end()
}

func decodeWindow(b []byte) (*Window, error) {
	r := reader{b: b, what: "window"}
	w := &Window{Tick: Tick(r.u64()), Dropped: r.u64()}
	n := r.count(cellsMax, cellBytes, "cells")
	for range n {
		c := Cell{Class: Class(r.u16()), Metric: MetricID(r.u16()), Variant: catalog.VariantID(r.u32()), Count: r.u64(), Invalid: r.u64()}
		for _, x := range [...]*float64{&c.Mean, &c.Var, &c.Min, &c.Max, &c.P50, &c.P99} {
			*x = r.float()
		}
		w.Cells = append(w.Cells, c)
	}
	return w, r.end()
}
