package gates

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
)

// canary is gate 5: the candidate beside the baseline in the real runtime.
// The rollback is rehearsed first. Then the share of the traffic rises stage
// by stage; in each, pairs are observed, and
//
//   - harm: evalue.Harm, evidence that a metric is over its line (most of its
//     tolerance), whenever that began; at M/canary_harm_alpha (M metrics)
//     everything is rolled back;
//   - to widen, "not worse than tolerance and canary_margin" must be shown on
//     every metric the traffic shows, to a bar that rises with the stages to
//     1/canary_alpha at the last;
//   - timeout: not shown within canary_pairs_max pairs is a roll back.
func (t *trial) canary(ctx context.Context) (f Finding, err error) {
	start := t.j.StartCanary
	if start == nil && !t.j.rec.knows("canary/"+t.key+"/rehearsal") {
		return Finding{Outcome: Inconclusive, Reason: "no runtime was given to stage the candidate in"}, nil
	}
	rec := &CanaryRecord{Stages: []CanaryStage{}}
	t.rep.Canary = rec
	live := &liveCanary{start: start, t: t}
	defer func() { err = errors.Join(err, live.close(ctx)) }()
	rehearsal, err := recall(t.j.rec, "canary/"+t.key+"/rehearsal", func() (pairOnDisk, error) {
		if err := live.stage(ctx, 0); err != nil {
			return failedPair(ctx, err)
		}
		return pairOnDisk{}, nil
	})
	if err != nil {
		return Finding{}, err
	}
	if rehearsal.Failed != "" {
		rec.Failed, rec.RolledBack = rehearsal.Failed, rehearsal.Failed
		return Finding{Outcome: Fail, Reason: rehearsal.Failed}, live.rollback(ctx, rehearsal.Failed)
	}
	rec.Rehearsed = true
	w := &watch{j: t.j, context: t.c.Context}
	defer w.learn()
	for k, share := range t.j.Policy.CanaryStages {
		stage, err := t.stage(ctx, live, rec, w, k, share)
		if err != nil {
			return Finding{}, err
		}
		rec.Stages = append(rec.Stages, stage)
		if stage.Outcome != Pass {
			rec.RolledBack = stage.Reason
			return Finding{Outcome: stage.Outcome, Reason: stage.Reason}, live.rollback(ctx, stage.Reason)
		}
	}
	return Finding{Outcome: Pass, Reason: fmt.Sprintf(
		"no harm through %d stages to 100 %% of the traffic, %d pairs, rollback rehearsed; %s", len(rec.Stages), len(rec.Pairs), w.words())}, nil
}

// stage observes pairs at one share until it may widen, must roll back or time
// is up.
func (t *trial) stage(ctx context.Context, live *liveCanary, rec *CanaryRecord, w *watch, k int, share float64) (CanaryStage, error) {
	p := t.j.Policy
	out := CanaryStage{Share: share}
	last := k == len(p.CanaryStages)-1
	bar := float64(k+1) / float64(len(p.CanaryStages)) * -math.Log(p.CanaryAlpha)
	for {
		i := len(rec.Pairs)
		if i >= p.CanaryPairsMax {
			out.Outcome = Inconclusive
			out.Reason = fmt.Sprintf("timeout: not shown to be harmless at %g %% of the traffic within %d pairs (%s)", 100*share, i, w.words())
			return out, nil
		}
		disk, err := recall(t.j.rec, fmt.Sprintf("canary/%s/%d", t.key, i), func() (pairOnDisk, error) {
			pair, err := live.observe(ctx, share, i)
			if err != nil {
				return failedPair(ctx, err)
			}
			r := pairRecord(pair)
			r.Share = share
			return pairOnDisk{Pair: r}, nil
		})
		if err != nil {
			return out, err
		}
		if disk.Failed == "" && disk.Pair.Share != share {
			return out, fmt.Errorf("canary pair %d was observed at %g of the traffic, not at %g: %w", i, disk.Pair.Share, share, ErrDiffers)
		}
		if disk.Failed != "" {
			rec.Failed = disk.Failed
			out.Outcome, out.Reason = Invalid, disk.Failed
			return out, nil
		}
		rec.Pairs = append(rec.Pairs, disk.Pair)
		out.Pairs++
		w.add(disk.Pair)
		t.progress(GateCanary, i+1, p.CanaryPairsMax)
		harm, metric := w.harm()
		out.LogHarm, out.Metric = harm, metric
		switch {
		case w.bad() != "":
			out.Outcome, out.Reason = Invalid, w.bad()
			return out, nil
		case harm >= w.harmBar():
			out.Outcome = Fail
			out.Reason = fmt.Sprintf("rolled back at %g %% of the traffic after %d pairs: %s is worse than the canary allows (%s), %s", 100*share, i+1, metric, w.line(metric), eWords(harm, w.harmBar()))
			return out, nil
		case out.Pairs >= p.CanaryPairs && w.harmless() >= bar:
			out.Outcome, out.Reason = Pass, w.words()
			if !last {
				out.Reason = fmt.Sprintf("widened: %s", eWords(w.harmless(), bar))
			}
			return out, nil
		}
	}
}

