package cache

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/internal/seed"
)

func newLive(t testing.TB, s *Strategy, entries, shards int) *Live {
	t.Helper()
	l, err := NewLive(s, LiveConfig{Entries: entries, Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestALiveCacheTellsTheTruth switches policies and deletes at random: a hit
// returns what was stored last, what was deleted is gone, and capacity holds.
func TestALiveCacheTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(1, 60).Draw(t, "entries")
		l, err := NewLive(drawStrategy(t), LiveConfig{Entries: entries, Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		r := seed.Stream(seed.Root(rapid.Uint64().Draw(t, "uses")), "test")
		last := map[uint64]int{}
		for round := range 4 {
			for i := range 400 {
				k := uint64(r.IntN(entries*2 + 1))
				if v, ok := l.Get(k); ok && v != last[k] {
					t.Fatalf("key %d holds %v, %d was stored", k, v, last[k])
				} else if !ok || i%7 == 0 {
					if last[k] = round*1000 + i; !l.Put(k, last[k], 1) && ok {
						t.Fatalf("key %d was there and cannot be replaced", k)
					}
				}
				if i%11 == 0 {
					gone := uint64(r.IntN(entries*2 + 1))
					before, was := l.Len(), l.Delete(gone)
					if _, ok := l.Get(gone); ok || was && l.Len() != before-1 || !was && l.Len() != before {
						t.Fatalf("key %d was there: %v; %d entries before it was deleted, %d after; still there: %v", gone, was, before, l.Len(), ok)
					}
				}
				if n := l.Len(); n > entries {
					t.Fatalf("%d of %d entries are held", n, entries)
				}
			}
			before := l.Len()
			s := drawStrategy(t)
			l.Switch(uint64(round+1), s)
			l.Settle()
			if n := l.Len(); n > entries || s.Kind() != scoreName && s.Kind() != "wtinylfu" && n != before {
				t.Fatalf("%d entries before the switch to %s, %d after", before, s, n)
			}
		}
	})
}

func TestTheOrderOfNewsDecides(t *testing.T) {
	a, b := defaultOf(t, "lru"), defaultOf(t, "arc")
	l := newLive(t, a, 1000, 4)
	if !l.Switch(5, b) || l.Switch(5, a) || l.Switch(4, a) || l.Switch(6, b) || l.Strategy() != b {
		t.Error("an old or empty switch took effect")
	}
	for _, c := range []LiveConfig{{Entries: -1}, {Entries: 4, Shards: 8}, {Entries: 100, Shards: 3}, {Entries: 1 << 30}} {
		if _, err := NewLive(a, c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if l, err := OpenCache(a.Encode()); err != nil || l.Capacity() != entriesDefault {
		t.Errorf("%v, %v", l, err)
	}
	if _, err := OpenCache([]byte("ARQC")); err == nil {
		t.Error("half a file was opened")
	}
}

// TestAWarmSwitchCostsLittle compares the hit ratio right after a switch with
// a cold start of the same policy.
func TestAWarmSwitchCostsLittle(t *testing.T) {
	uses := mixtures[1].generate(1, 42_000)
	for _, k := range kinds {
		hits := map[bool]int{}
		for _, warm := range []bool{true, false} {
			l := newLive(t, defaultOf(t, "lru"), 2048, 4)
			for i, u := range uses {
				if i == 40_000 && warm {
					l.Switch(1, defaultOf(t, k.name))
				}
				if i == 40_000 && !warm {
					l = newLive(t, defaultOf(t, k.name), 2048, 4)
				}
				if _, ok := l.Get(u.Key); !ok {
					l.Put(u.Key, u.Key, u.Size)
				} else if i >= 40_000 {
					hits[warm]++
				}
			}
		}
		if hits[true] < hits[false]+200 {
			t.Errorf("%s: %d of 2000 hits after a warm switch, %d after a cold one", k.name, hits[true], hits[false])
		}
	}
}

func TestManyGoroutinesAndSwitches(t *testing.T) {
	l := newLive(t, defaultOf(t, "lru"), 512, 8)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			r := seed.Stream(seed.Root(g), "test")
			for range 20_000 {
				k := uint64(r.IntN(2000))
				if v, ok := l.Get(k); ok && v != k {
					t.Errorf("key %d holds %v", k, v)
				} else if !ok {
					l.Put(k, k, 1)
				} else if r.IntN(50) == 0 {
					l.Delete(k)
				}
			}
		})
	}
	all := make([]*Strategy, len(kinds))
	for i, k := range kinds {
		all[i] = defaultOf(t, k.name)
	}
	for i := range 400 {
		l.Switch(uint64(i+1), all[(i+1)%len(all)])
		l.Settle()
	}
	group.Wait()
	if n := l.Len(); n > 512 || n < 256 {
		t.Errorf("%d of 512 entries are held", n)
	}
}

func BenchmarkLive(b *testing.B) {
	uses := mixtures[1].generate(1, usesFull)
	l := newLive(b, defaultOf(b, "s3fifo"), 2048, 16)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			u := uses[i%len(uses)]
			if _, ok := l.Get(u.Key); !ok {
				l.Put(u.Key, u.Key, u.Size)
			}
		}
	})
}

// TestDeletingMakesRoom empties a full cache under every policy and fills it
// again: no place and no node is lost.
func TestDeletingMakesRoom(t *testing.T) {
	uses := mixtures[1].generate(3, 4_000)
	for _, k := range kinds {
		l := newLive(t, defaultOf(t, k.name), 200, 1)
		for round := range 3 {
			for _, u := range uses {
				if _, ok := l.Get(u.Key); !ok {
					l.Put(u.Key, u.Key, u.Size)
				}
			}
			if n := l.Len(); n != 200 {
				t.Fatalf("%s, round %d: %d of 200 entries are held", k.name, round, n)
			}
			deleted := 0
			for _, u := range uses {
				if l.Delete(u.Key) {
					deleted++
				}
			}
			if n := l.Len(); deleted != 200 || n != 0 {
				t.Fatalf("%s, round %d: %d deleted, %d left", k.name, round, deleted, n)
			}
		}
	}
}
