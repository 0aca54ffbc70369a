package gates

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/ledger"
)

const alphaPurpose = "arqon alpha ledger/1"

// The kinds of record in the year's ledger.
const (
	kindCharge       uint16 = 1 // a charge that nobody signed
	kindSignedCharge uint16 = 2
)

// What a charge is refused with.
var (
	// ErrAlphaSpent: the year's error budget does not cover another night.
	ErrAlphaSpent = errors.New("the year's error budget is spent")
	// ErrAlphaLost: the ledger is not the one that somebody remembers: it was
	// deleted, replaced, cut short or rewritten.
	ErrAlphaLost = errors.New("the error budget's ledger is not the one that is remembered")
	// ErrUnsigned: a charge lacks the signature that it needs.
	ErrUnsigned = errors.New("not signed by a key that is believed")
	// ErrClock: the clock went back.
	ErrClock = errors.New("the clock went back")
)

// Charge is one night's draw on the year's error budget.
type Charge struct {
	Run        string           `json:"run"`
	Year       int              `json:"year"`
	Alpha      float64          `json:"alpha"`
	K          int              `json:"k"`
	Candidates artifacts.Digest `json:"candidates"` // of the registration, its start included

	Waivers   []artifacts.Digest `json:"waivers,omitempty"`   // in force tonight
	Study     string             `json:"study,omitempty"`     //
	Approvers int                `json:"approvers,omitempty"` // see Judge
	Rules     *Policy            `json:"rules,omitempty"`     // tonight's policy, for the next night to be held against
	Adoption  *Adoption          `json:"adoption,omitempty"`
}

// same reports whether two charges say the same.
func (c Charge) same(d Charge) bool { return reflect.DeepEqual(c, d) }

// Budget is what all nights of a year may take together.
type Budget struct {
	Alpha   float64 // error probability
	Waivers int     // distinct waivers
}

// AlphaHead is what somebody remembers of the ledger: the chain after the
// charge with the sequence. A later ledger must still hold it.
type AlphaHead struct {
	Sequence uint64 `json:"sequence"`
	Head     string `json:"head"` // 64 hexadecimal digits
}

// AlphaLedger is the error budget that all nights of a place share: one
// hash-chained, append-only file, a lock around every charge.
//
// With a Signer every new charge is signed, together with the whole chain
// before it. With a Checker every signature must hold, and once a charge is
// signed no later one may be unsigned; the charges before the first signed one
// are endorsed by it.
type AlphaLedger struct {
	Path    string
	Signer  Signer      // nil: charges are not signed
	Checker Checker     // nil: signatures are not looked at
	Heads   []AlphaHead // what runs and repositories remember: a deleted or shortened ledger is noticed
}

// Take is AlphaLedger.Take without signatures and without a memory.
func Take(ctx context.Context, path string, budget Budget, c Charge) (Alpha, error) {
	return AlphaLedger{Path: path}.Take(ctx, budget, c)
}

// Take records the charge (the file is created if absent and nobody remembers
// one) before anything is measured, and returns the budget after it. A charge
// that is there already is not taken again; a rerun registers anew and is a new
// charge. A charge that would pass budget is refused with ErrAlphaSpent or ErrWaiver,
// one under a looser policy that nobody adopted with ErrLooser, one of
// a year before the last one with ErrClock, and nothing is written. Two
// processes never spend at once: the ledger is locked.
func (l AlphaLedger) Take(ctx context.Context, budget Budget, c Charge) (Alpha, error) {
	out, err := l.take(ctx, budget, c)
	if err != nil {
		return Alpha{}, fmt.Errorf("alpha ledger %s: %w", l.Path, err)
	}
	return out, nil
}

