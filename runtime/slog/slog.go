// Package slog tells a structured logger what the runtime decided: one record
// a decision and a transition, with attributes that keep their names. Requests
// are never logged: they are counted.
//
// It is not the event log: it may lose records and replays nothing.
//
// The standard library has a package of the same name; import that one bare
// and this one as arqonslog.
package slog

import (
	"context"
	"log/slog"

	"github.com/arqon/arqon/runtime"
)

// Logger writes what decision cycles of one runtime did.
type Logger struct {
	log *slog.Logger
	rt  *runtime.Runtime
}

// New makes a Logger. Every record carries the group "arqon".
func New(log *slog.Logger, rt *runtime.Runtime) *Logger {
	return &Logger{log: log.WithGroup("arqon"), rt: rt}
}

// Cycle writes what one decision cycle did. A transition for cause (guardrail,
// harm, an invalid metric, a kill) is a warning, a failed log an error; what
// explains why nothing moved is for debugging, everything else information.
func (l *Logger) Cycle(ctx context.Context, ts []runtime.Transition, ds []runtime.Decision) {
	classes := l.rt.Classes()
	for _, t := range ts {
		l.log.LogAttrs(ctx, levelOf(t), "transition", TransitionAttrs(t, classes)...)
	}
	for _, d := range ds {
		level := slog.LevelInfo
		if d.Reason == runtime.ReasonLogFailed {
			level = slog.LevelError
		}
		l.log.LogAttrs(ctx, level, "decision", DecisionAttrs(d, classes)...)
	}
}

// Release writes that a release was adopted.
func (l *Logger) Release(ctx context.Context) {
	s := l.rt.Load()
	l.log.LogAttrs(ctx, slog.LevelInfo, "release", slog.Uint64("release", s.Release()), slog.Uint64("generation", s.Generation()))
}

func levelOf(t runtime.Transition) slog.Level {
	switch t.Reason {
	case runtime.ReasonGuardrail, runtime.ReasonHarm, runtime.ReasonInvalidMetric, runtime.ReasonBaselineBreach, runtime.ReasonKilled:
		return slog.LevelWarn
	case runtime.ReasonLogFailed:
		return slog.LevelError
	default:
		if t.From == t.To {
			return slog.LevelDebug
		}
		return slog.LevelInfo
	}
}

// TransitionAttrs describes a transition. classes are Runtime.Classes.
func TransitionAttrs(t runtime.Transition, classes []string) []slog.Attr {
	return []slog.Attr{
		class(t.Class, classes),
		slog.String("from", t.From.String()), slog.String("to", t.To.String()), slog.String("reason", t.Reason.String()),
		slog.Uint64("variant_id", uint64(t.Variant)), slog.Uint64("serves", uint64(t.Serves)), slog.Float64("share", t.Share),
		slog.Uint64("generation", t.Generation), slog.Uint64("tick", uint64(t.Tick)),
	}
}

// DecisionAttrs describes a decision with the values that were applied.
func DecisionAttrs(d runtime.Decision, classes []string) []slog.Attr {
	out := []slog.Attr{
		class(d.Class, classes),
		slog.String("outcome", d.Outcome.String()), slog.String("reason", d.Reason.String()),
		slog.Uint64("variant_id", uint64(d.Variant)), slog.Float64("share", d.Share), slog.Uint64("generation", d.Generation),
	}
	if len(d.Knobs) > 0 {
		out = append(out, slog.Any("knobs", d.Knobs))
	}
	return out
}

func class(c runtime.Class, classes []string) slog.Attr {
	if int(c) < len(classes) {
		return slog.String("class", classes[c])
	}
	return slog.Int("class", int(c))
}
