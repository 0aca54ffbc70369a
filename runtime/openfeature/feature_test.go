package openfeature_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/openfeature"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// specVariable names a checkout of github.com/open-feature/spec. The SDK's
// module has steps for the suites of its appendix B but not the suites.
const specVariable = "ARQON_OPENFEATURE_SPEC"

// TestFeatures runs scenarios in the words of the specification's suite through
// the SDK's client: ours, and the original where it lies on the machine.
func TestFeatures(t *testing.T) {
	files := []string{"testdata/arqon.feature"}
	if spec := os.Getenv(specVariable); spec != "" {
		files = append(files, filepath.Join(spec, "specification/assets/gherkin/evaluation.feature"))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scenarios(string(b)) {
			t.Run(filepath.Base(file)+"/"+s.name, func(t *testing.T) { s.run(t) })
		}
	}
}

type scenario struct {
	name  string
	steps []string
}

// scenarios reads the part of Gherkin that the suites use: a background and
// scenarios of one-line steps.
func scenarios(text string) (out []scenario) {
	var background []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "Scenario: "); ok {
			out = append(out, scenario{name: name, steps: append([]string{}, background...)})
			continue
		}
		for _, keyword := range []string{"Given ", "When ", "Then ", "And "} {
			step, ok := strings.CutPrefix(line, keyword)
			switch {
			case ok && len(out) == 0:
				background = append(background, step)
			case ok:
				out[len(out)-1].steps = append(out[len(out)-1].steps, step)
			}
		}
	}
	return out
}

func (s scenario) run(t *testing.T) {
	w := &world{t: t}
	for _, line := range s.steps {
		if !w.step(line) {
			t.Fatalf("no step reads %q", line)
		}
	}
	if w.checks == 0 {
		t.Fatal("the scenario checks nothing")
	}
}

// flagValues are the suite's flags: one class each, and the variants it has.
// context-aware has a second class for those whom the context picks.
var flagValues = []struct{ class, variant, json string }{
	{"boolean-flag", "on", `true`},
	{"string-flag", "greeting", `"hi"`},
	{"integer-flag", "ten", `10`},
	{"float-flag", "half", `0.5`},
	{"object-flag", "template", `{"showImages":true,"title":"Check out these pics!","imagesPerPage":100}`},
	{"context-aware", "external", `"EXTERNAL"`},
	{"context-aware.internal", "internal", `"INTERNAL"`},
	{"wrong-flag", "one", `"uno"`},
}

// world is one scenario: a signed release that answers the flags, a client, and
// what the last steps gave.
type world struct {
	t       *testing.T
	client  *of.Client
	context of.EvaluationContext
	checks  int

	flag    string
	def     any
	value   any
	details of.EvaluationDetails
	err     error
}

func flagRelease(t *testing.T) *runtime.Runtime {
	t.Helper()
	var classes []string
	var variants []runtimetest.Variant
	for _, f := range flagValues {
		classes = append(classes, f.class)
		variants = append(variants, runtimetest.Variant{
			Name: f.variant, Data: []byte(f.json), Contexts: []string{f.class},
			Expect: []catalog.Expectation{{Metric: "worth", Context: f.class, Unit: "1", Direction: "higher", Scale: "difference", Value: 1, Change: 1, Lower: 1, Upper: 1}},
		})
	}
	rt, err := runtime.Open(t.Context(), runtime.Config{
		Stage: openfeature.Stage, BuiltIn: openfeature.Variant{Name: "built-in", Value: "nothing"},
		Limits: runtime.Limits{Ramp: []float64{1}},
	}, runtimetest.New(t, catalog.Policy{MaxExperiments: 1}).Release(classes, variants...))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range flagValues[1:] { // the first is the baseline and serves its class
		c, ok := rt.Class(f.class)
		if !ok {
			t.Fatalf("no class %s", f.class)
		}
		x := rt.Executor()
		x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Class: c, Variant: catalog.VariantID(i + 2), Ramp: runtime.RampManual})
		x.Widen(c, 1, 2)
		if d := x.Promote(c, 3); d.Outcome != runtime.Applied {
			t.Fatalf("%s: %v", f.class, d.Reason)
		}
	}
	return rt
}

// chosen picks context-aware.internal for the suite's person.
func chosen(flag string, c of.FlattenedContext) string {
	if flag == "context-aware" && c["fn"] == "Sulisław" && c["ln"] == "Świętopełk" && c["age"] == int64(29) && c["customer"] == false {
		return "context-aware.internal"
	}
	return flag
}