func failedPair(ctx context.Context, err error) (pairOnDisk, error) {
	if ctx.Err() != nil {
		return pairOnDisk{}, ctx.Err()
	}
	return pairOnDisk{Failed: err.Error()}, nil
}

// liveCanary starts the real canary only when a pair must really be observed:
// a resumed night stages and rehearses again and goes on at the share where it
// was.
type liveCanary struct {
	t     *trial
	start StartCanary
	on    Canary
	share float64
}

// stage makes sure that the canary runs at the share.
func (l *liveCanary) stage(ctx context.Context, share float64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.on == nil {
		if l.start == nil {
			return errors.New("no runtime was given to stage the candidate in")
		}
		on, err := l.start(ctx, l.t.c, l.t.verdict())
		if err != nil {
			return fmt.Errorf("staging: %w", err)
		}
		l.on, l.share = on, 0
		if err := on.Rehearse(ctx); err != nil {
			return fmt.Errorf("the rehearsed rollback did not work: %w", err)
		}
	}
	if l.share == share {
		return nil
	}
	if err := l.on.Widen(ctx, share); err != nil {
		return fmt.Errorf("widening to %g %%: %w", 100*share, err)
	}
	l.share = share
	return nil
}

func (l *liveCanary) observe(ctx context.Context, share float64, index int) (benchmarks.Pair, error) {
	if err := l.stage(ctx, share); err != nil {
		return benchmarks.Pair{}, err
	}
	p, err := l.on.Observe(ctx, index)
	if err != nil {
		return benchmarks.Pair{}, fmt.Errorf("pair %d: %w", index, err)
	}
	if p.Index != index {
		return benchmarks.Pair{}, fmt.Errorf("pair %d was answered with pair %d", index, p.Index)
	}
	for _, s := range []benchmarks.Sample{p.A, p.B} {
		for name, v := range s.Values {
			if !finite(v) {
				return benchmarks.Pair{}, fmt.Errorf("metric %s is %v in pair %d", name, v, index)
			}
		}
	}
	return p, nil
}

// rollback returns the traffic to the baseline; it works in a cancelled night
// too.
func (l *liveCanary) rollback(ctx context.Context, reason string) error {
	if l.on == nil {
		return nil // decided from the record: whatever ran then is gone
	}
	return l.on.Rollback(context.WithoutCancel(ctx), reason)
}

// close ends the canary; one that is left half-way by an error or a
// cancellation is rolled back first.
func (l *liveCanary) close(ctx context.Context) error {
	if l.on == nil {
		return nil
	}
	var err error
	if ctx.Err() != nil {
		err = l.rollback(ctx, "the night was interrupted")
	}
	err = errors.Join(err, l.on.Close())
	l.on = nil
	return err
}