func (l AlphaLedger) take(ctx context.Context, budget Budget, c Charge) (out Alpha, err error) {
	if _, err := os.Lstat(l.Path); errors.Is(err, fs.ErrNotExist) && len(l.Heads) > 0 {
		return Alpha{}, fmt.Errorf("there is none, but %d runs remember one: restore it from a copy: %w", len(l.Heads), ErrAlphaLost)
	}
	var past []charged
	log, err := openShared(ctx, l.Path, alphaPurpose, func() func(ledger.Record) error {
		past = nil
		return l.visit(&past)
	})
	if err != nil {
		return Alpha{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := remembered(past, l.Heads); err != nil {
		return Alpha{}, err
	}
	out, write, err := spend(past, budget, c)
	if err != nil || !write {
		return out, err
	}
	kind, payload, err := l.payload(past, c)
	if err != nil {
		return Alpha{}, err
	}
	out.Sequence, err = log.AppendSync(kind, payload)
	out.Head = log.Head()
	return out, err
}

// charged is a charge with its place in the chain.
type charged struct {
	Charge
	place  AlphaHead
	signed *Signature
}

// signedCharge is the wire form of a signed charge.
type signedCharge struct {
	Charge    json.RawMessage `json:"charge"`
	Signature Signature       `json:"signature"`
}

func (l AlphaLedger) payload(past []charged, c Charge) (kind uint16, payload []byte, err error) {
	b, err := json.Marshal(c)
	if err != nil {
		return 0, nil, err
	}
	if l.Signer == nil {
		if len(past) > 0 && past[len(past)-1].signed != nil {
			return 0, nil, fmt.Errorf("its charges are signed and no key is at hand for the next: %w", ErrUnsigned)
		}
		return kindCharge, b, nil
	}
	s, err := l.Signer.Sign(chargeMessage(headOf(past), b))
	if err != nil {
		return 0, nil, fmt.Errorf("signing the charge: %w", err)
	}
	payload, err = json.Marshal(signedCharge{Charge: b, Signature: s})
	return kindSignedCharge, payload, err
}

// chargeMessage is what a charge's signature covers: the chain before it too.
func chargeMessage(before string, charge []byte) []byte {
	return message("alpha charge/1", []byte(before), charge)
}

func headOf(past []charged) string {
	if len(past) == 0 {
		return ""
	}
	return past[len(past)-1].place.Head
}

// remembered refuses a ledger that lost what somebody saw in it.
func remembered(past []charged, heads []AlphaHead) error {
	for _, h := range heads {
		i := slices.IndexFunc(past, func(c charged) bool { return c.place.Sequence == h.Sequence })
		if i < 0 {
			return fmt.Errorf("a run remembers charge %d, it holds %d: it was deleted or cut short: restore it from a copy: %w", h.Sequence, len(past), ErrAlphaLost)
		}
		if past[i].place.Head != h.Head {
			return fmt.Errorf("a run remembers charge %d with head %.12s, it has %.12s: it was replaced: %w", h.Sequence, h.Head, past[i].place.Head, ErrAlphaLost)
		}
	}
	return nil
}

// read reads the charges without locking or changing the file.
func (l AlphaLedger) read() ([]charged, error) {
	var past []charged
	info, err := ledger.Read(l.Path, l.visit(&past))
	if err = whole(l.Path, info, err); err != nil {
		return nil, fmt.Errorf("alpha ledger: %w", err)
	}
	if info.Header.Purpose != alphaPurpose {
		return nil, fmt.Errorf("%s: its purpose is %.80q: %w", l.Path, info.Header.Purpose, ledger.ErrForeign)
	}
	if err := remembered(past, l.Heads); err != nil {
		return nil, fmt.Errorf("alpha ledger %s: %w", l.Path, err)
	}
	return past, nil
}

// visit decodes one record and checks its signature.
func (l AlphaLedger) visit(past *[]charged) func(ledger.Record) error {
	return func(r ledger.Record) error {
		c := charged{place: AlphaHead{Sequence: r.Seq, Head: hex.EncodeToString(r.Chain[:])}}
		raw := json.RawMessage(r.Payload)
		switch r.Kind {
		case kindCharge:
			if n := len(*past); n > 0 && (*past)[n-1].signed != nil {
				return fmt.Errorf("charge %d follows a signed one: %w", r.Seq, ErrUnsigned)
			}
		case kindSignedCharge:
			var s signedCharge
			if err := json.Unmarshal(r.Payload, &s); err != nil {
				return fmt.Errorf("record %d: %w", r.Seq, err)
			}
			if l.Checker != nil {
				if err := l.Checker.Check(chargeMessage(headOf(*past), s.Charge), s.Signature); err != nil {
					return fmt.Errorf("charge %d: %w: %w", r.Seq, ErrUnsigned, err)
				}
			}
			raw, c.signed = s.Charge, &s.Signature
		default:
			return fmt.Errorf("record %d: kind %d is not a charge", r.Seq, r.Kind)
		}
		if err := json.Unmarshal(raw, &c.Charge); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		*past = append(*past, c)
		return nil
	}
}

// openShared opens or creates a ledger that several nights write to, waiting
// for others. read is called anew for every try.
func openShared(ctx context.Context, path, purpose string, read func() func(ledger.Record) error) (*ledger.Log, error) {
	const tries = 100
	for try := 0; ; try++ {
		log, err := ledger.Create(path, ledger.Header{Purpose: purpose}, ledger.Options{})
		if errors.Is(err, ledger.ErrExists) {
			var info ledger.Info
			log, info, err = ledger.Open(path, ledger.Options{}, read())
			if err == nil && info.Header.Purpose != purpose {
				return nil, errors.Join(fmt.Errorf("its purpose is %.80q: %w", info.Header.Purpose, ledger.ErrForeign), log.Close())
			}
		}
		if !errors.Is(err, ledger.ErrLocked) || try == tries {
			return log, err
		}
		select { // somebody else writes: that takes milliseconds
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond): //nolint:forbidigo // a wait for a lock, no decision
		}
	}
}

// spend is the arithmetic of Take.
func spend(past []charged, budget Budget, c Charge) (out Alpha, write bool, err error) {
	out = Alpha{Year: budget.Alpha, Night: c.Alpha, K: c.K, LogBar: evalue.LogBar(c.K, c.Alpha)}
	out.Bar, out.Test = float64(c.K)/c.Alpha, c.Alpha/float64(c.K)
	latest := c.Year
	for _, p := range past {
		latest = max(latest, p.Year)
		if p.Year != c.Year {
			continue
		}
		out.Spent += p.Alpha
		out.Nights++
		if p.same(c) { // as it stood right after the charge, on every resume
			out.Sequence, out.Head = p.place.Sequence, p.place.Head
			return out, false, nil
		}
	}
	if latest > c.Year {
		return Alpha{}, false, fmt.Errorf("it has charges of %d, tonight says %d: set the clock: %w", latest, c.Year, ErrClock)
	}
	if out.Spent+c.Alpha > budget.Alpha*(1+1e-9) {
		return Alpha{}, false, fmt.Errorf("%d nights of %d have taken %.3g of %.3g, tonight needs %.3g: %w",
			out.Nights, c.Year, out.Spent, budget.Alpha, c.Alpha, ErrAlphaSpent)
	}
	if err := errors.Join(waiversSpent(past, budget.Waivers, c), adopted(past, c)); err != nil {
		return Alpha{}, false, err
	}
	out.Spent += c.Alpha
	out.Nights++
	return out, true, nil
}

// alphaHeadFile is where a run remembers the ledger, beside its own ledger.
const alphaHeadFile = "alpha.head"

// remember writes the head down beside the night's ledger, whole or not at all.
func (a Alpha) remember(dir string) (err error) {
	b, err := json.Marshal(AlphaHead{Sequence: a.Sequence, Head: a.Head})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, alphaHeadFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return ledger.SyncDir(dir)
}

// alphaHeadsMax and alphaHeadBytesMax bound what AlphaHeads reads.
const (
	alphaHeadsMax     = 100_000
	alphaHeadBytesMax = 4 << 10
)

// AlphaHeads collects what the runs below a directory remember of the error
// budget's ledger. Runs that remember nothing are passed over; a memory that
// cannot be read is an error.
func AlphaHeads(runs string) ([]AlphaHead, error) {
	paths, err := filepath.Glob(filepath.Join(runs, "*", alphaHeadFile))
	if err != nil {
		return nil, err
	}
	if len(paths) > alphaHeadsMax {
		return nil, fmt.Errorf("%s: %d runs, at most %d are read", runs, len(paths), alphaHeadsMax)
	}
	var out []AlphaHead
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if st.Size() > alphaHeadBytesMax {
			return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, st.Size(), alphaHeadBytesMax)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var h AlphaHead
		if err := json.Unmarshal(b, &h); err != nil || len(h.Head) != 64 {
			return nil, fmt.Errorf("%s: is not a remembered head: %w", path, ErrAlphaLost)
		}
		out = append(out, h)
	}
	return out, nil
}
