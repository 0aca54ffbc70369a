package runtime

import (
	"encoding/json"
	"fmt"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime/adapt"
)

// adaptState is a snapshot of Tier 2, and what its record in the event log
// holds: without learners and tuners it is where everything begins.
type adaptState struct {
	Config AdaptConfig    `json:"config"`
	Lanes  []learnerState `json:"lanes,omitempty"`
	Tuners []tunerState   `json:"tuners,omitempty"`
}

type learnerState struct {
	IDs    []catalog.VariantID `json:"ids"`
	Limit  float64             `json:"limit"`
	Scale  float64             `json:"scale"`
	Tuning catalog.VariantID   `json:"tuning"`
	Bandit json.RawMessage     `json:"bandit,omitempty"`
}

type tunerState struct {
	Variant catalog.VariantID `json:"variant"`
	Knobs   []KnobID          `json:"knobs"`
	Ranges  []adapt.Range     `json:"ranges"`
	Asked   bool              `json:"asked"`
	Tuner   json.RawMessage   `json:"tuner"`
}

// Snapshot returns the whole state of Tier 2, for ResumeAdaptation.
func (a *Adaptation) Snapshot() ([]byte, error) {
	s := adaptState{Config: a.cfg}
	for _, l := range a.lanes {
		n := learnerState{IDs: l.ids, Limit: l.limit, Scale: l.scale, Tuning: l.tuning}
		if l.bandit != nil {
			var err error
			if n.Bandit, err = l.bandit.Snapshot(); err != nil {
				return nil, err
			}
		}
		s.Lanes = append(s.Lanes, n)
	}
	for _, t := range a.tuners {
		b, err := t.search.Snapshot()
		if err != nil {
			return nil, err
		}
		s.Tuners = append(s.Tuners, tunerState{t.variant, t.knobs, t.ranges, t.asked, b})
	}
	return json.Marshal(s)
}

func newAdaptation(s adaptState, root uint64) (*Adaptation, error) {
	if _, err := adapt.NewBandit(adapt.BanditConfig{Arms: 1, Policy: s.Config.Policy}); err != nil {
		return nil, fmt.Errorf("adaptation: %w", err)
	}
	if _, err := adapt.NewTuner(adapt.TunerConfig{Algorithm: s.Config.Algorithm}, []adapt.Range{{Max: 1}}, []float64{0}); err != nil {
		return nil, fmt.Errorf("adaptation: %w", err)
	}
	a := &Adaptation{cfg: s.Config, seed: seed.Derive(seed.Root(root), "runtime/adapt")}
	bad := func(what string, i int) error { return fmt.Errorf("adaptation: %s %d: %w", what, i, adapt.ErrState) }
	if len(s.Lanes) > classesMax {
		return nil, bad("class", len(s.Lanes))
	}
	for i, l := range s.Lanes {
		n := learner{ids: l.IDs, limit: l.Limit, scale: l.Scale, tuning: l.Tuning}
		if l.Bandit != nil {
			n.bandit = &adapt.Bandit{}
			if err := n.bandit.Restore(l.Bandit); err != nil {
				return nil, fmt.Errorf("adaptation: class %d: %w", i, err)
			}
		}
		if !(l.Scale >= 0) || !finite(l.Scale) || n.bandit == nil && len(l.IDs) > 0 || n.bandit != nil && n.bandit.Arms() != len(l.IDs) {
			return nil, bad("class", i)
		}
		a.lanes = append(a.lanes, n)
	}
	for i, t := range s.Tuners {
		n := tuner{variant: t.Variant, knobs: t.Knobs, ranges: t.Ranges, asked: t.Asked, search: &adapt.Tuner{}}
		if err := n.search.Restore(t.Tuner); err != nil {
			return nil, fmt.Errorf("adaptation: variant %d: %w", t.Variant, err)
		}
		if len(t.Knobs) != len(t.Ranges) || n.search.Knobs() != len(t.Knobs) || i > 0 && s.Tuners[i-1].Variant >= t.Variant {
			return nil, bad("tuner", i)
		}
		a.tuners = append(a.tuners, n)
	}
	return a, nil
}

// adaptStep is what Tier 2 came to on one window.
type adaptStep struct {
	Choices   []Choice
	Proposals []Proposal
}

// stepsMax bounds the choices and the proposals of one step: one a class.
const stepsMax = classesMax

func (s adaptStep) encode(b []byte) []byte {
	b = le.AppendUint32(b, uint32(len(s.Choices)))
	for _, c := range s.Choices {
		b = le.AppendUint16(b, uint16(c.Class))
		b = le.AppendUint32(b, uint32(c.Variant))
		b = appendFloat(b, c.Propensity)
	}
	b = le.AppendUint32(b, uint32(len(s.Proposals)))
	for _, p := range s.Proposals {
		at := len(b)
		b = p.encode(le.AppendUint32(b, 0))
		le.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

func decodeStep(b []byte) (adaptStep, error) {
	r := reader{b: b, what: "step"}
	var out adaptStep
	for range r.count(stepsMax, 14, "choices") {
		out.Choices = append(out.Choices, Choice{Class: Class(r.u16()), Variant: catalog.VariantID(r.u32()), Propensity: r.float()})
	}
	for range r.count(stepsMax, 4, "proposals") {
		n := r.count(len(b), 1, "bytes")
		p, err := decodeProposal(r.take(n))
		if r.err != nil {
			return out, r.err
		}
		if err != nil {
			return out, err
		}
		out.Proposals = append(out.Proposals, p)
	}
	return out, r.end()
}
