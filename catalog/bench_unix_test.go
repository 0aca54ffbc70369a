//go:build unix

package catalog_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/arqon/arqon/catalog"
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

// go test ./catalog -run '^$' -bench DecodeManifest -benchmem
//
// Decodes and checks a release from its bytes: what a host pays besides
// fetching and hashing.
func BenchmarkDecodeManifest(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := release()
			r.Entries, r.Tombstones, r.NextID, r.Baseline = nil, nil, catalog.VariantID(n+1), 1
			for i := range n {
				r.Entries = append(r.Entries, entry(catalog.VariantID(i+1), "staging"))
			}
			f := encode(b, r)
			blobs := mem(f.Shards)
			size := len(f.Manifest)
			for _, s := range f.Shards {
				size += len(s)
			}
			b.SetBytes(int64(size))
			before := cpu(b)
			for b.Loop() {
				if _, err := catalog.ReadRelease(b.Context(), f.Manifest, blobs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}
