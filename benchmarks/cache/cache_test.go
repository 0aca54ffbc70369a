package cache

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
	"github.com/arqon/arqon/internal/seed"
)

func newDomain(t testing.TB) *Domain {
	t.Helper()
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDomainKeepsTheContract(t *testing.T) { conformance.Run(t, newDomain(t)) }

// defaultOf is a family with its default parts.
func defaultOf(t testing.TB, family string) *Strategy {
	t.Helper()
	p, err := space().Normalize(benchmarks.Point{paramPolicy: family})
	if err != nil {
		t.Fatal(err)
	}
	s, err := strategyOf(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drawStrategy draws any strategy that the space and the limits allow.
func drawStrategy(t *rapid.T) *Strategy {
	k := rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")
	s := &Strategy{kind: k}
	for _, p := range kinds[k].parts {
		s.parts = append(s.parts, uint16(rapid.IntRange(p.min, p.max).Draw(t, p.name)))
	}
	if s.Kind() != scoreName {
		return s
	}
	s.parts[0] = uint16(rapid.IntRange(2, 12).Draw(t, "sample"))
	for i := range rapid.IntRange(1, instructionsMax).Draw(t, "length") {
		in := instruction{op: operation(rapid.IntRange(0, len(operations)-1).Draw(t, "op"))}
		for k, to := range []*uint8{&in.a, &in.b, &in.c} {
			if k < operations[in.op].arity {
				*to = rapid.SampledFrom(operandNumbers(i)).Draw(t, "operand")
			}
		}
		s.program = append(s.program, in)
	}
	if s.check() != nil {
		t.Skip("ill typed or too dear")
	}
	return s
}

func TestEveryPolicyAgreesWithItsReference(t *testing.T) {
	for _, k := range kinds {
		in := &instance{strategy: defaultOf(t, k.name)}
		for root := range uint64(8) {
			checks, err := in.Check(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				if !c.Pass {
					t.Errorf("%s, seed %d: %s: %s", k.name, root, c.Name, c.Detail)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawStrategy(t)
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		r := seed.Stream(seed.Root(rapid.Uint64().Draw(t, "trace")), "test")
		tr := &Trace{}
		for range 1500 {
			key := uint64(r.IntN(1 + r.IntN(capacity*4+2)))
			tr.Uses = append(tr.Uses, Use{key, uint32(key * 100)})
		}
		if err := s.differ(tr, capacity); err != nil {
			t.Fatalf("%s, %d entries: %v", s, capacity, err)
		}
		if err := s.sound(tr, capacity); err != nil {
			t.Fatalf("%s, %d entries: %v", s, capacity, err)
		}
		if got, best := s.Play(tr, capacity, nil).Hit, Bound(tr, capacity).Hit; got > best {
			t.Fatalf("%s: %v is above the bound %v", s, got, best)
		}
	})
}

// TestABrokenPolicyIsCaught gives the differential check something to find.
func TestABrokenPolicyIsCaught(t *testing.T) {
	lruKind, fast := kinds[0], func(n int, _ *Strategy) policy { return newSieve(n, 1) }
	defer func() { kinds[0] = lruKind }()
	kinds[0].make = fast // SIEVE under the name of LRU
	checks, err := (&instance{strategy: &Strategy{}}).Check(t.Context(), 1)
	if err != nil || checks[0].Pass {
		t.Fatalf("%+v, %v", checks, err)
	}
}

func TestTheBoundIsTheBestThatThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := &Trace{Warm: rapid.IntRange(0, 5).Draw(t, "warm")}
		for range 12 {
			tr.Uses = append(tr.Uses, Use{Key: uint64(rapid.IntRange(0, 4).Draw(t, "key")), Size: 1})
		}
		capacity := rapid.IntRange(1, 3).Draw(t, "capacity")
		want := float64(exhaust(tr, capacity, 0, nil)) / float64(len(tr.Uses)-tr.Warm)
		if got := Bound(tr, capacity).Hit; got != want {
			t.Fatalf("bound %v, best of all decisions %v: %+v", got, want, tr)
		}
	})
}

// exhaust tries every decision.
func exhaust(t *Trace, capacity, i int, held []uint64) int {
	if i == len(t.Uses) {
		return 0
	}
	k := t.Uses[i].Key
	if slices.Contains(held, k) {
		hit := 0
		if i >= t.Warm {
			hit = 1
		}
		return hit + exhaust(t, capacity, i+1, held)
	}
	best := exhaust(t, capacity, i+1, held) // not admitted
	if len(held) < capacity {
		return max(best, exhaust(t, capacity, i+1, append(slices.Clone(held), k)))
	}
	for j := range held {
		next := slices.Clone(held)
		next[j] = k
		best = max(best, exhaust(t, capacity, i+1, next))
	}
	return best
}

func TestNoPolicyWinsEverywhere(t *testing.T) {
	d := newDomain(t)
	winners := map[string]int{}
	for _, w := range d.workloads {
		tr, err := d.Trace(benchmarks.Request{Scenario: w.Name, Seed: 3, Fidelity: .3}, 0)
		if err != nil {
			t.Fatal(err)
		}
		best, name := -1.0, ""
		line := w.Name
		for _, k := range kinds {
			hit := defaultOf(t, k.name).Play(tr, w.Capacity, nil).Hit
			line += fmt.Sprintf("  %s %.4f", k.name, hit)
			if hit > best {
				best, name = hit, k.name
			}
		}
		bound := Bound(tr, w.Capacity).Hit
		if best > bound {
			t.Errorf("%s: %v is above the bound %v", w.Name, best, bound)
		}
		winners[name]++
		t.Logf("%s  bound %.4f", line, bound)
	}
	if len(winners) < 4 {
		t.Errorf("only %v win a context: nothing to choose", winners)
	}
}

func TestTheSearchNeverSeesWhatTheGatesSee(t *testing.T) {
	d := newDomain(t)
	for _, w := range d.workloads[:3] {
		r := benchmarks.Request{Scenario: w.Name, Seed: 9, Fidelity: .1}
		a, err := d.Trace(r, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.Purpose = benchmarks.ForGates
		b, err := d.Trace(r, 0)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(a.Uses, b.Uses) {
			t.Errorf("%s: one trace for both", w.Name)
		}
	}
}

func TestPerturbations(t *testing.T) {
	uses := mixtures[1].generate(1, 20_000)
	for _, kind := range []string{PerturbNoise, PerturbShift} {
		changed := 0
		got, err := perturb(uses, benchmarks.Perturbation{Kind: kind, Level: .5}, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].Key != uses[i].Key {
				changed++
			}
		}
		want := map[string][2]int{PerturbNoise: {9_500, 10_500}, PerturbShift: {3_500, 6_500}}[kind]
		if changed < want[0] || changed > want[1] {
			t.Errorf("%s: %d of 20000 uses changed, want %v", kind, changed, want)
		}
	}
	if _, err := perturb(uses, benchmarks.Perturbation{Kind: "occlude", Level: .1}, 2); !errors.Is(err, benchmarks.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := perturb(uses, benchmarks.Perturbation{Kind: PerturbNoise, Level: 2}, 2); err == nil {
		t.Error("level 2 was accepted")
	}
}

func TestProgramsAreHeldToTheirLimits(t *testing.T) {
	div := instruction{op: opDiv}
	for want, p := range map[string]struct {
		program program
		sample  int
	}{
		"0 instructions":        {nil, 8},
		"7 instructions":        {make(program, 7), 8},
		"unknown":               {program{{op: 99}}, 8},
		"not known yet":         {program{{op: opNeg, a: featureCount}}, 8},
		"gives a truth":         {program{{op: opLess}}, 8},
		"wants a number":        {program{{op: opLess}, {op: opNeg, a: featureCount}}, 8},
		"wants a truth":         {program{{op: opPick}}, 8},
		"has 1 operands":        {program{{op: opNeg, b: 1}}, 8},
		"an eviction costs 640": {program{div, div}, 64},
		"a sample of 65":        {program{div}, 65},
	} {
		if err := p.program.check(p.sample); !errors.Is(err, errProgram) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	point := benchmarks.Point{paramPolicy: scoreName, paramLength: "1", "op0": "less", "score_sample": int64(4)}
	if _, err := newDomain(t).Build(t.Context(), point, 1); !errors.Is(err, benchmarks.ErrBadCandidate) {
		t.Errorf("a truth as a score: %v", err)
	}
}

func TestPoliciesComeBackFromTheirFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStrategy(t)
		again, err := Open(s.Encode())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%v came back as %v, %v", s, again, err)
		}
	})
	for want, b := range map[string]string{
		"does not begin":     "ARQ",
		"version 9":          "ARQC\x09\x00",
		"policy 200":         "ARQC\x01\xc8",
		"inside the parts":   "ARQC\x01\x01\x02",
		"after the end":      "ARQC\x01\x00x",
		"inside the program": "ARQC\x01\x07\x02\x00\x00\x00\x01",
		"lfu_count_max is 0": "ARQC\x01\x01\x00\x00\x00\x00",
	} {
		if _, err := Open([]byte(b)); !errors.Is(err, ErrBadPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, k := range kinds {
		f.Add(defaultOf(f, k.name).Encode())
	}
	f.Add([]byte("ARQC\x01\x07\x02\x00\x00\x00\x06"))
	uses := mixtures[1].generate(1, 300)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatalf("%q is read, %q is written", b, s.Encode())
		}
		s.Play(&Trace{Uses: uses}, 7, nil)
	})
}

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte("1\n2\n"), 0)
	f.Add([]byte("1 2 3 4\n"), 1)
	f.Add([]byte("\x01\x00\x00\x00"), 3)
	f.Fuzz(func(t *testing.T, b []byte, which int) {
		format := Formats()[uint(which)%uint(len(readers))]
		uses, err := readTrace(bytes.NewReader(b), format, 1000)
		if err == nil && (len(uses) == 0 || len(uses) > 1000) {
			t.Fatalf("%d uses", len(uses))
		}
	})
}

