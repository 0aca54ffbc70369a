package factory

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// searched runs a toy search to its end and returns its journal and the
// encoded candidates.
func searched(t testing.TB, d *toy, st Study, journal string) (Search, []byte, []byte) {
	t.Helper()
	found, err := Discover(t.Context(), discovery(t, d, st, journal))
	if err != nil {
		t.Fatal(err)
	}
	return found, readFile(t, journal), encoded(t, d, st, found)
}

func encoded(t testing.TB, d *toy, st Study, found Search) []byte {
	t.Helper()
	c, err := MakeCandidates(t.Context(), "toy-0001", st, d, found)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Encode(t.Context(), discard{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type discard struct{}

func (discard) Put(_ context.Context, b []byte) (artifacts.Digest, error) {
	return artifacts.DigestOf(b), nil
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestASearchFindsWhatEachContextWants(t *testing.T) {
	d := &toy{}
	found, _, raw := searched(t, d, toyStudy(t), filepath.Join(t.TempDir(), "j"))
	if found.Stop != "evaluations are spent" || len(found.Trials) != 240 {
		t.Fatalf("%d trials, stop %q", len(found.Trials), found.Stop)
	}
	best := map[string]Outcome{}
	for c, outs := range found.Finalists {
		if len(outs) == 0 || len(outs) > 2 {
			t.Fatalf("context %d: %d finalists", c, len(outs))
		}
		best[outs[0].Context] = outs[0]
	}
	for context, want := range map[string]struct {
		metric   string
		at, most float64
	}{
		"low": {"cost", -.6, -.35}, "burst": {"cost", -.8, -.6}, "memory": {"bytes", -.8, -.7}, "shifted": {"accuracy", .2, .31},
	} {
		if got := best[context].Change[want.metric]; got < want.at || got > want.most {
			t.Errorf("%s: %s changes by %+.3f, want %+.2f to %+.2f (%v)", context, want.metric, got, want.at, want.most, best[context].Point)
		}
	}
	c, err := decodeCandidatesFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	references := 0
	for _, x := range c.Candidates {
		if x.Reference {
			references++
			if x.Context == "memory" {
				t.Error("the baseline breaks the limit of memory and must not serve there")
			}
		}
	}
	if references != 3 || len(c.Candidates) < 3+4 {
		t.Errorf("%d references, %d candidates", references, len(c.Candidates))
	}
	if gap := c.Portfolio.GapClosed; gap < .99 || len(c.Portfolio.Chosen) < 3 {
		t.Errorf("portfolio of %d closes %.3f of the gap", len(c.Portfolio.Chosen), gap)
	}
	measured := map[string]int{}
	for _, x := range found.Trials {
		if !x.Cached {
			measured[x.Context+string(x.Point)]++
		}
		if x.Failed == "" && len(x.Values) != 3 {
			t.Fatalf("%+v", x)
		}
	}
	for p, n := range measured {
		if n > 1 {
			t.Errorf("%s was measured %d times", p, n)
		}
	}
}

// The same journal and candidates come out for any number of workers.
func TestWorkersChangeNothing(t *testing.T) {
	dir := t.TempDir()
	var journal, candidates []byte
	for _, workers := range []string{"1", "2", "8"} {
		st := toyStudy(t, "workers: 2", "workers: "+workers)
		shuffle := seed.Stream(1, "shuffle"+workers)
		d := &toy{}
		if workers != "1" {
			naps := make(chan time.Duration, 1<<14)
			for range cap(naps) {
				naps <- time.Duration(shuffle.IntN(200)) * time.Microsecond
			}
			d.slow = func() { time.Sleep(<-naps) } // completions in another order than starts
		}
		_, j, c := searched(t, d, st, filepath.Join(dir, workers))
		if journal == nil {
			journal, candidates = j, c
			continue
		}
		if !bytes.Equal(j, journal) {
			t.Errorf("%s workers: another journal", workers)
		}
		if !bytes.Equal(c, candidates) {
			t.Errorf("%s workers: other candidates", workers)
		}
	}
}

// A search cut at any byte goes on to the same journal and candidates.
func TestAKillAnywhereChangesNothing(t *testing.T) {
	dir := t.TempDir()
	d := &toy{}
	st := toyStudy(t, "evaluations: 240", "evaluations: 120")
	_, journal, candidates := searched(t, d, st, filepath.Join(dir, "whole"))
	whole := d.measures.Load()
	path := filepath.Join(dir, "cut")
	header := headerBytes(t, journal)
	rapid.Check(t, func(rt *rapid.T) {
		cut := rapid.IntRange(header, len(journal)).Draw(rt, "bytes")
		if err := os.WriteFile(path, journal[:cut], 0o644); err != nil {
			rt.Fatal(err)
		}
		again := &toy{}
		found, err := Discover(t.Context(), discovery(t, again, st, path))
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(readFile(t, path), journal) {
			rt.Fatal("another journal")
		}
		if !bytes.Equal(encoded(t, again, st, found), candidates) {
			rt.Fatal("other candidates")
		}
		if cut == len(journal) && again.measures.Load() != 0 {
			rt.Fatal("a finished search measured again")
		}
		if again.measures.Load() > whole {
			rt.Fatal("measured more than the whole search")
		}
	})
}

// headerBytes is where the first record starts.
func headerBytes(t *testing.T, journal []byte) int {
	t.Helper()
	first := -1
	_, err := ledger.Decode(bytes.NewReader(journal), int64(len(journal)), "journal", func(r ledger.Record) error {
		if first < 0 {
			first = int(r.Offset)
		}
		return nil
	})
	if err != nil || first <= 0 {
		t.Fatal(first, err)
	}
	return first
}

func TestAnInterruptionKeepsEverythingMeasured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	st := toyStudy(t)
	d := &toy{}
	ctx, cancel := context.WithCancel(t.Context())
	d.slow = func() {
		if d.measures.Load() == 50 {
			cancel()
		}
	}
	if _, err := Discover(ctx, discovery(t, d, st, path)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	trials, err := ReadTrials(path)
	if err != nil || len(trials) < 30 {
		t.Fatal(len(trials), err)
	}
	again := &toy{}
	found, err := Discover(t.Context(), discovery(t, again, st, path))
	if err != nil || len(found.Trials) != 240 {
		t.Fatal(len(found.Trials), err)
	}
	for i, x := range trials {
		if !bytes.Equal(found.Trials[i].Point, x.Point) || found.Trials[i].Loss != x.Loss {
			t.Fatalf("trial %d was %+v and is %+v", i, x, found.Trials[i])
		}
	}
}

// The end of the time is a recorded decision: the replay needs no clock.
func TestTimeIsRecordedNotAskedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	st := toyStudy(t, "{evaluations: 240}", "{evaluations: 240, time: 1m}")
	cfg := discovery(t, &toy{}, st, path)
	cfg.Elapsed = ticking(900 * time.Millisecond)
	found, err := Discover(t.Context(), cfg)
	if err != nil || found.Stop != "time is spent" || len(found.Trials) >= 240 || len(found.Trials) < 30 {
		t.Fatal(found.Stop, len(found.Trials), err)
	}
	cfg.Elapsed = func() time.Duration { return 0 }
	again, err := Discover(t.Context(), cfg)
	if err != nil || again.Stop != found.Stop || len(again.Trials) != len(found.Trials) || again.JournalHead != found.JournalHead {
		t.Fatal(again.Stop, len(again.Trials), err)
	}
}

func TestAForeignJournalIsRefused(t *testing.T) {
	dir := t.TempDir()
	_, journal, _ := searched(t, &toy{}, toyStudy(t), filepath.Join(dir, "j"))
	for name, edit := range map[string][]string{
		"seed":    {"seed: 7", "seed: 8"},
		"budget":  {"evaluations: 240", "evaluations: 241"},
		"engines": {"share: 2", "share: 3"},
		"policy":  {"domain: toy", "domain: toy\npolicy: {pairs_max: 77}"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, journal, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Discover(t.Context(), discovery(t, &toy{}, toyStudy(t, edit...), path)); !errors.Is(err, ErrForeignJournal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another domain that describes itself the same way, but whose engines ask
	// something else: the points differ.
	cfg := discovery(t, &toy{}, toyStudy(t), filepath.Join(dir, "j"))
	cfg.Engines = map[string]engine.New{"ga": toyEngines()["sweep"], "sweep": toyEngines()["ga"]}
	if _, err := Discover(t.Context(), cfg); !errors.Is(err, ErrForeignJournal) {
		t.Error(err)
	}
	bad := bytes.Clone(journal)
	bad[len(bad)/2] ^= 1
	path := filepath.Join(dir, "flipped")
	if err := os.WriteFile(path, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Discover(t.Context(), discovery(t, &toy{}, toyStudy(t), path)); !errors.Is(err, ledger.ErrCorrupt) {
		t.Error(err)
	}
}

// quota fails writes beyond a number of bytes, as a full disk does.
type quota struct {
	ledger.File
	left int
}

func (q *quota) Write(b []byte) (int, error) {
	if len(b) > q.left {
		n, err := q.File.Write(b[:q.left])
		q.left = 0
		return n, errors.Join(err, syscall.ENOSPC)
	}
	q.left -= len(b)
	return q.File.Write(b)
}

func TestAFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	st := toyStudy(t)
	_, journal, _ := searched(t, &toy{}, st, filepath.Join(dir, "whole"))
	path := filepath.Join(dir, "full")
	for left := len(journal) / 7; left < len(journal); left += len(journal) / 7 {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		cfg := discovery(t, &toy{}, st, path)
		cfg.Ledger.Wrap = func(f ledger.File) ledger.File { return &quota{f, left} }
		_, err := Discover(t.Context(), cfg)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Fatalf("%d bytes of room: %v", left, err)
		}
		kept := readFile(t, path)
		if len(kept) != left {
			t.Errorf("%d bytes of room, %d kept", left, len(kept))
		}
		cfg.Ledger.Wrap = nil
		if _, err := Discover(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readFile(t, path), journal) {
			t.Error("another journal after the disk had room again")
		}
	}
}

func TestADomainThatStopsWorkingEndsTheSearch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	st := toyStudy(t)
	d := &toy{}
	d.slow = func() {
		if d.measures.Load() == 60 {
			d.broken.Store(true)
		}
	}
	_, err := Discover(t.Context(), discovery(t, d, st, path))
	if !errors.Is(err, ErrDomain) || !strings.Contains(err.Error(), "gone") {
		t.Fatal(err)
	}
	broken := &toy{}
	broken.broken.Store(true)
	if _, err := Discover(t.Context(), discovery(t, broken, st, path+"2")); !errors.Is(err, ErrDomain) || !strings.Contains(err.Error(), "baseline fails") {
		t.Fatal(err)
	}
}

// With a measured success metric the search pairs; the journal then holds the
// measurements, so a resumed search is still the same search.
func TestMeasuredMetricsArePairedAndReplayed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	st := toyStudy(t, "evaluations: 240", "evaluations: 24", "domain: toy", "domain: toy\ncontexts: [low]")
	d := &toy{measured: true}
	found, journal, candidates := searched(t, d, st, path)
	if d.measures.Load() < 24*searchPairs {
		t.Error("too few measurements for pairs")
	}
	for _, x := range found.Trials {
		if x.Failed == "" && (x.Values["cost"] == 0 || x.Change["bytes"] != 0 && len(x.Change) != 3) {
			t.Errorf("%+v", x)
		}
	}
	for _, share := range []int{3, 2} {
		cut := filepath.Join(dir, "cut")
		if err := os.WriteFile(cut, journal[:len(journal)*(share-1)/share], 0o644); err != nil {
			t.Fatal(err)
		}
		again, err := Discover(t.Context(), discovery(t, &toy{measured: true}, st, cut))
		if err != nil || len(again.Trials) != len(found.Trials) {
			t.Fatal(err)
		}
	}
	again := &toy{measured: true}
	if _, j, c := searched(t, again, st, path); !bytes.Equal(j, journal) || !bytes.Equal(c, candidates) || again.measures.Load() != 0 {
		t.Error("a replay differs or measured")
	}
}

func TestLossOrder(t *testing.T) {
	ms := []benchmarks.Metric{
		{Name: "s", Role: benchmarks.Success, Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Limit: ptr(10)},
		{Name: "g", Role: benchmarks.GuardRole, Direction: benchmarks.Higher, Compare: benchmarks.Difference, Tolerance: .02, Limit: ptr(.5)},
	}
	at := func(s, g, sv, gv float64) float64 {
		return loss(ms, measurement{Values: map[string]float64{"s": sv, "g": gv}, Change: map[string]float64{"s": s, "g": g}})
	}
	if got := at(0, 0, 1, 1); got != 0 {
		t.Errorf("the baseline has loss %v", got)
	}
	rapid.Check(t, func(rt *rapid.T) {
		x := func(name string, lo, hi float64) float64 { return rapid.Float64Range(lo, hi).Draw(rt, name) }
		s, worse := x("s", -.99, 100), x("worse", 1e-6, 100)
		inside := at(s, x("g", -.02, .3), 9, .6)
		if !(inside > -1 && inside < 1) || !(at(s+worse, 0, 9, .6) > inside || s+worse == s) {
			rt.Fatalf("feasible loss %v", inside)
		}
		g := x("over", -.9, -.0201)
		outside := at(x("s2", -.99, 100), g, 9, .6)
		if outside <= inside || outside <= 1 {
			rt.Fatalf("infeasible %v is before feasible %v", outside, inside)
		}
		if at(s, g-.01, 9, .6) <= at(s, g, 9, .6) {
			rt.Fatal("not monotone in the tolerance's excess")
		}
		lim := x("lim", 10.001, 1000)
		if at(s, 0, lim, .6) <= 1 || at(s, 0, lim*1.01, .6) <= at(s, 0, lim, .6) || at(s, 0, 9, .4) <= 1 {
			rt.Fatal("not monotone in the limit's excess")
		}
	})
}

func TestPortfolio(t *testing.T) {
	for _, c := range []struct {
		name   string
		losses [][]float64
		k      int
		chosen []int
		gap    float64
	}{
		{"nothing", nil, 3, nil, 1},
		{"one best everywhere", [][]float64{{-.5, -.5}, {-.1, -.2}}, 3, []int{0}, 1},
		{"specialists", [][]float64{{-.5, 2}, {2, -.4}, {-.3, -.3}}, 3, []int{2, 0, 1}, 1},
		{"too few places", [][]float64{{-.5, 2}, {2, -.4}, {-.3, -.3}}, 2, []int{2, 0}, 2. / 3},
		{"all infeasible", [][]float64{{2, 3}}, 2, nil, 1},
	} {
		chosen, gap := choosePortfolio(c.losses, c.k)
		if len(chosen) != len(c.chosen) || gap < c.gap-1e-9 || gap > c.gap+1e-9 {
			t.Errorf("%s: %v %v, want %v %v", c.name, chosen, gap, c.chosen, c.gap)
			continue
		}
		for i := range chosen {
			if chosen[i] != c.chosen[i] {
				t.Errorf("%s: %v, want %v", c.name, chosen, c.chosen)
			}
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(0, 10000).Draw(rt, "total")
		weights := rapid.SliceOfN(rapid.Float64Range(.001, 100), 1, 12).Draw(rt, "weights")
		sum := 0
		all := 0.0
		for _, w := range weights {
			all += w
		}
		for i, n := range shares(total, weights) {
			sum += n
			if exact := float64(total) * weights[i] / all; float64(n) < exact-1 || float64(n) > exact+1 {
				rt.Fatalf("%d of %v is far from %v", n, weights, exact)
			}
		}
		if sum != total {
			rt.Fatalf("%d instead of %d", sum, total)
		}
	})
}
