// Package openfeature answers OpenFeature evaluations from a runtime: a flag is
// a class of the release, its variants are the release's variants, and which
// one a request gets is what the snapshot says, canary shares included. Nothing
// is asked over a network; an evaluation through the SDK costs microseconds,
// most of them the SDK's, where Snapshot.Select costs nanoseconds.
//
// It is not for changing flags: that is what a signed release is for.
package openfeature

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
)

// KnobSeparator stands between a class and a knob: the flag low-load#threshold
// is the knob "threshold" of the variant that serves low-load, a float.
const KnobSeparator = "#"

// StaleReason is the specification's STALE, which the SDK does not name.
const StaleReason of.Reason = "STALE"

// Variant is what a flag resolves to: a bool, string, int64, float64 or a map
// or list of those, and the name that evaluations report.
type Variant struct {
	Name  string
	Value any
}

// Options fit the provider to a host. The zero Options serve releases that
// Stage has staged.
type Options struct {
	// Describe says what a variant means as a flag, given the handle that the
	// host staged; false: it is no flag. nil: handles are Variants.
	Describe func(id catalog.VariantID, handle any) (Variant, bool)
	// Class names the class that answers a flag in an evaluation context; nil:
	// the flag's own name.
	Class func(flag string, evaluation of.FlattenedContext) string
	// Age says how long ago the release in force was last verified. Beyond
	// AgeMax evaluations carry the reason STALE. nil: never.
	Age    func() time.Duration
	AgeMax time.Duration
}

// Provider implements the SDK's FeatureProvider, StateHandler and EventHandler.
// It may be called from any goroutine.
type Provider struct {
	of.NoopStateHandler
	rt      *runtime.Runtime
	options Options
	events  chan of.Event
}

const (
	providerName = "arqon"
	eventsMax    = 16 // kept for an SDK that is slow to listen; more are dropped
)

// New makes a provider for an open runtime.
func New(rt *runtime.Runtime, o Options) *Provider {
	if o.Describe == nil {
		o.Describe = func(_ catalog.VariantID, handle any) (Variant, bool) {
			v, ok := handle.(Variant)
			return v, ok
		}
	}
	return &Provider{rt: rt, options: o, events: make(chan of.Event, eventsMax)}
}

// Metadata implements FeatureProvider.
func (p *Provider) Metadata() of.Metadata { return of.Metadata{Name: providerName} }

// Hooks implements FeatureProvider.
func (p *Provider) Hooks() []of.Hook { return nil }

// EventChannel implements EventHandler.
func (p *Provider) EventChannel() <-chan of.Event { return p.events }

// Adopted tells listeners that a new release is in force; every flag may have
// changed.
func (p *Provider) Adopted() {
	p.emit(of.ProviderConfigChange, fmt.Sprintf("release %d", p.rt.Load().Release()))
}

// Stale tells listeners that the release in force cannot be verified any more,
// Fresh that it can again. It goes on serving either way.
func (p *Provider) Stale(why string) { p.emit(of.ProviderStale, why) }

// Fresh ends what Stale began.
func (p *Provider) Fresh() { p.emit(of.ProviderReady, "verified") }

func (p *Provider) emit(kind of.EventType, message string) {
	flags := p.rt.Classes()
	select {
	case p.events <- of.Event{
		ProviderName: providerName, EventType: kind,
		ProviderEventDetails: of.ProviderEventDetails{Message: message, FlagChanges: flags},
	}:
	default: // nobody listens
	}
}

// BooleanEvaluation implements FeatureProvider.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, def bool, ec of.FlattenedContext) of.BoolResolutionDetail {
	v, d := resolve(p, flag, def, ec, as[bool])
	return of.BoolResolutionDetail{Value: v, ProviderResolutionDetail: d}
}

// StringEvaluation implements FeatureProvider.
func (p *Provider) StringEvaluation(_ context.Context, flag string, def string, ec of.FlattenedContext) of.StringResolutionDetail {
	v, d := resolve(p, flag, def, ec, as[string])
	return of.StringResolutionDetail{Value: v, ProviderResolutionDetail: d}
}

