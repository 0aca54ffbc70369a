package cache_test

import (
	"fmt"

	"github.com/arqon/arqon/benchmarks/cache"
)

// A service holds one live cache and changes its policy while it serves. What
// is in it is handed over.
func ExampleNewLive() {
	c, err := cache.NewLive(cache.BuiltIn(), cache.LiveConfig{Entries: 4, Shards: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	get := func(key uint64) string {
		if v, ok := c.Get(key); ok {
			return v.(string)
		}
		v := fmt.Sprint("page ", key) // the work that a cache saves
		c.Put(key, v, uint32(len(v)))
		return "made " + v
	}
	fmt.Println(get(1))
	fmt.Println(get(1))
	for key := range uint64(3) {
		get(2 + key)
	}
	fmt.Println(c.Strategy(), c.Len(), "of", c.Capacity())

	for _, s := range cache.Families() {
		if s.Kind() == "sieve" {
			fmt.Println("switched:", c.Switch(1, s)) // 1: the release's number; late news changes nothing
		}
	}
	c.Settle()
	fmt.Println(c.Strategy(), c.Len(), "of", c.Capacity(), "handed over", c.Moved())
	fmt.Println(get(1))
	// Output:
	// made page 1
	// page 1
	// lru 4 of 4
	// switched: true
	// sieve 4 of 4 handed over 4
	// page 1
}

// The artifact of a release opens as a live cache; bytes that are none do not.
func ExampleOpenCache() {
	file := cache.Families()[3].Encode() // a host gets it from a verified release
	c, err := cache.OpenCache(file)
	fmt.Println(c.Strategy(), c.Capacity(), err)
	_, err = cache.OpenCache(file[:len(file)-1])
	fmt.Println(err)
	// Output:
	// s3fifo small=100 ghost=900 threshold=2 65536 <nil>
	// bad cache policy: ends inside the parts of s3fifo
}
