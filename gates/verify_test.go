package gates

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// evidence is a judged night with everything that it left.
type evidence struct {
	night  Night
	report []byte
	at     Beside
}

func nightWithEvidence(t testing.TB) evidence {
	t.Helper()
	d := newToy(.01, 21)
	j := d.judge(t, 21)
	n, _, err := j.Night(t.Context(), []Candidate{
		d.reference(t, "fast"), d.candidate(t, "fast", benchmarks.Point{"speed": .8}),
		d.candidate(t, "right", benchmarks.Point{"gain": .1}), d.candidate(t, "right", benchmarks.Point{"wrong": true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := evidence{night: n, at: Beside{GatesLedger: j.LedgerPath, AlphaLedger: j.AlphaPath, Policy: &j.Policy, Seed: &j.Seed}}
	e.report = e.encode(t, n)
	return e
}

func (e evidence) encode(t testing.TB, n Night) []byte {
	t.Helper()
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerify(t *testing.T) {
	e := nightWithEvidence(t)
	v, err := Verify(e.report, e.at)
	if err != nil {
		t.Fatal(err)
	}
	if v.Candidates != 4 || v.Results < 10 || v.Samples < 60 || v.Ledger < 60 || len(v.NotSeen) != 0 || v.Record != artifacts.DigestOf(e.report) {
		t.Errorf("compared %+v", v)
	}
	v, err = Verify(e.report, Beside{})
	if err != nil || len(v.NotSeen) != 4 {
		t.Errorf("a report alone: %+v, %v", v, err)
	}
}

// A forger who judges the night again from changed samples makes a report that
// follows from its own raw data; the ledger still knows what was measured.
func TestVerifyCatchesACoherentForgery(t *testing.T) {
	e := nightWithEvidence(t)
	forged, err := DecodeNight(e.report)
	if err != nil {
		t.Fatal(err)
	}
	for i := range forged.Candidates[1].Pairs {
		forged.Candidates[1].Pairs[i].B["p99_ns"] *= .99
	}
	j, candidates, err := replayJudge(forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.run(t.Context(), candidates); err != nil {
		t.Fatal(err)
	}
	again := *j.night
	again.Ended = forged.Ended
	if err := again.digest(); err != nil {
		t.Fatal(err)
	}
	b := e.encode(t, again)
	if _, err := Verify(b, Beside{}); err != nil {
		t.Fatalf("the forgery was meant to be coherent: %v", err)
	}
	if _, err := Verify(b, e.at); !errors.Is(err, ErrDiffers) {
		t.Errorf("a coherent forgery against its ledger: %v", err)
	}
}

func TestVerifyRefusals(t *testing.T) {
	e := nightWithEvidence(t)
	policy, root := DefaultPolicy(), seed.Root(9)
	policy.PairsMax++
	other := nightWithEvidence(t)
	d := newToy(.01, 22)
	j := d.judge(t, 22)
	if _, _, err := j.Night(t.Context(), []Candidate{d.reference(t, "fast")}); err != nil {
		t.Fatal(err)
	}
	cut := func(path string, bytes int) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(out, b[:len(b)-bytes], 0o600); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		at   Beside
		want error
	}{
		"another policy":      {Beside{Policy: &policy}, ErrDiffers},
		"another run's seed":  {Beside{Seed: &root}, ErrForeignNight},
		"another night":       {Beside{GatesLedger: j.LedgerPath}, ErrForeignNight},
		"another budget":      {Beside{AlphaLedger: j.AlphaPath}, ErrDiffers},
		"a torn ledger":       {Beside{GatesLedger: cut(e.at.GatesLedger, 3)}, ledger.ErrCorrupt},
		"a torn budget":       {Beside{AlphaLedger: cut(e.at.AlphaLedger, 3)}, ledger.ErrCorrupt},
		"the ledgers swapped": {Beside{GatesLedger: e.at.AlphaLedger}, ErrForeignNight},
		"a missing ledger":    {Beside{GatesLedger: e.at.GatesLedger + "x"}, os.ErrNotExist},
		"measured once more":  {Beside{GatesLedger: other.at.GatesLedger}, ErrDiffers}, // same seed, same candidates, other samples
	} {
		if _, err := Verify(e.report, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	newer := bytes.Replace(e.report, []byte(NightSchema), []byte("arqon-night/3"), 1)
	if _, err := Verify(newer, e.at); !errors.Is(err, ErrNewerNight) {
		t.Errorf("a newer schema: %v", err)
	}
	unsealed := bytes.Replace(e.report, []byte(e.night.sealOf(t)), nil, 1)
	if _, err := Verify(unsealed, e.at); !errors.Is(err, ErrBadNight) {
		t.Errorf("without a seal: %v", err)
	}
}

// flips is how many single bits each flip test turns over; ARQON_FLIPS=10000
// is the figure in docs/gates.md.
func flips(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("ARQON_FLIPS")); err == nil {
		return n
	}
	if testing.Short() {
		return few / 4
	}
	return few
}

// Any bit flipped in the report (samples, policy and all else are in it), in
// the night's ledger or in the error budget's is noticed.
func TestVerifyCatchesFlips(t *testing.T) {
	e := nightWithEvidence(t)
	gatesLedger, err := os.ReadFile(e.at.GatesLedger)
	if err != nil {
		t.Fatal(err)
	}
	alphaLedger, err := os.ReadFile(e.at.AlphaLedger)
	if err != nil {
		t.Fatal(err)
	}
	policy := bytes.Index(e.report, []byte(`"policy": {`))
	policyEnd := policy + bytes.IndexByte(e.report[policy:], '}')
	r := rand.New(rand.NewPCG(7, 8))
	dir := t.TempDir()
	turn := func(b []byte, from, to int) []byte {
		out := bytes.Clone(b)
		out[from+r.IntN(to-from)] ^= 1 << r.IntN(8)
		return out
	}
	missed := 0
	for i := range flips(t, 240) {
		report, at, where := e.report, e.at, ""
		switch i % 4 {
		case 0:
			where, report = "report", turn(report, 0, len(report))
		case 1:
			where, report = "policy", turn(report, policy, policyEnd)
		case 2, 3:
			where, at.GatesLedger = "gates ledger", filepath.Join(dir, "flipped")
			b := turn(gatesLedger, 0, len(gatesLedger))
			if i%4 == 3 {
				where, at.GatesLedger, at.AlphaLedger = "alpha ledger", e.at.GatesLedger, at.GatesLedger
				b = turn(alphaLedger, 0, len(alphaLedger))
			}
			if err := os.WriteFile(filepath.Join(dir, "flipped"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Verify(report, at); err == nil {
			t.Errorf("flip %d in the %s was accepted", i, where)
			if missed++; missed > 10 {
				t.FailNow()
			}
		}
	}
}

// A flip in a raw sample is noticed by the numbers too, when somebody seals
// the record again and nothing lies beside it.
func TestVerifyCatchesResealedSampleFlips(t *testing.T) {
	e := nightWithEvidence(t)
	r := rand.New(rand.NewPCG(9, 10))
	for i := range flips(t, 24) {
		n, err := DecodeNight(e.report)
		if err != nil {
			t.Fatal(err)
		}
		where := flipSample(&n, r)
		b, err := EncodeNight(n)
		if err != nil {
			continue // no longer a number: it cannot even be written down
		}
		if _, err := Verify(b, Beside{}); err == nil {
			t.Fatalf("flip %d in %s was accepted", i, where)
		}
	}
}

// flipSample turns one bit of one raw value over.
func flipSample(n *Night, r *rand.Rand) string {
	turn := func(values map[string]float64) {
		for _, name := range []string{"cpu_ns", "accuracy", "p99_ns"} {
			if v, ok := values[name]; ok {
				values[name] = math.Float64frombits(math.Float64bits(v) ^ 1<<r.IntN(64))
				return
			}
		}
	}
	pair := func(ps []PairRecord) {
		p := &ps[r.IntN(len(ps))]
		switch r.IntN(4) {
		case 0:
			turn(p.A)
		case 1:
			turn(p.B)
		case 2:
			p.CanaryNS[r.IntN(3)] ^= 1 << r.IntN(40)
		default:
			p.BFirst = !p.BFirst
		}
	}
	switch r.IntN(5) {
	case 0:
		turn(n.Evals[r.IntN(len(n.Evals))].Values)
		return "a deterministic value"
	case 1:
		pair(n.Candidates[1].Pairs)
		return "a pair"
	case 2:
		pair(n.Controls[1].Pairs)
		return "a control"
	case 3:
		pair(n.Candidates[1].Canary.Pairs)
		return "a canary pair"
	}
	s := &n.Series[r.IntN(len(n.Series))]
	items, err := s.Floats()
	if err != nil {
		return "a series"
	}
	items[r.IntN(len(items))] += .5
	was := s.Digest
	if *s, err = NewSeries(items); err == nil { // with its digest corrected everywhere
		for i := range n.Evals {
			for m, d := range n.Evals[i].Items {
				if d == was {
					n.Evals[i].Items[m] = s.Digest
				}
			}
		}
		for i := range n.Candidates {
			for k := range n.Candidates[i].Results {
				for _, d := range []*artifacts.Digest{&n.Candidates[i].Results[k].BaseItems, &n.Candidates[i].Results[k].CandItems} {
					if *d == was {
						*d = s.Digest
					}
				}
			}
		}
	}
	return "a series"
}

func TestMerkleProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := make([]Leaf, rapid.IntRange(1, 70).Draw(t, "leaves"))
		for i := range leaves {
			leaves[i] = Leaf{Name: strconv.Itoa(i), Digest: artifacts.DigestOf([]byte{byte(i)})}
		}
		root := MerkleRoot(leaves)
		i := rapid.IntRange(0, len(leaves)-1).Draw(t, "i")
		p, err := Prove(leaves, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(root); err != nil {
			t.Fatal(err)
		}
		bad := p
		bad.Leaf.Digest = artifacts.DigestOf([]byte("else"))
		if bad.Check(root) == nil {
			t.Fatal("another leaf is under the root")
		}
		if len(leaves) > 1 {
			bad = p
			bad.Index = (i + 1) % len(leaves)
			if bad.Check(root) == nil {
				t.Fatal("the leaf is also at another place")
			}
		}
	})
}

func FuzzProof(f *testing.F) {
	f.Add([]byte(`{"leaf":{"name":"a","digest":"sha256:00"},"index":0,"count":2,"path":["sha256:00"]}`))
	f.Add([]byte(`{"index":-1,"count":9223372036854775807,"path":[]}`))
	root := MerkleRoot([]Leaf{{Name: "x"}})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Proof
		if json.Unmarshal(b, &p) == nil && p.Check(root) == nil && p.Leaf.Name != "x" {
			t.Error("a proof out of nothing")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	e := nightWithEvidence(b)
	for b.Loop() {
		if _, err := Verify(e.report, e.at); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*len(e.night.Candidates)), "ms/candidate")
}
