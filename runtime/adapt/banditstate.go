package adapt

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrState is wrapped when a snapshot cannot be restored.
var ErrState = errors.New("learner state is not well formed")

const stateBytesMax = 64 << 20

func decode(b []byte, v any) error {
	if len(b) > stateBytesMax {
		return fmt.Errorf("%d bytes, at most %d: %w", len(b), stateBytesMax, ErrState)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// banditLayout is the version of a snapshot. Before 2 an arm had no level, and
// what is believed of features was not part of the state; before 3 there was no
// link.
const banditLayout = 3

// banditState is everything that a bandit's next choice depends on.
type banditState struct {
	Layout      int                 `json:"layout"`
	Config      BanditConfig        `json:"config"`
	Step        uint64              `json:"step"`
	Arms        []arm               `json:"arms"`
	Populations [models]population  `json:"populations"`
	Commons     [models]common      `json:"commons"`
	Wide        population          `json:"wide"`
	WideTurn    int                 `json:"wide_turn"` // weight whose distribution was learned last
	WidePair    int                 `json:"wide_pair"` // arm and weight whose prior was looked at last
	Link        link                `json:"link"`
	Believed    hypothesis          `json:"believed"`
	Likely      [hypotheses]float64 `json:"likely"` // log likelihood of late rewards
	Turn        int                 `json:"turn"`   // arm that last took over what arms have in common
	Begun       bool                `json:"begun"`
	Origin      float64             `json:"origin"` // first reward: what all others are measured from
	Stale       bool                `json:"stale"`  // what was observed has still to take effect on other arms
	Noise       [kinds]spread       `json:"noise"`
	Rewards     moments             `json:"rewards"` // all of them, from Origin
	Gate        Gate                `json:"gate"`
	Scale       []float64           `json:"scale"` // of features; empty until the first request
	Alarms      float64             `json:"alarms"`
	Quiet       uint64              `json:"quiet"`   // alarms before this step are of the same change
	Serving     int                 `json:"serving"` // the arm that serves, −1: none
	Waiting     []choice            `json:"waiting"` // of a snapshot: choices without a reward, by slot
}

func (b *Bandit) newArm() arm {
	a := arm{}
	if wideDim(b.s.Config.Arms, b.s.Config.Dim) > 0 {
		a.Wide = newWide(&b.s.Wide)
	}
	for m := range a.Models {
		a.Models[m] = newLinear(b.s.Config.Dim + 1)
		a.Models[m].solve(1, &b.s.Populations[m], nil)
		a.Seen[m] = newSums(b.s.Config.Dim + 1)
		a.Levels[m] = level{b.s.Commons[m].Mean, b.s.Commons[m].Var}
	}
	return a
}

// Rearm changes what there is to choose from: arm i is what arm from[i] was, or
// new where from[i] is −1. Choices that wait for a reward are forgotten.
func (b *Bandit) Rearm(from []int, limitMS float64) error {
	c := b.s.Config
	c.Arms, c.LimitMS = len(from), limitMS
	if _, err := c.filled(); err != nil {
		return err
	}
	before, gate := b.s.Arms, b.s.Gate
	b.s.Config, b.s.Arms = c, make([]arm, c.Arms)
	b.rewiden(before)
	b.s.Gate = NewGate(c.Arms, limitMS)
	b.s.Gate.Level, b.s.Gate.LevelP, b.s.Gate.Noise = gate.Level, gate.LevelP, gate.Noise
	for i, k := range from {
		if k < 0 || k >= len(before) {
			b.s.Arms[i] = b.newArm()
			continue
		}
		b.s.Arms[i], b.s.Gate.Arms[i] = before[k], gate.Arms[k]
		b.s.Arms[i].waiting = 0
	}
	b.s.Gate.refresh()
	b.s.Serving, b.s.Turn = -1, 0
	b.scratch()
	return nil
}

// rewiden turns products of features on or off where another number of arms
// allows them or does not.
func (b *Bandit) rewiden(arms []arm) {
	b.s.WidePair = 0
	d := wideDim(b.s.Config.Arms, b.s.Config.Dim)
	if d == len(b.s.Wide.Mean) {
		return
	}
	b.s.Wide, b.s.WideTurn = newPopulation(d, b.s.Config.Ridge*b.noise(ownWeights)), 0
	for i := range arms {
		arms[i].Wide = wide{}
		if d > 0 {
			arms[i].Wide = newWide(&b.s.Wide)
		}
	}
	own, wide := hypothesisOf(ownWeights, 0), hypothesisOf(wideWeights, 0)
	b.s.Likely[wide] = b.s.Likely[own]
	if b.s.Believed == wide {
		b.s.Believed = own
	}
}

// Snapshot returns the whole state.
func (b *Bandit) Snapshot() ([]byte, error) {
	s := b.s
	s.Layout, s.Waiting = banditLayout, nil
	for _, c := range b.ring {
		if c.waiting {
			s.Waiting = append(s.Waiting, c)
		}
	}
	return json.Marshal(s)
}

// Restore takes a snapshot back; on an error the bandit is unchanged.
func (b *Bandit) Restore(raw []byte) error {
	var n struct {
		Layout int `json:"layout"`
	}
	if err := decode(raw, &n); err != nil {
		return err
	}
	if n.Layout != banditLayout {
		return fmt.Errorf("bandit: layout %d, this program reads %d: %w", n.Layout, banditLayout, ErrState)
	}
	return b.restore(raw)
}

func (b *Bandit) restore(raw []byte) error {
	var n banditState
	if err := decode(raw, &n); err != nil {
		return err
	}
	c, err := n.Config.filled()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	n.Config = c
	if !n.valid() {
		return fmt.Errorf("bandit: sizes or numbers: %w", ErrState)
	}
	waiting := n.Waiting
	n.Waiting = nil
	b.s = n
	for i := range b.s.Arms {
		b.s.Arms[i].Wide.restored()
	}
	b.scratch()
	for _, w := range waiting {
		c := &b.ring[w.T%pendingSize]
		copy(c.X, w.X)
		if c.waiting {
			b.s.Arms[c.Arm].waiting-- // two of one slot: the later one counts
		}
		c.T, c.Arm, c.Predicted, c.waiting = w.T, w.Arm, w.Predicted, true
		b.s.Arms[c.Arm].waiting++
	}
	return nil
}

func (n *banditState) valid() bool {
	c := n.Config
	d, q := c.Dim+1, wideDim(c.Arms, c.Dim)
	ok := len(n.Arms) == c.Arms && n.Noise[0].valid() && n.Noise[1].valid() && n.Noise[2].valid() && n.Wide.valid(q) && n.WideTurn >= 0 && n.WideTurn <= q && n.WidePair >= 0 && n.WidePair <= q*c.Arms && n.Rewards.valid() && n.Link.valid() && n.Gate.valid(c.Arms) && usable(n.Origin) && n.Alarms >= 0 && usable(n.Alarms) &&
		len(n.Waiting) <= pendingSize && (len(n.Scale) == 0 || len(n.Scale) == c.Dim) && allUsable(n.Scale) &&
		n.Believed >= 0 && n.Believed < hypotheses && (n.Believed.kind() != wideWeights || q > 0) && n.Turn >= 0 && n.Turn < c.Arms && n.Serving >= -1 && n.Serving < c.Arms && allUsable(n.Likely[:])
	for m := range n.Populations {
		ok = ok && n.Populations[m].valid(d) && n.Commons[m].valid(d-1)
	}
	for i := range n.Arms {
		a := &n.Arms[i]
		ok = ok && a.Noise[0].valid() && a.Noise[1].valid() && a.Noise[2].valid() && a.Wide.valid(q) && a.Last <= n.Step && a.Audit <= n.Step && usable(a.Odds)
		for m := range a.Models {
			ok = ok && a.Models[m].valid(d) && a.Seen[m].valid(d) && a.Levels[m].valid()
		}
	}
	for _, c := range n.Waiting {
		ok = ok && c.Arm >= 0 && c.Arm < n.Config.Arms && c.Predicted >= 0 && usable(c.Predicted) && len(c.X) == d && allUsable(c.X)
	}
	return ok
}

func allUsable(xs []float64) bool {
	for _, x := range xs {
		if !usable(x) {
			return false
		}
	}
	return true
}
