package factory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/ledger"
)

// ErrForeignJournal: the journal was not written by this study, this domain
// and these engines, so it cannot be gone on with.
var ErrForeignJournal = errors.New("journal belongs to another search")

// journalPurpose is in the header of every study journal.
const journalPurpose = "arqon study journal/1"

// recommendPurpose is in the header of every journal of a search alone.
const recommendPurpose = "arqon recommendation journal/1"

// The kinds of record. Their payloads are JSON.
const (
	kindStudy    uint16 = 1 // studyRecord, once, first
	kindBaseline uint16 = 2 // measureRecord: the baseline in a context
	kindTrial    uint16 = 3 // Trial
	kindRound    uint16 = 4 // roundRecord: everything of the round has been told
	kindStop     uint16 = 5 // stopRecord: the search has ended
	kindConfirm  uint16 = 6 // measureRecord: a finalist, afresh
	kindDone     uint16 = 7 // nothing follows
	kindSample   uint16 = 8 // sampleRecord, in a search alone
	kindProposed uint16 = 9 // proposedRecord: what an outside proposer said

	kindScreen uint16 = 10 // measureRecord: whether a finalist is beyond a measured guardrail; no values
)

// studyRecord ties a journal to what made it.
type studyRecord struct {
	Study  artifacts.Digest `json:"study"`
	Domain artifacts.Digest `json:"domain"`           // of the description, overrides included
	Elites artifacts.Digest `json:"elites,omitempty"` // of the points that the search began with
	Lanes  []laneRecord     `json:"lanes"`
}

type laneRecord struct {
	Context string `json:"context"`
	Engine  string `json:"engine"`
	Budget  int    `json:"budget"`
}

type roundRecord struct {
	Round  int `json:"round"`
	Trials int `json:"trials"` // told so far
}

// stopRecord holds the decision to stop: the clock may have had a part in it,
// so a replay reads it instead of a clock.
type stopRecord struct {
	Reason string `json:"reason"`
	Trials int    `json:"trials"`
}

// Trial is one proposal with what was measured.
type Trial struct {
	Lane    int                `json:"lane"`
	Index   int                `json:"index"` // within the lane, from 0
	Context string             `json:"context"`
	Engine  string             `json:"engine"`
	Point   json.RawMessage    `json:"point"` // canonical
	Origin  string             `json:"origin,omitempty"`
	Parents []int              `json:"parents,omitempty"` // indexes within the lane
	Type    string             `json:"type,omitempty"`    // variant type, as the domain built it
	Values  map[string]float64 `json:"values,omitempty"`
	Change  map[string]float64 `json:"change,omitempty"` // against the baseline, on each metric's compare scale
	Loss    engine.Loss        `json:"loss"`
	Failed  string             `json:"failed,omitempty"`
	Cached  bool               `json:"cached,omitempty"` // answered from memory: the context had this point already
}

// measureRecord is a measurement outside a lane.
type measureRecord struct {
	Context string             `json:"context"`
	Point   json.RawMessage    `json:"point"`
	Type    string             `json:"type,omitempty"`
	Values  map[string]float64 `json:"values,omitempty"`
	Change  map[string]float64 `json:"change,omitempty"`
	Loss    engine.Loss        `json:"loss"`
	Failed  string             `json:"failed,omitempty"`
}

// journal is the ledger of a search. While it still holds records of an
// earlier session it replays: what is written must then equal what is there.
type journal struct {
	log     *ledger.Log
	path    string
	queue   []ledger.Record
	written int // records put, replayed ones included
}

// openJournal opens the journal of an interrupted search or makes a new one.
func openJournal(path, purpose string, seed uint64, o ledger.Options) (*journal, error) {
	j := &journal{path: path}
	log, info, err := ledger.Open(path, o, func(r ledger.Record) error {
		j.queue = append(j.queue, r)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		j.log, err = ledger.Create(path, ledger.Header{Purpose: purpose, Seed: seed}, o)
		return j, err
	}
	if err != nil {
		return nil, err
	}
	j.log = log
	if info.Header.Purpose != purpose || info.Header.Seed != seed {
		err := fmt.Errorf("%s: %q with seed %d, want %q with seed %d: %w",
			path, info.Header.Purpose, info.Header.Seed, purpose, seed, ErrForeignJournal)
		return nil, errors.Join(err, log.Close())
	}
	return j, nil
}

// replaying reports whether records of an earlier session are left.
func (j *journal) replaying() bool { return len(j.queue) > 0 }

// peek decodes the next old record if it is of the kind.
func (j *journal) peek(kind uint16, v any) (bool, error) {
	if !j.replaying() || j.queue[0].Kind != kind {
		return false, nil
	}
	if err := json.Unmarshal(j.queue[0].Payload, v); err != nil {
		return false, fmt.Errorf("%s: record %d: %w", j.path, j.queue[0].Seq, err)
	}
	return true, nil
}

// put appends a record, or checks it against the one that is there.
func (j *journal) put(kind uint16, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", j.path, err)
	}
	if j.replaying() {
		old := j.queue[0]
		if old.Kind != kind || !bytes.Equal(old.Payload, payload) {
			return fmt.Errorf("%s: record %d is %.200s, this search would write %.200s: %w",
				j.path, old.Seq, old.Payload, payload, ErrForeignJournal)
		}
		j.queue = j.queue[1:]
	} else if _, err := j.log.Append(kind, payload); err != nil {
		return err
	}
	j.written++
	return nil
}

// flush hands the records to the system: they outlive this process.
func (j *journal) flush() error {
	if j.replaying() {
		return nil
	}
	return j.log.Flush()
}

// sync makes the records durable: they outlive the machine's power.
func (j *journal) sync() error {
	if j.replaying() {
		return nil
	}
	return j.log.Sync()
}

func (j *journal) close() error {
	if j == nil || j.log == nil {
		return nil
	}
	return j.log.Close()
}

// ReadTrials returns the trials of a journal in the order in which they were
// told. The journal may still be growing.
func ReadTrials(path string) ([]Trial, error) {
	var out []Trial
	info, err := ledger.Read(path, func(r ledger.Record) error {
		if r.Kind != kindTrial {
			return nil
		}
		var t Trial
		if err := json.Unmarshal(r.Payload, &t); err != nil {
			return fmt.Errorf("%s: record %d: %w", path, r.Seq, err)
		}
		out = append(out, t)
		return nil
	})
	if err == nil && info.Header.Purpose != journalPurpose {
		err = fmt.Errorf("%s: is %q: %w", path, info.Header.Purpose, ErrForeignJournal)
	}
	return out, err
}
