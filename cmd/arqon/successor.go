package main

import (
	"slices"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// successor lays tonight's entries over the release before. In the contexts
// that tonight judged, tonight's word counts; a night over some contexts takes
// nothing away from the others. The contexts keep their order, which is that
// of the runtime's classes.
//
// A context that an entry served under a waiver leaves it when the waiver has
// expired by the clock given.
func successor(before catalog.Release, night gates.Night, now []catalog.Entry, clock time.Time) (entries []catalog.Entry, contexts []string) {
	contexts = slices.Clone(before.Contexts)
	judged := map[string]bool{}
	for _, c := range night.Contexts {
		judged[c.Name] = true
		if !slices.Contains(contexts, c.Name) {
			contexts = append(contexts, c.Name)
		}
	}
	entries = slices.Clone(now)
	at := map[artifacts.Digest]int{}
	for i, e := range entries {
		at[e.Variant.Identity] = i
	}
	for _, e := range before.Entries {
		e.Fallback = catalog.BuiltIn
		e = outside(e, expiredIn(e, clock))
		i, again := at[e.Variant.Identity]
		if !again {
			if e = outside(e, failedIn(night, e.Variant.Identity)); len(e.Envelope.Contexts) > 0 {
				entries = append(entries, e)
			}
			continue
		}
		if e = outside(e, judged); len(e.Envelope.Contexts) > 0 {
			entries[i] = joined(entries[i], e)
		}
	}
	return entries, contexts
}

// expiredIn are the contexts that an entry serves under a waiver that holds no
// longer.
func expiredIn(e catalog.Entry, clock time.Time) map[string]bool {
	out := map[string]bool{}
	for _, w := range e.Waivers {
		if !clock.Before(w.Waiver.Expires) {
			out[w.Waiver.Context] = true
		}
	}
	return out
}

// failedIn are the contexts in which a variant failed a gate tonight: what was
// shown to be wrong leaves the release. One that merely could not be shown
// again keeps what an earlier night has proved.
func failedIn(night gates.Night, identity artifacts.Digest) map[string]bool {
	out := map[string]bool{}
	for _, c := range night.Candidates {
		if c.Identity == identity && c.Outcome == gates.Fail {
			out[c.Context] = true
		}
	}
	return out
}

// outside is the part of an entry that is not about the judged contexts.
func outside(e catalog.Entry, judged map[string]bool) catalog.Entry {
	e.Envelope.Contexts = slices.DeleteFunc(slices.Clone(e.Envelope.Contexts), func(c string) bool { return judged[c] })
	e.Curves = slices.DeleteFunc(slices.Clone(e.Curves), func(c catalog.LatencyCurve) bool { return judged[c.Context] })
	e.Expectations = slices.DeleteFunc(slices.Clone(e.Expectations), func(x catalog.Expectation) bool { return judged[x.Context] })
	e.Waivers = slices.DeleteFunc(slices.Clone(e.Waivers), func(w catalog.Waived) bool { return judged[w.Waiver.Context] })
	return e
}

// joined is one variant with what two nights say about it. A limit holds for
// the whole only if both held it to the same one.
func joined(now, older catalog.Entry) catalog.Entry {
	now.Envelope.Contexts = slices.Concat(now.Envelope.Contexts, older.Envelope.Contexts)
	var limits map[string]float64
	for m, l := range now.Envelope.Limits {
		if other, ok := older.Envelope.Limits[m]; ok && other == l {
			if limits == nil {
				limits = map[string]float64{}
			}
			limits[m] = l
		}
	}
	now.Envelope.Limits = limits
	now.Envelope.FailureModes = slices.Clone(now.Envelope.FailureModes)
	for _, f := range older.Envelope.FailureModes {
		if !slices.Contains(now.Envelope.FailureModes, f) {
			now.Envelope.FailureModes = append(now.Envelope.FailureModes, f)
		}
	}
	now.Curves = slices.Concat(now.Curves, older.Curves)
	now.Expectations = slices.Concat(now.Expectations, older.Expectations)
	now.Waivers = slices.Concat(now.Waivers, older.Waivers)
	now.Evidence = slices.Clone(now.Evidence)
	for _, ev := range older.Evidence {
		if !slices.ContainsFunc(now.Evidence, func(x catalog.Evidence) bool { return x.Ref.Digest == ev.Ref.Digest }) {
			now.Evidence = append(now.Evidence, ev)
		}
	}
	return now
}

// keptGuardrails are the limits of contexts that tonight did not judge.
func keptGuardrails(before catalog.Release, night gates.Night) []catalog.Guardrail {
	var out []catalog.Guardrail
	for _, g := range before.Policy.Guardrails {
		if !slices.ContainsFunc(night.Contexts, func(c gates.ContextRecord) bool { return c.Name == g.Context }) {
			out = append(out, g)
		}
	}
	return out
}