// BenchmarkUse is the simulation: one use of a full cache.
func BenchmarkUse(b *testing.B) {
	uses := mixtures[1].generate(1, usesFull)
	for _, k := range kinds {
		s := defaultOf(b, k.name)
		b.Run(k.name, func(b *testing.B) {
			p, i := s.start(2048), 0
			for b.Loop() {
				u := uses[i%len(uses)]
				if p.get(u.Key) == none {
					p.put(u.Key, u.Size)
				}
				i++
			}
		})
	}
}

// TestEveryStartCanBeBuilt: what the domain recommends must work, and the
// program that says LRU must come near it.
func TestEveryStartCanBeBuilt(t *testing.T) {
	d := newDomain(t)
	tr := &Trace{Uses: mixtures[1].generate(1, 30_000), Warm: 8_000}
	lru := BuiltIn().Play(tr, 512, nil).Hit
	var programs []string
	for _, p := range starts() {
		b, err := d.Build(t.Context(), p, 1)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		s, err := Open(b.Files[0].Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if s.Kind() != scoreName {
			continue
		}
		programs = append(programs, s.String())
		if hit := s.Play(tr, 512, nil).Hit; len(programs) == 1 && (hit < lru-.01 || hit > lru+.01) {
			t.Errorf("%s: hit ratio %.4f, LRU %.4f", s, hit, lru)
		}
	}
	if len(programs) < 5 {
		t.Errorf("only %v", programs)
	}
}
