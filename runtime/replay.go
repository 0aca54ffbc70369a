package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
)

// ErrDiffers is wrapped when a replay does not do what the log says was done.
var ErrDiffers = errors.New("replay differs from the log")

// Replayed is what a replay has gone through.
type Replayed struct {
	Records    int // all of them
	Inputs     int // releases, proposals, windows, commands
	Outputs    int // decisions, applied changes, transitions: compared byte by byte
	Seed       uint64
	Generation uint64 // at the end
	TornBytes  int64  // an unfinished append at the end of the file
}

// Replayer runs Tier 1 again on the inputs of an event log and compares every
// output with what the log says, byte by byte. The zero Replayer is ready.
type Replayer struct {
	m      *machine
	step   *Adaptation // Tier 2, once the log has said how it was configured
	coming *view       // a release whose adoption is intended
	last   *Window
	want   []logRecord // outputs of the last input that the log has not shown yet
	done   Replayed
}

// ReplayFile replays the event log at path.
func ReplayFile(path string) (Replayed, error) {
	var r Replayer
	info, err := ledger.Read(path, func(rec ledger.Record) error {
		if err := r.Feed(rec.Kind, rec.Payload); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err == nil && info.Header.Purpose != LogPurpose {
		err = fmt.Errorf("%s: purpose is %q, not %q: %w", path, info.Header.Purpose, LogPurpose, ledger.ErrForeign)
	}
	out := r.Done()
	out.TornBytes = info.TornBytes
	return out, err // which names the path
}

// Done returns what was replayed so far. Outputs that a crash kept from the
// log's end are not a difference.
func (r *Replayer) Done() Replayed {
	if r.m != nil {
		r.done.Generation = r.m.generation
	}
	return r.done
}

// Feed takes the next record. An error wraps ErrRecord (cannot be decoded) or
// ErrDiffers and names the record by its number, from 1.
func (r *Replayer) Feed(kind uint16, payload []byte) error {
	r.done.Records++
	err := r.feed(kind, payload)
	if err != nil {
		return fmt.Errorf("record %d: %w", r.done.Records, err)
	}
	return nil
}

func (r *Replayer) feed(kind uint16, payload []byte) error {
	if r.m == nil && kind != recordOpen {
		return fmt.Errorf("kind %d before the runtime was opened: %w", kind, ErrRecord)
	}
	switch kind {
	case recordDecision, recordTransition, recordApplied, recordAdopted, recordStep:
		r.done.Outputs++
		return r.output(kind, payload)
	case recordOpen, recordRelease, recordProposal, recordWindow, recordCommand, recordAdapt:
		r.done.Inputs++
		return r.input(kind, payload)
	}
	return fmt.Errorf("unknown kind %d: %w", kind, ErrRecord)
}

func (r *Replayer) output(kind uint16, payload []byte) error {
	var got logRecord
	switch kind {
	case recordApplied:
		t, err := decodeTransition(payload)
		if err != nil {
			return err
		}
		if int(t.Class) >= len(r.m.lanes) {
			return fmt.Errorf("applied in class %d of %d: %w", t.Class, len(r.m.lanes), ErrDiffers)
		}
		again, ok := r.m.apply(t.Class, r.m.lanes[t.Class].intent)
		if !ok {
			return fmt.Errorf("%s: nothing was staged: %w", describe(kind, payload), ErrDiffers)
		}
		got = logRecord{kind, again.encode(nil)}
	case recordAdopted:
		if r.coming == nil {
			return fmt.Errorf("%s: no release was intended: %w", describe(kind, payload), ErrDiffers)
		}
		r.m.adopt(r.coming)
		got = logRecord{kind, adopted{r.coming.Sequence, r.m.generation}.encode(nil)}
		r.coming = nil
	case recordStep:
		if r.step == nil || r.last == nil {
			return fmt.Errorf("%s: no adaptation was configured: %w", describe(kind, payload), ErrDiffers)
		}
		got = logRecord{kind, r.step.step(r.m, r.last).encode(nil)}
	default:
		if len(r.want) == 0 {
			return fmt.Errorf("log has %s, replay has nothing: %w", describe(kind, payload), ErrDiffers)
		}
		got, r.want = r.want[0], r.want[1:]
	}
	if got.kind != kind || !bytes.Equal(got.payload, payload) {
		return fmt.Errorf("log has %s, replay has %s: %w", describe(kind, payload), describe(got.kind, got.payload), ErrDiffers)
	}
	return nil
}

func (r *Replayer) input(kind uint16, payload []byte) error {
	if len(r.want) > 0 && kind != recordOpen { // a reopened log may have lost its end
		w := r.want[0]
		return fmt.Errorf("log has %s where replay has %s: %w", describe(kind, payload), describe(w.kind, w.payload), ErrDiffers)
	}
	switch kind {
	case recordOpen:
		return r.open(payload)
	case recordRelease:
		v := &view{}
		if err := decodeJSON(payload, v); err != nil {
			return err
		}
		if err := v.valid(); err != nil {
			return err
		}
		r.coming = v
	case recordAdapt:
		var s adaptState
		if err := decodeJSON(payload, &s); err != nil {
			return err
		}
		a, err := newAdaptation(s, r.done.Seed)
		if err != nil {
			return err
		}
		r.step = a
	case recordProposal:
		p, err := decodeProposal(payload)
		if err != nil {
			return err
		}
		r.enqueue(recordDecision, r.m.propose(p).encode)
	case recordWindow:
		w, err := decodeWindow(payload)
		if err != nil {
			return err
		}
		r.last = w
		r.m.observe(w, r)
	default:
		c, err := decodeCommand(payload)
		if err != nil {
			return err
		}
		r.command(c)
	}
	return nil
}

func (r *Replayer) open(payload []byte) error {
	var o opening
	if err := decodeJSON(payload, &o); err != nil {
		return err
	}
	if o.View == nil {
		return fmt.Errorf("open: no release: %w", ErrRecord)
	}
	if err := o.View.valid(); err != nil {
		return err
	}
	r.m, r.want, r.coming, r.last, r.step = newMachine(o.View), nil, nil, nil, nil
	r.done.Seed = o.Seed
	return nil
}

func (r *Replayer) command(c command) {
	r.m.see(c.Tick)
	switch c.Verb {
	case verbWiden:
		r.enqueue(recordDecision, r.m.widen(c.Class, c.Share, c.Tick).encode)
	case verbPromote:
		r.enqueue(recordDecision, r.m.promote(c.Class, c.Tick).encode)
	case verbRollback:
		r.retreat(c.Class, evAbort, c.Reason)
	case verbSnapback:
		r.retreat(c.Class, evBreach, c.Reason)
	case verbPause, verbResume:
		e := evPause
		if c.Verb == verbResume {
			e = evResume
		}
		if t, ok := r.m.hold(c.Class, e, c.Tick); ok {
			r.enqueue(recordTransition, t.encode)
		}
	case verbKill:
		r.m.kill(c.Reason)
	case verbRevive:
		r.m.revive()
	case verbCount:
	}
}

// retreat and enqueue make the Replayer the machine's world.
func (r *Replayer) retreat(c Class, e event, why Reason) (Transition, bool) {
	t, ok := r.m.retreat(c, e, why)
	if ok {
		r.enqueue(recordTransition, t.encode)
	}
	return t, ok
}

func (r *Replayer) enqueue(kind uint16, encode func([]byte) []byte) {
	r.want = append(r.want, logRecord{kind, encode(nil)})
}

// valid checks what a logged view must satisfy before a machine may run on it.
func (v *view) valid() error {
	bad := func(what string) error { return fmt.Errorf("view: %s: %w", what, ErrRecord) }
	if len(v.Classes) == 0 || len(v.Classes) > classesMax || len(v.Knobs) > knobsMax || len(v.Metrics) > metricsMax {
		return bad("counts")
	}
	limits, err := v.Limits.filled()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	v.Limits = limits
	for i, e := range v.Entries {
		if len(e.Class) != len(v.Classes) || (i > 0 && v.Entries[i-1].ID >= e.ID) {
			return bad("entries")
		}
	}
	for _, g := range v.Guards {
		if int(g.Metric) >= len(v.Metrics) || g.Class >= len(v.Classes) {
			return bad("guardrails")
		}
	}
	for _, c := range v.Classes {
		if c.Success >= len(v.Metrics) {
			return bad("success metric")
		}
		if _, ok := v.entry(c.Base); !ok && c.Base != catalog.BuiltIn {
			return bad("fallback of a class")
		}
	}
	if _, ok := v.entry(v.Baseline); !ok && v.Baseline != catalog.BuiltIn {
		return bad("baseline")
	}
	return nil
}

// Describe says what a record of an event log holds, in one line.
func Describe(kind uint16, payload []byte) string { return describe(kind, payload) }

func describe(kind uint16, payload []byte) string {
	var v any
	var err error
	switch kind {
	case recordOpen:
		var o opening
		if err = decodeJSON(payload, &o); err == nil && o.View != nil {
			return fmt.Sprintf("open release %d seed %d, %d classes, %d entries", o.View.Sequence, o.Seed, len(o.View.Classes), len(o.View.Entries))
		}
	case recordRelease:
		var w view
		if err = decodeJSON(payload, &w); err == nil {
			return fmt.Sprintf("release %d, %d entries", w.Sequence, len(w.Entries))
		}
	case recordAdopted:
		v, err = decodeAdopted(payload)
	case recordProposal:
		v, err = decodeProposal(payload)
	case recordDecision:
		v, err = decodeDecision(payload)
	case recordApplied, recordTransition:
		v, err = decodeTransition(payload)
	case recordWindow:
		var w *Window
		if w, err = decodeWindow(payload); err == nil {
			return fmt.Sprintf("window tick %d, %d cells, %d dropped", w.Tick, len(w.Cells), w.Dropped)
		}
	case recordCommand:
		v, err = decodeCommand(payload)
	case recordAdapt:
		var s adaptState
		if err = decodeJSON(payload, &s); err == nil {
			return fmt.Sprintf("adapt %+v, %d classes and %d tuners resumed", s.Config, len(s.Lanes), len(s.Tuners))
		}
	case recordStep:
		v, err = decodeStep(payload)
	}
	if err != nil {
		return fmt.Sprintf("%s %v", kindName(kind), err)
	}
	return fmt.Sprintf("%s %+v", kindName(kind), v)
}

var kindNames = [...]string{"", "open", "release", "adopted", "proposal", "decision", "applied", "window", "transition", "command", "adapt", "step"}

// Kinds names the kinds of records: the first word of what Describe says.
func Kinds() []string { return slices.Clone(kindNames[1:]) }

func kindName(kind uint16) string { return nameOf(kindNames[:], int(kind), "kind") }
