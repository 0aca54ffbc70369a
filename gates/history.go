package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
)

// What identical builds do on one machine hardly changes from night to night.
// When it does, something else has: a neighbour, a governor, a timer. The noise
// ledger keeps what the identical pairs of the A/A control showed each night,
// and a night whose noise lies outside its machine's history is INVALID.

const noisePurpose = "arqon noise ledger/1"

const kindNoise uint16 = 1

// The history that a night is held against.
const (
	historyFew  = 8  // nights before it says anything
	historyMost = 30 // nights that it remembers
	// newNormal nights in a row outside the history are a new history: a machine
	// may change for good.
	newNormal = 3
	// historyWide times the standard error of prediction is outside. At
	// historyFew nights Student's t puts 1.6 nights of 1,000 there by chance, and
	// fewer as the history grows.
	historyWide = 5.0
	// spreadLeast is the standard deviation of ln(sd) that the MAD of some 30
	// pairs has by itself.
	spreadLeast = .25
)

// NoiseHistory is what earlier nights of this machine showed, as tonight found
// it.
type NoiseHistory struct {
	Metrics []PastNoise `json:"metrics"`
}

// PastNoise is one metric's noise in earlier nights, oldest first.
type PastNoise struct {
	Metric string    `json:"metric"`
	SD     []float64 `json:"sd"` // of one pair, 1.4826·MAD, of nights that were not outside
}

// noiseRecord is one night's A/A control in the noise ledger.
type noiseRecord struct {
	Run     string             `json:"run"`
	Host    Host               `json:"host"`
	Domain  string             `json:"domain"`
	Version string             `json:"version"`
	Context string             `json:"context"`
	SD      map[string]float64 `json:"sd"`
	Outside bool               `json:"outside,omitempty"`
}

// like reports whether two nights' noise can be compared: same machine, same
// work.
func (r noiseRecord) like(o noiseRecord) bool {
	return r.Host == o.Host && r.Domain == o.Domain && r.Version == o.Version && r.Context == o.Context
}

func noiseVisit(past *[]noiseRecord) func(ledger.Record) error {
	return func(r ledger.Record) error {
		if r.Kind != kindNoise {
			return fmt.Errorf("record %d: kind %d is not known", r.Seq, r.Kind)
		}
		var n noiseRecord
		if err := json.Unmarshal(r.Payload, &n); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		*past = append(*past, n)
		return nil
	}
}

// historyOf picks what tonight is compared with: the nights like it that were
// not outside, or the last newNormal if all of those were.
func historyOf(past []noiseRecord, tonight noiseRecord) NoiseHistory {
	var inside, outside []noiseRecord
	for _, p := range past {
		switch {
		case !p.like(tonight) || p.Run == tonight.Run:
		case !p.Outside:
			inside, outside = append(inside, p), nil
		default:
			if outside = append(outside, p); len(outside) == newNormal {
				inside, outside = outside, nil
			}
		}
	}
	inside = inside[max(0, len(inside)-historyMost):]
	byMetric := map[string][]float64{}
	var names []string
	for _, p := range inside {
		for name, sd := range p.SD {
			if byMetric[name] == nil {
				names = append(names, name)
			}
			byMetric[name] = append(byMetric[name], sd)
		}
	}
	slices.Sort(names)
	out := NoiseHistory{Metrics: []PastNoise{}}
	for _, name := range names {
		out.Metrics = append(out.Metrics, PastNoise{Metric: name, SD: byMetric[name]})
	}
	return out
}

// readHistory reads the noise ledger; a missing one is an empty history.
func (j *Judge) readHistory(where string) (NoiseHistory, error) {
	var past []noiseRecord
	if _, err := os.Lstat(j.NoisePath); errors.Is(err, fs.ErrNotExist) {
		return historyOf(nil, noiseRecord{}), nil
	}
	info, err := ledger.Read(j.NoisePath, noiseVisit(&past))
	if err == nil && info.Header.Purpose != noisePurpose {
		err = fmt.Errorf("its purpose is %.80q: %w", info.Header.Purpose, ledger.ErrForeign)
	}
	if err != nil {
		return NoiseHistory{}, fmt.Errorf("noise ledger %s: %w", j.NoisePath, err)
	}
	return historyOf(past, j.noiseRecord(where)), nil
}

