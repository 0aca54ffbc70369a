package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/ledger"
)

const alphaPurpose = "arqon alpha ledger/1"

const kindCharge uint16 = 1

// ErrAlphaSpent: the year's error budget does not cover another night.
var ErrAlphaSpent = errors.New("the year's error budget is spent")

// Charge is one night's draw on the year's error budget.
type Charge struct {
	Run        string           `json:"run"`
	Year       int              `json:"year"`
	Alpha      float64          `json:"alpha"`
	K          int              `json:"k"`
	Candidates artifacts.Digest `json:"candidates"` // of the registration, its start included
}

// Take records the charge in the hash-chained ledger at path (created if
// absent) before anything is measured, and returns the budget after it. A
// charge that is there already is not taken again; a rerun registers anew and
// is a new charge. A charge that would pass budget is refused with ErrAlphaSpent and
// nothing is written. Two processes never spend at once: the ledger is locked.
func Take(ctx context.Context, path string, budget float64, c Charge) (Alpha, error) {
	var past []Charge
	log, err := openAlpha(ctx, path, &past)
	if err != nil {
		return Alpha{}, err
	}
	out, write, err := spend(past, budget, c)
	if err == nil && write {
		var b []byte
		if b, err = json.Marshal(c); err == nil {
			_, err = log.AppendSync(kindCharge, b)
		}
	}
	if err = errors.Join(err, log.Close()); err != nil {
		return Alpha{}, fmt.Errorf("alpha ledger %s: %w", path, err)
	}
	return out, nil
}

// readAlpha reads the charges without locking or changing the file.
func readAlpha(path string) ([]Charge, error) {
	var past []Charge
	info, err := ledger.Read(path, charges(&past))
	if err = whole(path, info, err); err != nil {
		return nil, fmt.Errorf("alpha ledger: %w", err)
	}
	if info.Header.Purpose != alphaPurpose {
		return nil, fmt.Errorf("%s: its purpose is %.80q: %w", path, info.Header.Purpose, ledger.ErrForeign)
	}
	return past, nil
}

func charges(past *[]Charge) func(ledger.Record) error {
	return func(r ledger.Record) error {
		var c Charge
		if r.Kind != kindCharge {
			return fmt.Errorf("record %d: kind %d is not a charge", r.Seq, r.Kind)
		}
		if err := json.Unmarshal(r.Payload, &c); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		*past = append(*past, c)
		return nil
	}
}

func openAlpha(ctx context.Context, path string, past *[]Charge) (*ledger.Log, error) {
	visit := charges(past)
	const tries = 100
	for try := 0; ; try++ {
		*past = nil
		log, err := ledger.Create(path, ledger.Header{Purpose: alphaPurpose}, ledger.Options{})
		if errors.Is(err, ledger.ErrExists) {
			var info ledger.Info
			log, info, err = ledger.Open(path, ledger.Options{}, visit)
			if err == nil && info.Header.Purpose != alphaPurpose {
				return nil, errors.Join(fmt.Errorf("%s: its purpose is %.80q: %w", path, info.Header.Purpose, ledger.ErrForeign), log.Close())
			}
		}
		if !errors.Is(err, ledger.ErrLocked) || try == tries {
			return log, err
		}
		select { // somebody else spends: that takes milliseconds
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond): //nolint:forbidigo // a wait for a lock, no decision
		}
	}
}

// spend is the arithmetic of Take.
func spend(past []Charge, budget float64, c Charge) (out Alpha, write bool, err error) {
	out = Alpha{Year: budget, Night: c.Alpha, K: c.K, LogBar: evalue.LogBar(c.K, c.Alpha)}
	out.Bar, out.Test = float64(c.K)/c.Alpha, c.Alpha/float64(c.K)
	for _, p := range past {
		if p.Year != c.Year {
			continue
		}
		out.Spent += p.Alpha
		out.Nights++
		if p == c {
			return out, false, nil // as it stood right after the charge, on every resume
		}
	}
	if out.Spent+c.Alpha > budget*(1+1e-9) {
		return Alpha{}, false, fmt.Errorf("%d nights of %d have taken %.3g of %.3g, tonight needs %.3g: %w",
			out.Nights, c.Year, out.Spent, budget, c.Alpha, ErrAlphaSpent)
	}
	out.Spent += c.Alpha
	out.Nights++
	return out, true, nil
}
