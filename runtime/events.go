package runtime

import (
	"fmt"
	"math"
	"strconv"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/adapt"
)

// LogEvent is one record of an event log for programs to read: its kind, one line
// for people, and its fields by name.
//
// Fields is a map whose keys depend on the kind and stay the same from version
// to version; docs/runtime.md lists them. Classes, knobs and metrics are named
// as the releases before the record name them (a number where none does),
// outcomes, reasons, states, verbs and ramps by their words. A number that is
// not finite is nil, a seed a string of digits. A record that cannot be decoded has the one field "error".
type LogEvent struct {
	Kind   string
	Text   string
	Fields map[string]any
}

// LogReader reads the records of one event log in their order: the releases among
// them give the later ones their names. The zero LogReader has seen none.
type LogReader struct{ view *view }

// Read decodes the next record.
func (e *LogReader) Read(kind uint16, payload []byte) LogEvent {
	out := LogEvent{Kind: kindName(kind), Text: describe(kind, payload)}
	var err error
	if out.Fields, err = e.fields(kind, payload); err != nil {
		out.Fields = map[string]any{"error": err.Error()}
	}
	return out
}

func (e *LogReader) fields(kind uint16, b []byte) (map[string]any, error) {
	switch kind {
	case recordOpen:
		var o opening
		if err := decodeJSON(b, &o); err != nil {
			return nil, err
		}
		if o.View == nil {
			return nil, fmt.Errorf("open: no release: %w", ErrRecord)
		}
		out := e.release(o.View)
		out["seed"] = words(o.Seed)
		return out, nil
	case recordRelease:
		w := new(view)
		if err := decodeJSON(b, w); err != nil {
			return nil, err
		}
		return e.release(w), nil
	case recordAdopted:
		a, err := decodeAdopted(b)
		return map[string]any{"release": a.Sequence, "generation": a.Generation}, err
	case recordProposal:
		p, err := decodeProposal(b)
		return e.proposal(p), err
	case recordDecision:
		d, err := decodeDecision(b)
		return e.decision(d), err
	case recordApplied, recordTransition:
		t, err := decodeTransition(b)
		return e.transition(t), err
	case recordWindow:
		w, err := decodeWindow(b)
		if err != nil {
			return nil, err
		}
		return e.window(w), nil
	case recordCommand:
		c, err := decodeCommand(b)
		return map[string]any{"tick": c.Tick, "class": e.class(c.Class), "verb": c.Verb.String(), "reason": c.Reason.String(), "share": number(c.Share)}, err
	case recordAdapt:
		var s adaptState
		err := decodeJSON(b, &s)
		c := s.Config
		return map[string]any{"policy": nameOf(policyNames[:], int(c.Policy), "policy"), "sla": c.SLA, "knobs": c.Knobs, "algorithm": c.Algorithm.String(), "classes_resumed": len(s.Lanes), "tuners_resumed": len(s.Tuners)}, err
	case recordStep:
		s, err := decodeStep(b)
		return e.step(s), err
	}
	return nil, fmt.Errorf("%s: no record is of this kind: %w", kindName(kind), ErrRecord)
}

var policyNames = [...]string{adapt.Optimist: "optimist", adapt.Tournament: "tournament"}

// release takes the names that follow from it.
func (e *LogReader) release(w *view) map[string]any {
	e.view = w
	classes, entries := make([]string, len(w.Classes)), make([]catalog.VariantID, len(w.Entries))
	for i, c := range w.Classes {
		classes[i] = c.Name
	}
	for i, x := range w.Entries {
		entries[i] = x.ID
	}
	return map[string]any{
		"release": w.Sequence, "channel": w.Channel, "domain": w.Domain, "manifest": w.Manifest,
		"baseline": w.Baseline, "classes": classes, "entries": entries,
	}
}

func (e *LogReader) proposal(p Proposal) map[string]any {
	knobs := make([]map[string]any, len(p.Knobs))
	for i, k := range p.Knobs {
		knobs[i] = map[string]any{"knob": e.knob(k.Knob), "delta": number(k.Delta)}
	}
	return map[string]any{
		"tick": p.Tick, "base": p.Base, "class": e.class(p.Class), "variant": p.Variant, "ramp": p.Ramp.String(), "seed": words(p.Seed), "knobs": knobs,
	}
}

func (e *LogReader) decision(d Decision) map[string]any {
	knobs := make([]map[string]any, len(d.Knobs))
	for i, k := range d.Knobs {
		knobs[i] = map[string]any{"knob": e.knob(k.Knob), "value": number(k.Value), "clipped": k.Clipped}
	}
	return map[string]any{
		"generation": d.Generation, "class": e.class(d.Class), "variant": d.Variant, "outcome": d.Outcome.String(), "reason": d.Reason.String(),
		"share": number(d.Share), "knobs": knobs,
	}
}

func (e *LogReader) transition(t Transition) map[string]any {
	return map[string]any{
		"tick": t.Tick, "generation": t.Generation, "class": e.class(t.Class), "from": t.From.String(), "to": t.To.String(),
		"reason": t.Reason.String(), "variant": t.Variant, "serves": t.Serves, "share": number(t.Share),
	}
}

func (e *LogReader) window(w *Window) map[string]any {
	cells := make([]map[string]any, len(w.Cells))
	for i, c := range w.Cells {
		cells[i] = map[string]any{
			"class": e.class(c.Class), "metric": e.metric(c.Metric), "variant": c.Variant, "count": c.Count, "invalid": c.Invalid,
			"mean": number(c.Mean), "var": number(c.Var), "min": number(c.Min), "max": number(c.Max), "p50": number(c.P50), "p99": number(c.P99),
		}
	}
	return map[string]any{"tick": w.Tick, "dropped": w.Dropped, "cells": cells}
}

func (e *LogReader) step(s adaptStep) map[string]any {
	choices, proposals := make([]map[string]any, len(s.Choices)), make([]map[string]any, len(s.Proposals))
	for i, c := range s.Choices {
		choices[i] = map[string]any{"class": e.class(c.Class), "variant": c.Variant, "propensity": number(c.Propensity)}
	}
	for i, p := range s.Proposals {
		proposals[i] = e.proposal(p)
	}
	return map[string]any{"choices": choices, "proposals": proposals}
}

// class is a class's name; its index where no release names it.
func (e *LogReader) class(c Class) any {
	if e.view == nil || int(c) >= len(e.view.Classes) {
		return c
	}
	return e.view.Classes[c].Name
}

func (e *LogReader) knob(k KnobID) any {
	if e.view == nil || int(k) >= len(e.view.Knobs) {
		return k
	}
	return e.view.Knobs[k].Name
}

func (e *LogReader) metric(m MetricID) any {
	if e.view == nil || int(m) >= len(e.view.Metrics) {
		return m
	}
	return e.view.Metrics[m].Name
}

// words spells a seed: readers of JSON round numbers above 2⁵³.
func words(seed uint64) string { return strconv.FormatUint(seed, 10) }

// number is x, or nil where JSON has no word for it.
func number(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}
