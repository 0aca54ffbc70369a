package external

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// outcome is what a finished command left.
type outcome struct {
	stdout   []byte
	builtins map[string]float64
	exit     int    // the exit code; -1 of a command that a signal ended
	said     string // the end of its stderr
}

// reasonBytesMax bounds what a check may say.
const reasonBytesMax = 400

// reason is what a check said, on one line: the end of its stdout, or else of
// its stderr.
func (o outcome) reason() string {
	said := strings.Join(strings.Fields(string(bytes.ToValidUTF8(o.stdout, []byte("?")))), " ")
	if said == "" {
		said = strings.Join(strings.Fields(o.said), " ")
	}
	if cut := len(said) - reasonBytesMax; cut > 0 {
		said = strings.ToValidUTF8("… "+said[cut:], "")
	}
	if o.exit != 0 {
		said = strings.TrimSuffix(fmt.Sprintf("exit %d: %s", o.exit, said), ": ")
	}
	return said
}

// builtinNames are the metrics that need no output.
var builtinNames = []string{"cpu_ns", "rss_bytes", "wall_ns"}

// extractor finds one metric.
type extractor func(o outcome) (float64, error)

// compileExtractor checks the metric's source before anything is run.
func compileExtractor(m TemplateMetric) (extractor, error) {
	given := 0
	for _, s := range []string{m.Regexp, m.JSON, m.Builtin} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, fmt.Errorf("want exactly one of regexp, json and builtin, have %d", given)
	}
	scale := m.Scale
	if scale == 0 {
		scale = 1
	}
	if math.IsNaN(scale) || math.IsInf(scale, 0) {
		return nil, fmt.Errorf("scale: %v is not finite", m.Scale)
	}
	find, err := m.finder()
	if err != nil {
		return nil, err
	}
	return func(o outcome) (float64, error) {
		v, err := find(o)
		if err == nil && (math.IsNaN(v*scale) || math.IsInf(v*scale, 0)) {
			err = fmt.Errorf("it is %v", v*scale)
		}
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w: %w", m.Name, err, errNotFinite)
		}
		return v * scale, nil
	}, nil
}

func (m TemplateMetric) finder() (extractor, error) {
	switch {
	case m.Regexp != "":
		re, err := regexp.Compile(m.Regexp)
		if err != nil {
			return nil, fmt.Errorf("regexp: %w", err)
		}
		if re.NumSubexp() < 1 {
			return nil, fmt.Errorf("regexp: %.80q has no group for the number", m.Regexp)
		}
		return func(o outcome) (float64, error) {
			found := re.FindSubmatch(o.stdout)
			if found == nil {
				return 0, fmt.Errorf("nothing in the output matches %.80q", m.Regexp)
			}
			return parseNumber(string(found[1]))
		}, nil
	case m.JSON != "":
		where, err := parsePath(m.JSON)
		if err != nil {
			return nil, fmt.Errorf("json: %w", err)
		}
		return func(o outcome) (float64, error) { return where.find(o.stdout) }, nil
	}
	for _, name := range builtinNames {
		if m.Builtin == name {
			return func(o outcome) (float64, error) {
				v, ok := o.builtins[name]
				if !ok {
					return 0, fmt.Errorf("%s is not known on this system", name)
				}
				return v, nil
			}, nil
		}
	}
	return nil, fmt.Errorf("builtin: %.40q is not one of %q", m.Builtin, builtinNames)
}

// parseNumber also takes 12,345.6 as reports for people print it.
func parseNumber(s string) (float64, error) {
	s = strings.TrimSpace(s)
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		v, err = strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	}
	if err != nil {
		return 0, fmt.Errorf("%.80q is not a number", s)
	}
	return v, nil
}

// jsonPath is a parsed dotted path: a string is a key, an int an index.
type jsonPath []any

const maxPathSteps = 32

var pathStep = regexp.MustCompile(`^(?:\.?([^.\[\]]+)|\[(\d{1,9})\])`)

func parsePath(s string) (jsonPath, error) {
	var out jsonPath
	for rest := s; rest != ""; {
		m := pathStep.FindStringSubmatch(rest)
		if m == nil || len(out) == maxPathSteps || (len(out) == 0 && rest[0] == '.') {
			return nil, fmt.Errorf("path %.80q: want names and [numbers] like results[0].mean, at most %d of them", s, maxPathSteps)
		}
		if m[1] != "" {
			out = append(out, m[1])
		} else {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
		rest = rest[len(m[0]):]
	}
	return out, nil
}

// find follows the path through the first JSON value in b. Programs print
// progress before and after: the first line that starts an object or a list
// is where it begins.
func (p jsonPath) find(b []byte) (float64, error) {
	at := jsonStart.FindIndex(b)
	if at == nil {
		return 0, fmt.Errorf("no JSON object or list starts a line of the output")
	}
	dec := json.NewDecoder(bytes.NewReader(b[at[0]:]))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return 0, fmt.Errorf("the output's JSON: %w", err)
	}
	for _, step := range p {
		var ok bool
		switch s := step.(type) {
		case string:
			var object map[string]any
			if object, ok = v.(map[string]any); ok {
				v, ok = object[s]
			}
		case int:
			var list []any
			if list, ok = v.([]any); ok && s < len(list) {
				v = list[s]
			} else {
				ok = false
			}
		}
		if !ok {
			return 0, fmt.Errorf("the output's JSON has nothing at %v", step)
		}
	}
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("the output's JSON has %.80v there, not a number", v)
	}
	return parseNumber(n.String())
}

var jsonStart = regexp.MustCompile(`(?m)^[ \t]*[\[{]`)