// FloatEvaluation implements FeatureProvider. Whole numbers are floats too.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, def float64, ec of.FlattenedContext) of.FloatResolutionDetail {
	v, d := resolve(p, flag, def, ec, func(x any) (float64, bool) {
		if n, ok := x.(int64); ok {
			return float64(n), true
		}
		return as[float64](x)
	})
	return of.FloatResolutionDetail{Value: v, ProviderResolutionDetail: d}
}

// IntEvaluation implements FeatureProvider.
func (p *Provider) IntEvaluation(_ context.Context, flag string, def int64, ec of.FlattenedContext) of.IntResolutionDetail {
	v, d := resolve(p, flag, def, ec, as[int64])
	return of.IntResolutionDetail{Value: v, ProviderResolutionDetail: d}
}

// ObjectEvaluation implements FeatureProvider. Any value is an object.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, def any, ec of.FlattenedContext) of.InterfaceResolutionDetail {
	v, d := resolve(p, flag, def, ec, func(x any) (any, bool) { return x, true })
	return of.InterfaceResolutionDetail{Value: v, ProviderResolutionDetail: d}
}

func as[T any](x any) (T, bool) {
	v, ok := x.(T)
	return v, ok
}

// resolve evaluates a flag as a T; whatever is wrong gives the caller's
// default and says why.
func resolve[T any](p *Provider, flag string, def T, ec of.FlattenedContext, as func(any) (T, bool)) (T, of.ProviderResolutionDetail) {
	v, d, ok := p.lookUp(flag, ec)
	if !ok {
		return def, d
	}
	x, ok := as(v.Value)
	if !ok {
		return def, failed(of.NewTypeMismatchResolutionError(fmt.Sprintf("flag %q is a %T", flag, v.Value)))
	}
	d.Variant = v.Name
	return x, d
}

func failed(err of.ResolutionError) of.ProviderResolutionDetail {
	return of.ProviderResolutionDetail{ResolutionError: err, Reason: of.ErrorReason}
}

// lookUp routes a request: one snapshot, one class, one variant.
func (p *Provider) lookUp(flag string, ec of.FlattenedContext) (Variant, of.ProviderResolutionDetail, bool) {
	own, knob, isKnob := strings.Cut(flag, KnobSeparator)
	name := own
	if p.options.Class != nil {
		name = p.options.Class(own, ec)
	}
	class, ok := p.rt.Class(name)
	if !ok {
		return Variant{}, failed(of.NewFlagNotFoundResolutionError(fmt.Sprintf("flag %q: the release has no class %q", flag, name))), false
	}
	snap := p.rt.Load()
	id := snap.Select(class)
	if key, ok := ec[of.TargetingKey].(string); ok && key != "" { // without a subject there is nothing to keep a share by
		h := fnv.New64a()
		_, _ = h.Write([]byte(key)) // never fails
		id = snap.Route(class, h.Sum64())
	}
	d := of.ProviderResolutionDetail{Reason: p.reason(snap, class, id, name != own), FlagMetadata: of.FlagMetadata{
		"class": name, "variantId": int64(id), "release": int64(snap.Release()), "generation": int64(snap.Generation()),
	}}
	v, ok := p.options.Describe(id, snap.Handle(id))
	if !ok {
		return Variant{}, failed(of.NewGeneralResolutionError(fmt.Sprintf("flag %q: variant %d is not a flag's value", flag, id))), false
	}
	if !isKnob {
		return v, d, true
	}
	k, ok := p.rt.Knob(id, knob)
	if !ok {
		return Variant{}, failed(of.NewFlagNotFoundResolutionError(fmt.Sprintf("flag %q: variant %d has no knob %q", flag, id, knob))), false
	}
	return Variant{Name: v.Name, Value: snap.Knob(k)}, d, true
}

// reason says why the variant serves: the first that holds.
func (p *Provider) reason(snap *runtime.Snapshot, c runtime.Class, id catalog.VariantID, byContext bool) of.Reason {
	_, share := snap.Candidate(c)
	switch {
	case p.rt.Killed() != runtime.NoReason:
		return of.DisabledReason
	case p.options.Age != nil && p.options.Age() > p.options.AgeMax:
		return StaleReason
	case id == catalog.BuiltIn:
		return of.DefaultReason
	case share > 0:
		return of.SplitReason
	case byContext:
		return of.TargetingMatchReason
	}
	return of.StaticReason
}
