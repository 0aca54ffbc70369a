package gates

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// Beside is what a run keeps beside its report. A zero field is not at hand
// and not compared.
type Beside struct {
	GatesLedger string     // path of the night's ledger
	AlphaLedger string     // path of the year's error budget
	Policy      *Policy    // of the run's study
	Seed        *seed.Root // of the run
	Checker     Checker    // of signed charges; nil: signatures are not looked at
}

// Verification is what Verify compared.
type Verification struct {
	Run        string           `json:"run"`
	Outcome    Outcome          `json:"outcome"` // of the night: what was verified is that it follows, not that it is good
	Candidates int              `json:"candidates"`
	Results    int              `json:"results"` // decisions on one metric each
	Samples    int              `json:"samples"` // leaves under the root
	Root       artifacts.Digest `json:"samples_root"`
	Record     artifacts.Digest `json:"record"` // of the report's bytes: what a signature over the night names
	Policy     artifacts.Digest `json:"policy"`
	Ledger     int              `json:"ledger_answers"`         // raw answers of the night's ledger that agree
	NotSeen    []string         `json:"not_compared,omitempty"` // what was not at hand
}

// Verify derives every number of a report again, offline, and compares it with
// what lies beside it: the seal over its bytes, the root over its samples, the
// raw answers in the night's ledger, the registration, the charge on the error
// budget, the study's policy and seed. An error wraps ErrDiffers, ErrNoRaw,
// ErrBadNight, ErrNewerNight, ErrForeignNight or one of the ledger's.
//
// It proves that all of it is one consistent night, unchanged since it was
// written. Who wrote it is what the signatures over Verification.Record say.
func Verify(report []byte, at Beside) (Verification, error) {
	n, err := DecodeNight(report)
	if err != nil {
		return Verification{}, err
	}
	out := Verification{
		Run: n.Run, Outcome: n.Outcome, Candidates: len(n.Candidates), Samples: n.Samples, Root: n.SamplesRoot,
		Record: artifacts.DigestOf(report), Policy: n.PolicyDigest,
	}
	for _, c := range n.Candidates {
		out.Results += len(c.Results)
	}
	if n.Seal == "" {
		return out, fmt.Errorf("the record has no seal: %w", ErrBadNight)
	}
	disk, past, err := at.read(n) // damage is found before anything is derived
	if err != nil {
		return out, err
	}
	j, candidates, err := derive(n, report)
	if err != nil {
		return out, err
	}
	if at.Policy == nil {
		out.NotSeen = append(out.NotSeen, "the study's policy")
	} else if d := at.Policy.Digest(); d != n.PolicyDigest {
		return out, fmt.Errorf("the report follows policy %s, the study's is %s: %w", n.PolicyDigest.Short(), d.Short(), ErrDiffers)
	}
	if at.Seed == nil {
		out.NotSeen = append(out.NotSeen, "the run's seed")
	} else if uint64(*at.Seed) != n.Seed {
		return out, fmt.Errorf("the report's seed is not the run's: evidence from another night: %w", ErrForeignNight)
	}
	reg, err := j.registration(candidates)
	if err != nil {
		return out, err
	}
	reg.Started = n.Started
	registered, err := json.Marshal(reg)
	if err != nil {
		return out, err
	}
	if at.GatesLedger == "" {
		out.NotSeen = append(out.NotSeen, "the night's ledger")
	} else if out.Ledger, err = verifyLedger(at.GatesLedger, disk, n, j, string(registered)); err != nil {
		return out, err
	}
	if at.AlphaLedger == "" {
		out.NotSeen = append(out.NotSeen, "the error budget's ledger")
		return out, nil
	}
	return out, verifyCharge(at.AlphaLedger, past, n, artifacts.DigestOf(registered))
}

// whole refuses what a finished night cannot leave behind: a torn tail is
// normal only while somebody writes.
func whole(path string, info ledger.Info, err error) error {
	if err == nil && info.TornBytes > 0 {
		err = fmt.Errorf("%s: %d bytes at its end are no record: damaged or cut short: %w", path, info.TornBytes, ledger.ErrCorrupt)
	}
	return err
}

