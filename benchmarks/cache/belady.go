package cache

import "container/heap"

// Ratios are what a policy reached on a trace.
type Ratios struct{ Hit, ByteHit float64 }

// Bound is Belady's: the hit ratio that no policy can exceed on this trace at
// this capacity (Belady 1966). It gives up what is used again last, a newcomer
// included, as admission policies may. Keeping a key from one use to the next
// is an interval, and farthest first is optimal for as many intervals as
// possible with at most capacity at once; intervals that end within the
// warm-up are worth nothing and left out, so the bound holds for the ratio
// that is counted. ByteHit is what these decisions reach, not a bound.
func Bound(t *Trace, capacity int) Ratios {
	after := nextUses(t.Uses)
	cached := make(map[uint64]int, capacity) // key → index of its next use
	var far farthest
	var sum tally
	for i, u := range t.Uses {
		at, hit := cached[u.Key]
		hit = hit && at == i
		sum.count(t, i, hit)
		next := after[i]
		if next < t.Warm {
			next = never
		}
		switch {
		case next == never:
			delete(cached, u.Key) // nobody will ask again
			continue
		case hit || len(cached) < capacity:
		default:
			far.settle(cached)
			if far.at[0].next <= next {
				continue // the newcomer is the one to go
			}
			delete(cached, far.at[0].key)
			heap.Pop(&far)
		}
		cached[u.Key] = next
		heap.Push(&far, due{u.Key, next})
	}
	return sum.ratios()
}

const never = 1<<31 - 1

func nextUses(uses []Use) []int {
	out := make([]int, len(uses))
	seen := map[uint64]int{}
	for i := len(uses) - 1; i >= 0; i-- {
		out[i] = never
		if at, ok := seen[uses[i].Key]; ok {
			out[i] = at
		}
		seen[uses[i].Key] = i
	}
	return out
}

// due is when a key is used next.
type due struct {
	key  uint64
	next int
}

// farthest is a heap of dues, the last on top; those of keys that have been
// used or given up since are still in it.
type farthest struct{ at []due }

func (f *farthest) Len() int           { return len(f.at) }
func (f *farthest) Less(i, j int) bool { return f.at[i].next > f.at[j].next }
func (f *farthest) Swap(i, j int)      { f.at[i], f.at[j] = f.at[j], f.at[i] }
func (f *farthest) Push(x any)         { f.at = append(f.at, x.(due)) }
func (f *farthest) Pop() any {
	x := f.at[len(f.at)-1]
	f.at = f.at[:len(f.at)-1]
	return x
}

// settle drops what is no longer so from the top.
func (f *farthest) settle(cached map[uint64]int) {
	for len(f.at) > 0 {
		if next, ok := cached[f.at[0].key]; ok && next == f.at[0].next {
			return
		}
		heap.Pop(f)
	}
}

// tally counts hits and bytes after the warm-up.
type tally struct{ hits, uses, hitBytes, bytes uint64 }

func (c *tally) count(t *Trace, i int, hit bool) {
	if i < t.Warm {
		return
	}
	size := uint64(t.Uses[i].Size)
	c.uses++
	c.bytes += size
	if hit {
		c.hits++
		c.hitBytes += size
	}
}

func (c *tally) add(d tally) {
	c.hits, c.uses, c.hitBytes, c.bytes = c.hits+d.hits, c.uses+d.uses, c.hitBytes+d.hitBytes, c.bytes+d.bytes
}

func (c *tally) ratios() Ratios {
	return Ratios{float64(c.hits) / float64(max(1, c.uses)), float64(c.hitBytes) / float64(max(1, c.bytes))}
}
