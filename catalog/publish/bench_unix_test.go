//go:build unix

package publish_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/arqon/arqon/catalog/trust"
)

// cpu is the processor time that this process has used, which other processes
// on the machine do not change.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// go test ./catalog/publish -run '^$' -bench ColdVerify -benchtime 5x
//
// A client without any memory verifies a release from the roots to the bytes
// of every artifact.
func BenchmarkColdVerify(b *testing.B) {
	for _, c := range []struct {
		name      string
		n         int
		described bool
	}{{"10000-bare", 10_000, false}, {"10000-described", 10_000, true}, {"100000-bare", 100_000, false}} {
		b.Run(c.name, func(b *testing.B) {
			w := large(b, c.n, c.described)
			before := cpu(b)
			for b.Loop() {
				c, err := trust.Open(trust.Config{Store: w.store, Root: w.made.Root, Now: func() time.Time { return night }})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Refresh(b.Context(), "canary"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// go test ./catalog/publish -run '^$' -bench RefreshWithoutChange -benchmem
//
// A client that remembers durably looks again and finds nothing new.
func BenchmarkRefreshWithoutChange(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := large(b, n, true)
			c, err := trust.Open(trust.Config{Store: w.store, Root: w.made.Root, StateDir: b.TempDir(), Now: func() time.Time { return night }})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Refresh(b.Context(), "canary"); err != nil {
				b.Fatal(err)
			}
			before := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Refresh(b.Context(), "canary"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// go test ./catalog/publish -run '^$' -bench OneChange -benchtime 1x
//
// One variant of 10,000 changes: what a client that has the rest fetches.
func BenchmarkOneChange(b *testing.B) {
	w := large(b, 10_000, true)
	store := &counting{Store: w.store}
	c, err := trust.Open(trust.Config{Store: store, Root: w.made.Root, StateDir: b.TempDir(), Now: func() time.Time { return night }})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Refresh(b.Context(), "canary"); err != nil {
		b.Fatal(err)
	}
	fetched := 0
	for n := 1; b.Loop(); n++ {
		b.StopTimer()
		p := many(w, 10_000, true)
		p.Entries[5_000].Envelope.MemoryBytesMax = int64(n)
		if _, err := w.repo().Release(b.Context(), p); err != nil {
			b.Fatal(err)
		}
		store.bytes = 0
		b.StartTimer()
		if _, err := c.Refresh(b.Context(), "canary"); err != nil {
			b.Fatal(err)
		}
		fetched += store.bytes
	}
	b.ReportMetric(float64(fetched)/float64(b.N), "fetched-bytes/op")
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
}
