// Package otel turns rollouts into OpenTelemetry spans: one span from the
// proposal that was accepted to the promotion or the way back, with an event for
// each transition of Tier 1. Refusals and requests make no spans: there are too
// many of them, and Prometheus counts them.
//
// Only the OpenTelemetry API is linked; which SDK and exporter receive the
// spans is the host's choice. Nothing that is decided depends on them.
package otel

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/arqon/arqon/runtime"
)

// scope names the instrumentation.
const scope = "github.com/arqon/arqon/runtime/otel"

// The names of spans and attributes.
const (
	RolloutSpan   = "arqon.rollout"  // an experiment, or a direct change
	RetreatSpan   = "arqon.retreat"  // an incumbent that was taken back without an experiment
	ClassKey      = "arqon.class"    // the context's name
	VariantKey    = "arqon.variant"  // whom it is about
	ServesKey     = "arqon.serves"   // the incumbent afterwards
	ShareKey      = "arqon.share"    // of the variant, afterwards
	FromKey       = "arqon.from"     // state
	ToKey         = "arqon.to"       // state
	ReasonKey     = "arqon.reason"   // why
	OutcomeKey    = "arqon.outcome"  // of the proposal
	ReleaseKey    = "arqon.release"  // sequence
	GenerationKey = "arqon.snapshot" // generation
	TickKey       = "arqon.tick"     // decision cycle
)

// Tracer follows the rollouts of one runtime. It may be called from any
// goroutine, one cycle at a time.
type Tracer struct {
	tracer trace.Tracer
	rt     *runtime.Runtime
	now    func() time.Time

	mu   sync.Mutex
	open map[runtime.Class]trace.Span
}

// New makes a Tracer. The runtime has no clock, so now dates what a cycle did.
func New(p trace.TracerProvider, rt *runtime.Runtime, now func() time.Time) *Tracer {
	return &Tracer{tracer: p.Tracer(scope), rt: rt, now: now, open: map[runtime.Class]trace.Span{}}
}

// Cycle follows what one decision cycle did.
func (t *Tracer) Cycle(ctx context.Context, ts []runtime.Transition, ds []runtime.Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := trace.WithTimestamp(t.now())
	for _, x := range ts {
		t.transition(ctx, x, at)
	}
	for _, d := range ds {
		t.decision(ctx, d, at)
	}
	for _, c := range t.openClasses() { // a new release, or the kill switch, ends experiments without a transition
		if st, ok := t.rt.Executor().Status(c); !ok || st.Candidate == 0 {
			t.open[c].AddEvent("ended from outside", at, trace.WithAttributes(
				attribute.Int64(ReleaseKey, int64(t.rt.Load().Release())), attribute.String(ReasonKey, t.rt.Killed().String())))
			t.end(c, at)
		}
	}
}

// Close ends the spans that are open, as a host does when it shuts down.
func (t *Tracer) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.openClasses() {
		t.end(c, trace.WithTimestamp(t.now()))
	}
}

func (t *Tracer) openClasses() []runtime.Class {
	out := make([]runtime.Class, 0, len(t.open))
	for c := range t.open {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

func (t *Tracer) decision(ctx context.Context, d runtime.Decision, at trace.SpanEventOption) {
	if d.Outcome == runtime.Refused || t.open[d.Class] != nil {
		return
	}
	_, span := t.tracer.Start(ctx, RolloutSpan, at, trace.WithAttributes(
		t.class(d.Class),
		attribute.Int64(VariantKey, int64(d.Variant)), attribute.String(OutcomeKey, d.Outcome.String()),
		attribute.Float64(ShareKey, d.Share), attribute.Int64(GenerationKey, int64(d.Generation)),
		attribute.Int64(ReleaseKey, int64(t.rt.Load().Release()))))
	t.open[d.Class] = span
	if d.Outcome == runtime.Applied {
		t.end(d.Class, at)
	}
}

func (t *Tracer) transition(ctx context.Context, x runtime.Transition, at trace.SpanEventOption) {
	if x.From == x.To && x.From != runtime.Canary { // a canary that grows goes from Canary to Canary
		return
	}
	attrs := trace.WithAttributes(
		attribute.String(FromKey, x.From.String()), attribute.String(ToKey, x.To.String()), attribute.String(ReasonKey, x.Reason.String()),
		attribute.Int64(VariantKey, int64(x.Variant)), attribute.Int64(ServesKey, int64(x.Serves)), attribute.Float64(ShareKey, x.Share),
		attribute.Int64(GenerationKey, int64(x.Generation)), attribute.Int64(TickKey, int64(x.Tick)))
	span := t.open[x.Class]
	if span == nil {
		if x.To != runtime.RolledBack {
			return
		}
		_, span = t.tracer.Start(ctx, RetreatSpan, at, trace.WithAttributes(t.class(x.Class)))
		t.open[x.Class] = span
	}
	span.AddEvent(x.To.String(), at, attrs)
	if x.To == runtime.RolledBack {
		span.SetStatus(codes.Error, x.Reason.String())
	}
	if x.To == runtime.Promoted || x.To == runtime.RolledBack {
		t.end(x.Class, at)
	}
}

func (t *Tracer) end(c runtime.Class, at trace.SpanEndOption) {
	t.open[c].End(at)
	delete(t.open, c)
}

func (t *Tracer) class(c runtime.Class) attribute.KeyValue {
	if names := t.rt.Classes(); int(c) < len(names) {
		return attribute.String(ClassKey, names[c])
	}
	return attribute.Int(ClassKey, int(c))
}