func (j *Judge) noiseRecord(where string) noiseRecord {
	return noiseRecord{Run: j.Run, Host: j.Host, Domain: j.Description.Name, Version: j.Description.Version, Context: where}
}

// controlHistory holds tonight's identical builds against earlier nights.
func (j *Judge) controlHistory(where string, all []*measuredSeries) error {
	if j.NoisePath == "" && !j.rec.knows("noise-history") {
		return nil
	}
	past, err := recall(j.rec, "noise-history", func() (NoiseHistory, error) { return j.readHistory(where) })
	if err != nil {
		return err
	}
	j.night.NoiseHistory = &past
	c := Control{Name: controlNoise, Context: where, Want: "the noise that this machine had in earlier nights", Outcome: Inconclusive}
	c.Reason = fmt.Sprintf("not applicable: %d earlier nights are needed", historyFew)
	for _, s := range all {
		i := slices.IndexFunc(past.Metrics, func(p PastNoise) bool { return p.Metric == s.metric.Name })
		if i < 0 || s.bad != nil || len(past.Metrics[i].SD) < historyFew {
			continue
		}
		sd := s.d.Pairs().SD()
		low, high := past.Metrics[i].usual()
		words := fmt.Sprintf("%s: one pair of identical builds has a noise of %.3g %%, earlier nights had %.3g to %.3g %%",
			s.metric.Name, 100*sd, 100*low, 100*high)
		if sd < low || sd > high {
			c.Outcome, c.Metric = Fail, s.metric.Name
			c.Reason = words + ": something about the machine has changed. See what else runs, and how its clock is governed, and judge again; " +
				fmt.Sprintf("%d nights in a row like this one make a new history", newNormal)
			break
		}
		if c.Outcome == Inconclusive {
			c.Outcome, c.Metric, c.Reason = Pass, s.metric.Name, words
		}
	}
	j.night.Controls = append(j.night.Controls, c)
	return nil
}

// usual is the interval in which the noise of one more night is expected: a
// prediction interval for ln(sd).
func (p PastNoise) usual() (low, high float64) {
	n := float64(len(p.SD))
	var sum, squares float64
	for _, sd := range p.SD {
		l := math.Log(max(sd, 1e-12))
		sum += l
		squares += float64(l * l)
	}
	mean := sum / n
	spread := max(spreadLeast, math.Sqrt(max(0, squares-float64(n*mean)*mean)/(n-1)))
	wide := historyWide * spread * math.Sqrt(1+1/n)
	return math.Exp(mean - wide), math.Exp(mean + wide)
}

// writeHistory notes what tonight's identical builds showed, once.
func (j *Judge) writeHistory(ctx context.Context) (err error) {
	if j.NoisePath == "" {
		return nil
	}
	c := j.control(controlSameCode)
	if c == nil || c.Outcome == Inconclusive || len(c.Pairs) == 0 {
		return nil
	}
	tonight := j.noiseRecord(c.Context)
	tonight.SD = map[string]float64{}
	for _, m := range j.order[c.Context] {
		if m.Kind != benchmarks.Measured {
			continue
		}
		if s := j.series(c.Context, m).addAll(c.Pairs); s.bad == nil {
			tonight.SD[m.Name] = s.d.Pairs().SD()
		}
	}
	if h := j.control(controlNoise); h != nil {
		tonight.Outside = h.Outcome == Fail
	}
	var past []noiseRecord
	log, err := openShared(ctx, j.NoisePath, noisePurpose, func() func(ledger.Record) error {
		past = nil
		return noiseVisit(&past)
	})
	if err != nil {
		return fmt.Errorf("noise ledger: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if slices.ContainsFunc(past, func(p noiseRecord) bool { return p.Run == tonight.Run && p.like(tonight) }) {
		return nil
	}
	b, err := json.Marshal(tonight)
	if err != nil {
		return err
	}
	_, err = log.AppendSync(kindNoise, b)
	return err
}

func (j *Judge) control(name string) *Control {
	for i := range j.night.Controls {
		if j.night.Controls[i].Name == name {
			return &j.night.Controls[i]
		}
	}
	return nil
}
