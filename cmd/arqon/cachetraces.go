package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/arqon/arqon/benchmarks/cache"
)

// tracesVariable lists trace files of the cache domain, FORMAT=PATH each, with
// commas between: they become the contexts trace-NAME-SIZE.
const tracesVariable = "ARQON_CACHE_TRACES"

const tracesMax = 16

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func cacheDomain() (*cache.Domain, error) {
	var o cache.Options
	for _, item := range strings.Split(os.Getenv(tracesVariable), ",") {
		if item == "" {
			continue
		}
		format, path, ok := strings.Cut(item, "=")
		if !ok || len(o.Traces) == tracesMax {
			return nil, hinted{
				fmt.Errorf("%s: %q: want FORMAT=PATH, at most %d of them with commas between", tracesVariable, item, tracesMax),
				fmt.Sprintf("%s=arc=P1.lis; formats: %v", tracesVariable, cache.Formats()),
			}
		}
		name := strings.TrimSuffix(strings.ToLower(filepath.Base(path)), strings.ToLower(filepath.Ext(path)))
		name = strings.Trim(notInNames.ReplaceAllString(name, "-"), "-")
		o.Traces = append(o.Traces, cache.TraceFile{Name: name[:min(len(name), 40)], Path: path, Format: cache.Format(format)})
	}
	return cache.New(o)
}
