package gates

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
)

const gatesPurpose = "arqon gates/1"

// The kinds of record in a night's ledger.
const (
	kindRegistered uint16 = 1 // what is judged, before the first pair
	kindMeasured   uint16 = 2 // one raw answer of the world
	kindFound      uint16 = 3 // one finding, for whoever reads the ledger alone
)

// What a night refuses to continue with.
var (
	// ErrForeignNight: the ledger belongs to another set of candidates, seed
	// or policy.
	ErrForeignNight = errors.New("recorded for another night")
	// ErrNoRaw: a replay needs a raw value that the record does not hold.
	ErrNoRaw = errors.New("raw data is missing from the record")
)

// entry is one measured answer on disk.
type entry struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// recorder stands between the judge and the world: every answer of the world
// has a key and is written down, durably, before it is used. A killed night
// therefore resumes by running again: what is known is not asked twice, and
// decisions are functions of what is known. In replay the world is not asked
// at all.
type recorder struct {
	known  map[string]json.RawMessage
	found  map[string]bool
	log    *ledger.Log // nil: replay
	signed string      // the registration that the ledger holds
}

// openRecorder opens or creates the ledger of a night.
func openRecorder(path string, root uint64, o ledger.Options) (*recorder, error) {
	r := &recorder{known: map[string]json.RawMessage{}, found: map[string]bool{}}
	log, err := ledger.Create(path, ledger.Header{Purpose: gatesPurpose, Seed: root}, o)
	if errors.Is(err, ledger.ErrExists) {
		var info ledger.Info
		log, info, err = ledger.Open(path, o, r.load)
		if err == nil && (info.Header.Purpose != gatesPurpose || info.Header.Seed != root) {
			err = errors.Join(fmt.Errorf("%s: %w", path, ErrForeignNight), log.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	r.log = log
	return r, nil
}

func (r *recorder) load(rec ledger.Record) error {
	switch rec.Kind {
	case kindRegistered:
		r.signed = string(rec.Payload)
	case kindMeasured:
		var e entry
		if err := json.Unmarshal(rec.Payload, &e); err != nil {
			return fmt.Errorf("record %d: %w", rec.Seq, err)
		}
		r.known[e.Key] = e.Value
	case kindFound:
		r.found[string(rec.Payload)] = true
	default:
		return fmt.Errorf("record %d: kind %d is not known: %w", rec.Seq, rec.Kind, ErrForeignNight)
	}
	return nil
}

// registration is what is written before the first pair.
type registration struct {
	Run        string           `json:"run"`
	Seed       uint64           `json:"seed,string"`
	Policy     artifacts.Digest `json:"policy"`
	Contexts   artifacts.Digest `json:"contexts"`
	Candidates []string         `json:"candidates"`
	Started    string           `json:"started"`
}

// register writes the registration once; later it must be the same one. The
// start of the night is the first one.
func (r *recorder) register(reg *registration) error {
	if r.signed != "" {
		var old registration
		if err := json.Unmarshal([]byte(r.signed), &old); err != nil {
			return fmt.Errorf("registration: %w", err)
		}
		reg.Started = old.Started
	}
	b, err := json.Marshal(reg)
	if err != nil {
		return err
	}
	if r.signed != "" {
		if r.signed != string(b) {
			return fmt.Errorf("the candidates, the policy, the metrics or the seed differ from those registered: %w", ErrForeignNight)
		}
		return nil
	}
	r.signed = string(b)
	_, err = r.log.AppendSync(kindRegistered, b)
	return err
}

// knows reports whether the world has answered already.
func (r *recorder) knows(key string) bool { _, ok := r.known[key]; return ok }

// recall returns the recorded answer, or asks and records. What is returned
// has always been through its encoding, so that a first run and a resumed one
// see the same bits.
func recall[T any](r *recorder, key string, ask func() (T, error)) (T, error) {
	var out T
	raw, ok := r.known[key]
	if !ok {
		if r.log == nil {
			return out, fmt.Errorf("%s: %w", key, ErrNoRaw)
		}
		v, err := ask()
		if err != nil {
			return out, err
		}
		if raw, err = json.Marshal(v); err != nil {
			return out, fmt.Errorf("%s: %w", key, err)
		}
		line, err := json.Marshal(entry{Key: key, Value: raw})
		if err != nil {
			return out, err
		}
		if _, err := r.log.AppendSync(kindMeasured, line); err != nil {
			return out, err
		}
		r.known[key] = raw
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("%s: %w", key, err)
	}
	return out, nil
}

// put fills a replay.
func (r *recorder) put(key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if _, ok := r.known[key]; ok {
		return fmt.Errorf("%s: recorded twice: %w", key, ErrBadNight)
	}
	r.known[key] = raw
	return nil
}

// note writes a finding down once.
func (r *recorder) note(key string, f Finding) error {
	if r.log == nil {
		return nil
	}
	b, err := noteOf(key, f)
	if err != nil {
		return err
	}
	if r.found[string(b)] {
		return nil
	}
	r.found[string(b)] = true
	_, err = r.log.AppendSync(kindFound, b)
	return err
}

// noteOf is a finding as the ledger holds it.
func noteOf(key string, f Finding) ([]byte, error) {
	return json.Marshal(struct {
		Key     string  `json:"key"`
		Finding Finding `json:"finding"`
	}{key, f})
}

func (r *recorder) close() error {
	if r.log == nil {
		return nil
	}
	return r.log.Close()
}

// evalOnDisk is EvalRecord with its series inside.
type evalOnDisk struct {
	Values      map[string]float64 `json:"values,omitempty"`
	Items       map[string]Series  `json:"items,omitempty"`
	Failed      string             `json:"failed,omitempty"`
	Unsupported bool               `json:"unsupported,omitempty"`
}

// pairOnDisk is one pair, or why there is none.
type pairOnDisk struct {
	Pair   PairRecord `json:"pair"`
	Failed string     `json:"failed,omitempty"`
}

func pairRecord(p benchmarks.Pair) PairRecord {
	return PairRecord{
		Index: p.Index, BFirst: p.BFirst, A: p.A.Values, B: p.B.Values,
		CanaryNS: p.CanaryNS, Marked: p.Marked,
	}
}