// The steps, and what of them is an argument.
var (
	stepReady    = regexp.MustCompile(`^a stable provider$`)
	stepValue    = regexp.MustCompile(`^an? (boolean|string|integer|float) flag with key "([^"]*)" is evaluated with (details and )?default value "?([^"]*)"?$`)
	stepObject   = regexp.MustCompile(`^an object flag with key "([^"]*)" is evaluated with (details and )?a null default value$`)
	stepMissing  = regexp.MustCompile(`^a non-existent string flag with key "([^"]*)" is evaluated with details and a (?:default|fallback) value "([^"]*)"$`)
	stepWrong    = regexp.MustCompile(`^a string flag with key "([^"]*)" is evaluated as an integer, with details and a (?:default|fallback) value (\d+)$`)
	stepContext  = regexp.MustCompile(`^context contains keys "([^"]*)", "([^"]*)", "([^"]*)", "([^"]*)" with values "([^"]*)", "([^"]*)", (\d+), "([^"]*)"$`)
	stepFlag     = regexp.MustCompile(`^a flag with key "([^"]*)" is evaluated with default value "([^"]*)"$`)
	wantValue    = regexp.MustCompile(`^the resolved (?:boolean|string|integer|float) (?:value|response) should be "?([^"]*)"?$`)
	wantDetails  = regexp.MustCompile(`^the resolved (?:boolean|string|integer|float) details value should be "?([^",]*)"?, the variant should be "([^"]*)", and the reason should be "([^"]*)"$`)
	wantFields   = regexp.MustCompile(`^the resolved object (?:details )?value should be contain fields "([^"]*)", "([^"]*)", and "([^"]*)", with values "([^"]*)", "([^"]*)" and (\d+), respectively$`)
	wantVariant  = regexp.MustCompile(`^the variant should be "([^"]*)", and the reason should be "([^"]*)"$`)
	wantEmpty    = regexp.MustCompile(`^the resolved flag value is "([^"]*)" when the context is empty$`)
	wantFallback = regexp.MustCompile(`^the default (?:string|integer) value should be returned$`)
	wantError    = regexp.MustCompile(`^the reason should indicate an error and the error code should indicate a (?:missing flag|type mismatch) with "([^"]*)"$`)
)

func (w *world) step(line string) bool {
	var m []string
	is := func(r *regexp.Regexp) bool { m = r.FindStringSubmatch(line); return m != nil }
	switch {
	case is(stepReady):
		domain := w.t.Name()
		p := openfeature.New(flagRelease(w.t), openfeature.Options{Class: chosen})
		if err := of.SetNamedProviderAndWait(domain, p); err != nil {
			w.t.Fatal(err)
		}
		w.client = of.NewClient(domain)
	case is(stepMissing):
		w.evaluate("string", m[1], m[2])
	case is(stepWrong):
		w.evaluate("integer", m[1], m[2])
	case is(stepValue):
		w.evaluate(m[1], m[2], m[4])
	case is(stepObject):
		w.evaluate("object", m[1], "")
	case is(stepContext):
		w.context = of.NewEvaluationContext("", map[string]any{m[1]: word(m[5]), m[2]: word(m[6]), m[3]: whole(m[7]), m[4]: word(m[8])})
	case is(stepFlag):
		w.evaluate("string", m[1], m[2])
	case is(wantValue):
		w.want(fmt.Sprint(w.value), m[1])
	case is(wantDetails):
		w.want(fmt.Sprint(w.value), m[1])
		w.want(w.details.Variant, m[2])
		w.want(string(w.details.Reason), m[3])
	case is(wantVariant):
		w.want(w.details.Variant, m[1])
		w.want(string(w.details.Reason), m[2])
	case is(wantFields):
		o, ok := w.value.(map[string]any)
		if !ok {
			w.t.Fatalf("a %T, not an object", w.value)
		}
		for i := range 3 {
			w.want(fmt.Sprint(o[m[1+i]]), m[4+i])
		}
	case is(wantEmpty):
		w.context = of.EvaluationContext{}
		w.evaluate("string", w.flag, "default")
		w.want(fmt.Sprint(w.value), m[1])
	case is(wantFallback):
		w.want(fmt.Sprint(w.value), fmt.Sprint(w.def))
	case is(wantError):
		if w.err == nil {
			w.t.Error("no error")
		}
		w.want(string(w.details.ErrorCode), m[1])
		w.want(string(w.details.Reason), "ERROR")
	default:
		return false
	}
	return true
}

func (w *world) want(got, want string) {
	w.t.Helper()
	w.checks++
	if got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

func word(s string) any {
	if b, err := strconv.ParseBool(s); err == nil {
		return b
	}
	return s
}

func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err) // the expression lets digits through only
	}
	return n
}

// evaluate asks the client for a flag of a type.
func (w *world) evaluate(kind, flag, def string) {
	ctx := w.t.Context()
	w.flag = flag
	switch kind {
	case "boolean":
		d, err := w.client.BooleanValueDetails(ctx, flag, def == "true", w.context)
		w.def, w.value, w.details, w.err = def == "true", d.Value, d.EvaluationDetails, err
	case "string":
		d, err := w.client.StringValueDetails(ctx, flag, def, w.context)
		w.def, w.value, w.details, w.err = def, d.Value, d.EvaluationDetails, err
	case "integer":
		d, err := w.client.IntValueDetails(ctx, flag, whole(def), w.context)
		w.def, w.value, w.details, w.err = whole(def), d.Value, d.EvaluationDetails, err
	case "float":
		x, err := strconv.ParseFloat(def, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		d, err := w.client.FloatValueDetails(ctx, flag, x, w.context)
		w.def, w.value, w.details, w.err = x, d.Value, d.EvaluationDetails, err
	case "object":
		d, err := w.client.ObjectValueDetails(ctx, flag, nil, w.context)
		w.def, w.value, w.details, w.err = nil, d.Value, d.EvaluationDetails, err
	}
}