// read reads the ledgers that are at hand.
func (at Beside) read(n Night) (*recorder, []charged, error) {
	disk := &recorder{known: map[string]json.RawMessage{}, found: map[string]bool{}}
	if path := at.GatesLedger; path != "" {
		info, err := ledger.Read(path, disk.load)
		if err = whole(path, info, err); err != nil {
			return nil, nil, err
		}
		if info.Header.Purpose != gatesPurpose || info.Header.Seed != n.Seed {
			return nil, nil, fmt.Errorf("%s: %w", path, ErrForeignNight)
		}
	}
	if at.AlphaLedger == "" {
		return disk, nil, nil
	}
	past, err := AlphaLedger{Path: at.AlphaLedger, Checker: at.Checker}.read()
	return disk, past, err
}

// verifyLedger compares the night's ledger with what the report holds, answer
// by answer: none may differ, be missing or be left out.
func verifyLedger(path string, disk *recorder, n Night, j *Judge, registered string) (_ int, err error) {
	if disk.signed != registered {
		return 0, fmt.Errorf("%s: what was registered before the first pair is not what the report judges: %w", path, ErrForeignNight)
	}
	want := maps.Clone(j.rec.known)
	for key, v := range map[string]any{"alpha": n.Alpha, "ended": n.Ended} {
		if want[key], err = json.Marshal(v); err != nil {
			return 0, fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		got, ok := disk.known[key]
		if !ok && awaited(key, want[key]) {
			delete(want, key)
			continue
		}
		if !ok {
			return 0, fmt.Errorf("%s: holds no %s: %w", path, key, ErrNoRaw)
		}
		if string(got) != string(want[key]) {
			return 0, fmt.Errorf("%s: %s was recorded as %.120s, the report says %.120s: %w", path, key, got, want[key], ErrDiffers)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(disk.known)) {
		if _, ok := want[key]; !ok {
			return 0, fmt.Errorf("%s: %s was measured but is not in the report: %w", path, key, ErrDiffers)
		}
	}
	return len(want), verifyFindings(path, n, disk)
}

// awaited: a missing signature is asked for again on every resume and not
// recorded, so the report alone says it.
func awaited(key string, v json.RawMessage) bool {
	var f Finding
	return strings.HasPrefix(key, "approval/") && json.Unmarshal(v, &f) == nil && f.Outcome != Pass && f.Outcome != Fail
}

// verifyFindings: every finding of the report was noted when it was made. An
// INVALID night notes none, because it asks no gate.
func verifyFindings(path string, n Night, disk *recorder) error {
	if n.Outcome == Invalid {
		return nil
	}
	for _, c := range n.Candidates {
		for _, f := range c.Findings {
			b, err := noteOf(c.Context+"/"+string(c.Identity), f)
			if err != nil {
				return err
			}
			if !disk.found[string(b)] {
				return fmt.Errorf("%s: the %s gate's finding about %s is not the one in the report: %w", path, f.Gate, c.Name, ErrDiffers)
			}
		}
	}
	return nil
}

// verifyCharge finds the night's charge and what the year had spent by then.
func verifyCharge(path string, past []charged, n Night, registered artifacts.Digest) error {
	for i, c := range past {
		if c.Run != n.Run || c.Candidates != registered {
			continue
		}
		then, _, err := spend(past[:i+1], n.Policy.Budget(), c.Charge)
		if err != nil {
			return fmt.Errorf("alpha ledger %s: %w", path, err)
		}
		if then != n.Alpha {
			return fmt.Errorf("alpha ledger %s: %s was charged %+v, the report says %+v: %w", path, n.Run, then, n.Alpha, ErrDiffers)
		}
		return nil
	}
	return fmt.Errorf("alpha ledger %s: %d charges, none for this night of %s: it was never charged, or the ledger was replaced: %w", path, len(past), n.Run, ErrDiffers)
}
