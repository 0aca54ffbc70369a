package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// TestABadPolicyIsNeverStaged signs policies that no build makes: a release
// with one of them is refused as a whole, and the one before keeps serving.
func TestABadPolicyIsNeverStaged(t *testing.T) {
	contexts := []string{"scan-2k"}
	good := func(name string) runtimetest.Variant {
		return runtimetest.Variant{Name: name, Data: cache.BuiltIn().Encode(), Contexts: contexts}
	}
	for want, policy := range map[string]string{
		"an eviction costs 640":                 "ARQC\x01\x07\x40\x00\x00\x00\x02\x03\x00\x00\x00\x03\x00\x00\x00",
		"s3fifo_small is 1000: want 5 to 900":   "ARQC\x01\x03\xe8\x03\x64\x00\x01\x00",
		"instruction 0: operand 9 is not known": "ARQC\x01\x07\x10\x00\x00\x00\x01\x07\x09\x00\x00",
		"ends inside the parts":                 "ARQC\x01\x03\x0a",
		"policy 200 is not one":                 "ARQC\x01\xc8",
		"version 2, this program reads 1":       "ARQC\x02\x00",
		"does not begin with":                   "a cache policy",
	} {
		repo := runtimetest.New(t, catalog.Policy{WindowRequests: 5})
		rt, err := runtime.Open(t.Context(), runtime.Config{Stage: stageStrategy, BuiltIn: cache.BuiltIn()}, repo.Release(contexts, good("lru")))
		if err != nil {
			t.Fatal(err)
		}
		class, _ := rt.Class(contexts[0])
		before := rt.Load().Handle(rt.Load().Select(class))
		err = rt.Adopt(t.Context(), repo.Release(contexts, good("lru"),
			runtimetest.Variant{Name: "bad", Data: []byte(policy), Contexts: contexts}))
		if !errors.Is(err, cache.ErrBadPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		after := rt.Load().Handle(rt.Load().Select(class))
		if s, ok := after.(*cache.Strategy); !ok || after != before || s.Kind() != "lru" {
			t.Errorf("%s: %v served before, %v now", want, before, after)
		}
	}
}
