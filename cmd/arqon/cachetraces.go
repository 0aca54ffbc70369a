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
		t := cache.TraceFile{Name: traceName(path), Path: path, Format: cache.Format(format)}
		if err := distinct(o.Traces, t); err != nil {
			return nil, err
		}
		o.Traces = append(o.Traces, t)
	}
	return cache.New(o)
}

// traceName is what a context calls a file: its name without the ending, of the
// letters that names may have.
func traceName(path string) string {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(path)), strings.ToLower(filepath.Ext(path)))
	name = strings.Trim(notInNames.ReplaceAllString(name, "-"), "-")
	return name[:min(len(name), 40)]
}

// distinct refuses a trace that is not there, or whose contexts would have the
// names of another one's.
func distinct(before []cache.TraceFile, t cache.TraceFile) error {
	if t.Name == "" {
		return hinted{fmt.Errorf("%s: %q: a file needs a name with a letter or digit", tracesVariable, t.Path), "its contexts are called trace-NAME-512, -2k and -8k"}
	}
	for _, other := range before {
		if other.Name == t.Name {
			return hinted{
				fmt.Errorf("%s: %s and %s would both be the contexts trace-%s-512, -2k and -8k", tracesVariable, other.Path, t.Path, t.Name),
				"contexts are named by the file without its ending: rename one, or link to it under another name",
			}
		}
	}
	if _, err := os.Stat(t.Path); err != nil {
		return hinted{fmt.Errorf("%s: %w", tracesVariable, err), "it lists the trace files of the domain cache: correct it, or unset it"}
	}
	return nil
}
