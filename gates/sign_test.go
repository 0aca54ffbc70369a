package gates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
)

// testKey is a caller's key.
type testKey struct{ *ecdsa.PrivateKey }

func newTestKey(t testing.TB) testKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{k}
}

func (k testKey) Sign(message []byte) (Signature, error) {
	sum := sha256.Sum256(message)
	b, err := ecdsa.SignASN1(rand.Reader, k.PrivateKey, sum[:])
	return Signature{Key: "test", Bytes: b}, err
}

func (k testKey) Check(message []byte, s Signature) error {
	sum := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(&k.PublicKey, sum[:], s.Bytes) {
		return errors.New("the signature does not hold")
	}
	return nil
}

func chargeOf(run string) Charge { return Charge{Run: run, Year: 2026, Alpha: .01, K: 1} }

func TestAlphaSigned(t *testing.T) {
	key, stranger := newTestKey(t), newTestKey(t)
	path := filepath.Join(t.TempDir(), "alpha.ledger")
	if _, err := Take(t.Context(), path, Budget{Alpha: .2}, chargeOf("before")); err != nil {
		t.Fatal(err)
	}
	l := AlphaLedger{Path: path, Signer: key, Checker: key}
	for _, run := range []string{"a", "b"} {
		if _, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf(run)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf("a"))
	if err != nil || first.Sequence != 1 || first.Nights != 2 || len(first.Head) != 64 {
		t.Errorf("taken again: %+v, %v", first, err)
	}
	if _, err := Take(t.Context(), path, Budget{Alpha: .2}, chargeOf("c")); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned after signed: %v", err)
	}
	if _, err := (AlphaLedger{Path: path, Signer: stranger, Checker: stranger}).Take(t.Context(), Budget{Alpha: .2}, chargeOf("c")); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a stranger's key: %v", err)
	}
	// A writer who holds no key appends a charge with a copied signature.
	past, err := l.read()
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.NewReplacer(`"a"`, `"z"`).Replace(payloadOf(t, past[1]))
	log, _, err := ledger.Open(path, ledger.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.AppendSync(kindSignedCharge, []byte(forged)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf("c")); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a copied signature: %v", err)
	}
}

func payloadOf(t *testing.T, c charged) string {
	t.Helper()
	_, b, err := AlphaLedger{Signer: replaySigner{*c.signed}}.payload(nil, c.Charge)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type replaySigner struct{ Signature }

func (r replaySigner) Sign([]byte) (Signature, error) { return r.Signature, nil }

// A ledger that was deleted, replaced or cut short at a record's end is whole
// in itself; what runs remember of it is not there any more.
func TestAlphaRemembered(t *testing.T) {
	dir := t.TempDir()
	path, runs := filepath.Join(dir, "alpha.ledger"), filepath.Join(dir, "runs")
	var short []byte
	for i, run := range []string{"a", "b"} {
		a, err := Take(t.Context(), path, Budget{Alpha: .2}, chargeOf(run))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(runs, run), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := a.remember(filepath.Join(runs, run)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if short, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	heads, err := AlphaHeads(runs)
	if err != nil || len(heads) != 2 {
		t.Fatalf("%v, %v", heads, err)
	}
	l := AlphaLedger{Path: path, Heads: heads}
	if _, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf("c")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string) {
		t.Helper()
		if _, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf("d")); !errors.Is(err, ErrAlphaLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write := func(p string, b []byte) {
		t.Helper()
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, short)
	refused("cut short at a record's end")
	write(path, whole[:len(whole)/2])
	refused("cut short in a record")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused("deleted")
	for _, run := range []string{"x", "y", "z"} {
		if _, err := Take(t.Context(), path, Budget{Alpha: .2}, chargeOf(run)); err != nil {
			t.Fatal(err)
		}
	}
	refused("replaced")
	write(filepath.Join(runs, "a", alphaHeadFile), []byte("{}"))
	if _, err := AlphaHeads(runs); !errors.Is(err, ErrAlphaLost) {
		t.Errorf("an unreadable memory: %v", err)
	}
}

func TestAlphaClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alpha.ledger")
	if _, err := Take(t.Context(), path, Budget{Alpha: .2}, chargeOf("a")); err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{2025, 0} { // 0: a night that was given no clock
		c := chargeOf("b")
		c.Year = year
		if _, err := Take(t.Context(), path, Budget{Alpha: .2}, c); !errors.Is(err, ErrClock) {
			t.Errorf("a charge of %d after one of 2026: %v", year, err)
		}
	}
}

// Signed charges of many nights at once: the chain of signatures holds.
func TestAlphaSignedConcurrent(t *testing.T) {
	key := newTestKey(t)
	l := AlphaLedger{Path: filepath.Join(t.TempDir(), "alpha.ledger"), Signer: key, Checker: key}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := l.Take(t.Context(), Budget{Alpha: .2}, chargeOf(string(rune('a'+i)))); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if past, err := l.read(); err != nil || len(past) != 6 {
		t.Errorf("%d charges, %v", len(past), err)
	}
}

// The clock goes back while a night is judged: the record says so and counts
// for nothing.
func TestNightClockBack(t *testing.T) {
	d := newToy(.01, 41)
	j := d.judge(t, 41)
	calls := 0
	j.Now = func() time.Time {
		calls++
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(-time.Duration(calls) * time.Hour)
	}
	n, verdicts, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .1})})
	if err != nil {
		t.Fatal(err)
	}
	if n.Outcome != Invalid || !strings.Contains(n.Reason, "clock") || verdicts[0].Passed(GateCorrectness) {
		t.Errorf("%s: %s", n.Outcome, n.Reason)
	}
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(b, Beside{GatesLedger: j.LedgerPath, AlphaLedger: j.AlphaPath}); err != nil {
		t.Errorf("an INVALID night is still a consistent one: %v", err)
	}
}
