package external

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

const checkedTemplate = `
name: checked
version: "1"
command: [sh, -c, "echo {{level}}"]
check: CHECK
parameters:
  - {name: level, kind: int, min: 1, max: 9, default: 1}
  - {name: extra, kind: int, min: 1, max: 9, when: {level: [9]}}
metrics: [{name: level, direction: lower, kind: deterministic, role: success, regexp: '([0-9]+)'}]
scenarios: [{name: calm, features: {load: 3}}, {name: rush, features: {load: 40}}]
baseline: {level: 1}
`

// checksOf opens level under the check and asks.
func checksOf(t *testing.T, check string, level int64) ([]benchmarks.Check, error) {
	t.Helper()
	tmpl, err := DecodeTemplate([]byte(strings.Replace(checkedTemplate, "CHECK", check, 1)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewCommand(tmpl, Options{TempDir: t.TempDir(), MeasureTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	b, err := d.Build(t.Context(), benchmarks.Point{"level": level}, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return in.Check(t.Context(), 7)
}

func TestACommandIsCheckedByACommand(t *testing.T) {
	for _, tc := range []struct {
		check string
		level int64
		want  []benchmarks.Check
	}{
		{`[sh, -c, "test {{level}} -lt 5"]`, 4, []benchmarks.Check{{Name: "check", Pass: true}}},
		{`[sh, -c, "test {{level}} -lt 5"]`, 5, []benchmarks.Check{{Name: "check", Detail: "exit 1"}}},
		{`[sh, -c, "echo  off by; echo one >&2; echo {{seed}}; exit 3"]`, 1, []benchmarks.Check{{Name: "check", Detail: "exit 3: off by 7"}}},
		{`[sh, -c, "echo 'no such file' >&2; exit 2"]`, 1, []benchmarks.Check{{Name: "check", Detail: "exit 2: no such file"}}},
		{`[sh, -c, "test {{feature.load}} -lt 10 && echo {{scenario}} holds"]`, 1,
			[]benchmarks.Check{{Name: "check calm", Pass: true, Detail: "calm holds"}, {Name: "check rush", Detail: "exit 1"}}},
	} {
		got, err := checksOf(t, tc.check, tc.level)
		if err != nil {
			t.Errorf("%s: %v", tc.check, err)
			continue
		}
		if len(got) != len(tc.want) {
			t.Errorf("%s: %v, want %v", tc.check, got, tc.want)
			continue
		}
		for i := range got {
			if got[i] != tc.want[i] {
				t.Errorf("%s: %+v, want %+v", tc.check, got[i], tc.want[i])
			}
		}
	}
}

// TestTheGuideHasEveryTemplateKey: docs/studies.md is where a person learns them.
func TestTheGuideHasEveryTemplateKey(t *testing.T) {
	b, err := os.ReadFile("../../docs/studies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[Template](), reflect.TypeFor[TemplateMetric](), reflect.TypeFor[wireParameter](),
		reflect.TypeFor[wireScenario](), reflect.TypeFor[wireConstraint](),
	} {
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			if !regexp.MustCompile("[`{ ]" + key + "[`:,}]").Match(b) {
				t.Errorf("%s: the key %s is not in the guide", of.Name(), key)
			}
		}
	}
}

func TestACheckThatCannotAnswerIsNoFailedCheck(t *testing.T) {
	for check, want := range map[string]error{
		`[sh, -c, "kill -9 $$"]`: benchmarks.ErrCrash,
		`[sh, -c, "sleep 60"]`:   benchmarks.ErrTimeout,
	} {
		if got, err := checksOf(t, check, 1); !errors.Is(err, want) {
			t.Errorf("%s: %v and %v, want %v", check, got, err, want)
		}
	}
	if _, err := checksOf(t, `["no-such-program-here"]`, 1); err == nil {
		t.Error("a program that is not there was no error")
	}
	tmpl, err := DecodeTemplate([]byte(strings.Replace(checkedTemplate, "CHECK", `[sh, "{{nothing}}"]`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCommand(tmpl, Options{TempDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "check[1]") {
		t.Errorf("an unknown placeholder: %v, want one that names check[1]", err)
	}
}
