package factory

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/ga"
	"github.com/arqon/arqon/factory/sweep"
	"github.com/arqon/arqon/gates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestAStudySaysWhatItMeans(t *testing.T) {
	st := toyStudy(t, "workers: 2", `workers: 3
repository: out/catalog
channel: prod
fidelity: .25
policy: {alpha_year: 0.02, robustness: []}
metrics: {accuracy: {tolerance: .02}}
contexts: [low, {name: burst, success: accuracy, tolerances: {cost: 1}, limits: {bytes: 1e3}}]`,
		"{evaluations: 240}", "{evaluations: 240, time: 1h30m}")
	if st.Workers != 3 || st.Repository != "out/catalog" || st.Channel != "prod" || st.Fidelity != .25 ||
		st.Budget.Time != 90*time.Minute || st.Policy.AlphaYear != .02 || len(st.Policy.Robustness) != 0 ||
		st.Policy.PairsMax != gates.DefaultPolicy().PairsMax || st.Seed != 7 {
		t.Errorf("%+v", st)
	}
	d, err := (&toy{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	applied, err := st.Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	if len(applied.Scenarios) != 2 || len(d.Scenarios) != 4 {
		t.Fatalf("%d scenarios of %d", len(applied.Scenarios), len(d.Scenarios))
	}
	burst := applied.In(applied.Scenarios[1])
	if s := successOf(burst); s.Name != "accuracy" || *burst[2].Limit != 1000 || burst[0].Tolerance != 1 || burst[1].Tolerance != .05 {
		t.Errorf("%+v", burst)
	}
	if low := applied.In(applied.Scenarios[0]); low[1].Tolerance != .02 || low[2].Limit != nil {
		t.Errorf("%+v", low)
	}
}

func TestAShortStudyGetsTheDefaults(t *testing.T) {
	st, err := parseStudy("s", []byte("name: a\ndomain: infer\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if st.Seed != 1 || st.Budget.Evaluations != DefaultEvaluations || st.Fidelity != 1 || st.Channel != "staging" ||
		len(st.Engines) != 3 || st.Candidates != DefaultCandidates || st.Workers < 1 || st.Policy.Digest() != gates.DefaultPolicy().Digest() {
		t.Errorf("%+v", st)
	}
	if err := st.CheckEngines(map[string]engine.New{"cma": ga.Engine, "ga": ga.Engine, "sweep": sweep.Engine}); err != nil {
		t.Error(err)
	}
}

func TestDigestsFollowMeaning(t *testing.T) {
	digest := func(edit ...string) string {
		d, err := toyStudy(t, edit...).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return string(d)
	}
	same := digest()
	for _, edit := range [][]string{
		{"workers: 2", "workers: 5"},
		{"seed: 7", "# a comment\nseed: 0x7"},
		{"budget: {evaluations: 240}", "budget:\n  evaluations: 240"},
	} {
		if digest(edit...) != same {
			t.Errorf("%q means something else", edit)
		}
	}
	seen := map[string]string{same: "nothing"}
	for _, edit := range [][]string{
		{"seed: 7", "seed: 8"}, {"evaluations: 240", "evaluations: 241"}, {"share: 2", "share: 2.5"}, {"name: toy", "name: toy2"},
		{"domain: toy", "domain: toy2"}, {"domain: toy", "domain: toy\nfidelity: .5"}, {"domain: toy", "domain: toy\npolicy: {pairs_max: 50}"},
		{"domain: toy", "external: {command: [x]}"}, {"domain: toy", "command: {name: x}"}, {"domain: toy", "command: {name: y}"},
		{"domain: toy", "domain: toy\ncontexts: [low]"}, {"domain: toy", "domain: toy\nmetrics: {cost: {limit: 3}}"},
	} {
		d := digest(edit...)
		if before, ok := seen[d]; ok {
			t.Errorf("%q and %q mean the same", edit, before)
		}
		seen[d] = strings.Join(edit, " → ")
	}
}

// Whoever decodes the command template sees the lines and columns of the
// study, block or flow.
func TestTheTemplateKeepsItsPlaces(t *testing.T) {
	for _, form := range []string{
		"command:\n  name: x\n  # a comment\n  metrics:\n    - name: m\n  bad: 1\n",
		"command: {name: x, metrics: [{name: m}],\n  bad: 1}\n",
	} {
		st, err := parseStudy("s", []byte("seed: 3\n"+form+"name: last\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Name    string `yaml:"name"`
			Metrics []struct {
				Name string `yaml:"name"`
			} `yaml:"metrics"`
		}
		err = yaml.UnmarshalWithOptions(st.Command, &v, yaml.Strict())
		var y yaml.Error
		wantLine := 2 + strings.Count(form[:strings.Index(form, "bad")], "\n")
		if !errors.As(err, &y) || y.GetToken().Position.Line != wantLine || y.GetToken().Position.Column != 3 {
			t.Errorf("%q: %v", st.Command, err)
		}
		if err := yaml.Unmarshal(st.Command, &v); err != nil || v.Name != "x" || len(v.Metrics) != 1 {
			t.Errorf("%q: %+v %v", st.Command, v, err)
		}
	}
}

// Every refusal names file, line, column and field; the texts are golden.
func TestStudyRefusals(t *testing.T) {
	base := toyYAML
	edits := [][2]string{
		{"workers: 2", "workers: 0"},
		{"workers: 2", "workers: 1000"},
		{"workers: 2", `workers: "2"`},
		{"workers: 2", "workers: 2.5"},
		{"workers: 2", "worker: 2"},
		{"workers: 2", "workers: 2\nworkers: 3"},
		{"workers: 2", "workers:"},
		{"workers: 2", "workers: &a 2"},
		{"seed: 7", "seed: -1"},
		{"seed: 7", "seed: 18446744073709551616"},
		{"seed: 7", "seed: yes"},
		{"name: toy", "name: Toy Story"},
		{"name: toy\n", ""},
		{"domain: toy\n", ""},
		{"domain: toy", "domain: toy\nexternal: {command: [x]}"},
		{"domain: toy", "domain: toy\ncommand: {name: x}"},
		{"domain: toy", "domain: 5"},
		{"domain: toy", "external: {command: []}"},
		{"domain: toy", "external: {command: run me}"},
		{"domain: toy", "external: {command: [x], timeout: 5}"},
		{"domain: toy", "external: {command: [x], timeout: -5s}"},
		{"domain: toy", "command: run me"},
		{"domain: toy", "command: {a: &x [1, 2], b: [*x, *x]}"},
		{"evaluations: 240", "evaluations: -3"},
		{"evaluations: 240", "evaluations: 1e3"},
		{"evaluations: 240", "evaluations: 9999999999"},
		{"evaluations: 240", "evaluations: 240, time: soon"},
		{"evaluations: 240", "evaluations: 240, time: -1m"},
		{"evaluations: 240", "evaluations: 240, money: 5"},
		{"{evaluations: 240}", "240"},
		{"share: 2", "share: 0"},
		{"share: 2", "share: -1"},
		{"share: 2", "share: .nan"},
		{"share: 2", "share: lots"},
		{"name: sweep", "name: ga"},
		{"{name: sweep, share: 1}", "sweep"},
		{"engines:\n  - {name: ga, share: 2}\n  - {name: sweep, share: 1}", "engines: []"},
		{"candidates_per_context: 2", "candidates_per_context: 0"},
		{"candidates_per_context: 2", "fidelity: 0"},
		{"candidates_per_context: 2", "fidelity: 1.5"},
		{"candidates_per_context: 2", "fidelity: .inf"},
		{"candidates_per_context: 2", "channel: a/b"},
		{"candidates_per_context: 2", "contexts: []"},
		{"candidates_per_context: 2", "contexts: [low, low]"},
		{"candidates_per_context: 2", "contexts: [low, {success: cost}]"},
		{"candidates_per_context: 2", "contexts: [{name: low, tolerances: {cost: -1}}]"},
		{"candidates_per_context: 2", "contexts: low"},
		{"candidates_per_context: 2", "metrics: {cost: {tolerance: -2}}"},
		{"candidates_per_context: 2", "metrics: {cost: 2}"},
		{"candidates_per_context: 2", "policy: {alpha_year: 0.5}"},
		{"candidates_per_context: 2", "policy: {canary_stages: [0.5, 0.25, 1]}"},
		{"candidates_per_context: 2", "policy: strict.yaml"},
		{"candidates_per_context: 2", "policy: none.yaml"},
		{"candidates_per_context: 2", "x: [1, 2"},
		{"candidates_per_context: 2", "---\nname: two"},
		{"candidates_per_context: 2", "\tx: 1"},
		{"candidates_per_context: 2", "? [a]\n: b"},
		// What only the domain and the caller's engines can tell:
		{"candidates_per_context: 2", "contexts: [low, hihg]"},
		{"candidates_per_context: 2", "contexts:\n  - {name: low, success: costs}"},
		{"candidates_per_context: 2", "contexts:\n  - name: low\n    limits: {size: 3}"},
		{"candidates_per_context: 2", "contexts:\n  - name: low\n    tolerances: {size: 3}"},
		{"candidates_per_context: 2", "metrics: {size: {limit: 3}}"},
		{"candidates_per_context: 2", "descriptors: [{metric: size, min: 1, max: 2}]"},
		{"candidates_per_context: 2", "descriptors:\n  - {knob: packing}\n  - {knob: speed}"},
		{"candidates_per_context: 2", "descriptors: [{metric: bytes, max: 900, min: 901}]"},
		{"name: sweep", "name: magic"},
		{"evaluations: 240", "evaluations: 7"},
	}
	var got strings.Builder
	for _, e := range edits {
		text := strings.Replace(base, e[0], e[1], 1)
		if text == base {
			t.Fatalf("%q is not in the study", e[0])
		}
		err := refusal(t, text)
		fmt.Fprintf(&got, "## %s → %s\n", oneLine(e[0]), oneLine(e[1]))
		if err == nil {
			t.Errorf("%q was accepted", e[1])
			continue
		}
		if !errors.Is(err, ErrStudy) {
			t.Errorf("%q: not an ErrStudy: %v", e[1], err)
		}
		got.WriteString(err.Error() + "\n\n")
	}
	compareGolden(t, "study-refusals.txt", got.String())
}

func TestPolicyKeysAreChecked(t *testing.T) {
	err := refusal(t, strings.Replace(toyYAML, "seed: 7", "policy: {alpha_years: 0.5}", 1))
	if !errors.Is(err, ErrStudy) || !strings.HasPrefix(err.Error(), "toy.yaml:3:10: policy.alpha_years: unknown key; known here: ") {
		t.Error(err)
	}
}

func oneLine(s string) string { return strings.NewReplacer("\n", "⏎", "\t", "⇥").Replace(s) }

// refusal takes a study as far as the first evaluation.
func refusal(t *testing.T, text string) error {
	st, err := parseStudy("toy.yaml", []byte(text), func(_, p string) (string, []byte, error) {
		if p == "strict.yaml" {
			return p, []byte("# of the team\npairs_max: 3\n"), nil
		}
		return p, nil, os.ErrNotExist
	})
	if err != nil {
		return err
	}
	if err := st.CheckEngines(toyEngines()); err != nil {
		return err
	}
	d, err := (&toy{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d, err = st.Apply(d); err != nil {
		return err
	}
	_, err = Discover(t.Context(), Discovery{
		Study: st, Domain: &toy{}, Description: d, Engines: toyEngines(), Journal: filepath.Join(t.TempDir(), "j"),
	})
	return err
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(readFile(t, path)); want != got {
		t.Errorf("%s differs; go test ./factory -update rewrites it. Got:\n%s", path, got)
	}
}

func TestLoadStudyReadsPolicyBesideIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.yaml")
	for name, text := range map[string]string{
		"s.yaml": "name: a\ndomain: toy\npolicy: p.yaml\n", "p.yaml": "pairs_max: 60\n", "big.yaml": strings.Repeat("#", maxStudyBytes+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	st, err := LoadStudy(path)
	if err != nil || st.Policy.PairsMax != 60 || st.Path() != path {
		t.Fatalf("%+v %v", st.Policy, err)
	}
	if _, err := LoadStudy(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := LoadStudy(filepath.Join(dir, "big.yaml")); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
	if _, err := LoadStudy(dir); err == nil {
		t.Error("a directory was read")
	}
}

func FuzzStudy(f *testing.F) {
	f.Add([]byte(toyYAML))
	f.Add([]byte("name: a\ndomain: x\ncontexts: [{name: b, limits: {m: 1}}]\npolicy: {alpha_year: .01}\n"))
	f.Add([]byte("name: a\ncommand:\n  name: x\n  b: [1]\n"))
	f.Add([]byte("a: &b [*b]\n<<: *b\n"))
	f.Add([]byte("- 1\n- ? x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseStudy("f", b, func(_, p string) (string, []byte, error) { return p, nil, os.ErrNotExist })
		if err != nil {
			if !errors.Is(err, ErrStudy) {
				t.Fatalf("not an ErrStudy: %v", err)
			}
			return
		}
		if err := st.check(); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Digest(); err != nil && !errors.Is(err, ErrStudy) {
			t.Fatal(err)
		}
	})
}
