package benchmarks

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/internal/seed"
)

// gzipSpace has one parameter of every kind, conditions and constraints.
func gzipSpace() Space {
	return Space{
		Parameters: []Parameter{
			{Name: "level", Kind: Int, Min: 1, Max: 9, Default: int64(6)},
			{Name: "window", Kind: Float, Min: 1024, Max: 1 << 20, Log: true, Default: 32768.0},
			{Name: "block", Kind: Int, Min: 1, Max: 4096, Log: true, Default: int64(64)},
			{Name: "skew", Kind: Float, Min: -1, Max: 1, Default: 0.0},
			{Name: "strategy", Kind: Categorical, Choices: []string{"default", "filtered", "huffman"}},
			{Name: "quality", Kind: Ordinal, Choices: []string{"low", "mid", "high"}, Default: "mid"},
			{Name: "dictionary", Kind: Bool, Default: false},
			{Name: "dictionary_kb", Kind: Int, Min: 1, Max: 64, Default: int64(8), When: map[string][]any{"dictionary": {true}}},
			{Name: "trainer", Kind: Categorical, Choices: []string{"cover", "prefix"}, When: map[string][]any{"dictionary_kb": {16, 32}}},
			{Name: "filters", Kind: Permutation, Choices: []string{"delta", "x86", "rle"}},
		},
		Constraints: []Constraint{
			{Name: "window", Expr: `level < 9 || window >= 32 * 1024`},
			{Name: "dict", Expr: `!(dictionary_kb > 32) || strategy != "huffman"`},
		},
	}
}

func TestASpaceOfEveryKindIsSound(t *testing.T) {
	s := gzipSpace()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	d := s.Default()
	if _, on := d["dictionary_kb"]; on {
		t.Error("an inactive parameter has a value")
	}
	want := `{"block":64,"dictionary":false,"filters":["delta","x86","rle"],"level":6,"quality":"mid","skew":0,"strategy":"default","window":32768}`
	if got := string(d.Canonical()); got != want {
		t.Errorf("default\n got %s\nwant %s", got, want)
	}
}

func TestCheckNamesTheField(t *testing.T) {
	one := func(p Parameter) Space { return Space{Parameters: []Parameter{p}} }
	x := Parameter{Name: "x", Kind: Float, Max: 1}
	on := Parameter{Name: "on", Kind: Bool}
	mode := Parameter{Name: "mode", Kind: Categorical, Choices: []string{"a", "b"}}
	under := func(name string, when map[string][]any) Parameter {
		return Parameter{Name: name, Kind: Bool, When: when}
	}
	rule := func(expr string) Space {
		return Space{Parameters: []Parameter{x, on, mode}, Constraints: []Constraint{{"c", expr}}}
	}
	for _, tc := range []struct {
		name  string
		space Space
		want  string
	}{
		{"nothing", Space{}, "nothing to search"},
		{"empty name", one(Parameter{Kind: Bool}), "name: empty"},
		{"illegal name", one(Parameter{Name: "a-b", Kind: Bool}), `"a-b"`},
		{"reserved name", one(Parameter{Name: "true", Kind: Bool}), `"true"`},
		{"twice", Space{Parameters: []Parameter{x, x}}, "twice"},
		{"no kind", one(Parameter{Name: "x"}), "kind"},
		{"unknown kind", one(Parameter{Name: "x", Kind: "complex"}), "kind"},
		{"empty range", one(Parameter{Name: "x", Kind: Float, Min: 2, Max: 2}), "not below"},
		{"infinite", one(Parameter{Name: "x", Kind: Float, Max: math.Inf(1)}), "not finite"},
		{"NaN", one(Parameter{Name: "x", Kind: Float, Min: math.NaN(), Max: 1}), "not finite"},
		{"too wide", one(Parameter{Name: "x", Kind: Float, Min: -math.MaxFloat64, Max: math.MaxFloat64}), "not finite"},
		{"log of zero", one(Parameter{Name: "x", Kind: Float, Max: 1, Log: true}), "log scale"},
		{"half an int", one(Parameter{Name: "x", Kind: Int, Min: .5, Max: 3}), "whole"},
		{"huge int", one(Parameter{Name: "x", Kind: Int, Max: 1 << 50}), "use a float"},
		{"no choice", one(Parameter{Name: "x", Kind: Categorical, Choices: []string{"a"}}), "choices"},
		{"choice twice", one(Parameter{Name: "x", Kind: Ordinal, Choices: []string{"a", "a"}}), "twice"},
		{"default outside", one(Parameter{Name: "x", Kind: Int, Min: 1, Max: 9, Default: int64(10)}), "default"},
		{"default of another type", one(Parameter{Name: "x", Kind: Bool, Default: "yes"}), "default"},
		{"when nobody", one(under("x", map[string][]any{"y": {true}})), `unknown parameter "y"`},
		{"when never", Space{Parameters: []Parameter{mode, under("x", map[string][]any{"mode": {"c"}})}}, "mode"},
		{"when empty", Space{Parameters: []Parameter{mode, under("x", map[string][]any{"mode": {}})}}, "never hold"},
		{"when itself", one(under("x", map[string][]any{"x": {true}})), "depends on itself"},
		{"when in a ring", Space{Parameters: []Parameter{
			under("x", map[string][]any{"y": {true}}), under("y", map[string][]any{"x": {true}})}}, "depends on itself"},
		{"when contradicting", Space{Parameters: []Parameter{mode,
			under("x", map[string][]any{"mode": {"a"}}),
			under("y", map[string][]any{"mode": {"b"}, "x": {true}})}}, "never hold"},
		{"constraint without a name", Space{Parameters: []Parameter{x}, Constraints: []Constraint{{"", "x > 0"}}}, "constraints[0].name"},
		{"syntax", rule("x >"), "constraint c"},
		{"unknown name", rule("y > 1"), `unknown parameter "y"`},
		{"unknown choice", rule(`mode == "c"`), `never "c"`},
		{"types", rule(`x == "a"`), "two sides"},
		{"no condition", rule("x + 1"), "want a condition"},
		{"call", rule("f(x) > 1"), "use names"},
		{"operator", rule("x % 2 == 0"), "not understood"},
		{"too long", rule("x > " + strings.Repeat("1", 1000)), "at most"},
		{"too deep", rule(strings.Repeat("!", 100) + "on"), "nested deeper"},
		{"infeasible", rule("x > 2"), "none of 10000"},
		{"infeasible default", rule("x > 0.5"), "defaults"},
	} {
		err := tc.space.Check()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func TestNormalizeAcceptsWhatJSONAndYAMLGive(t *testing.T) {
	s := gzipSpace()
	p, err := s.Normalize(Point{"level": 9.0, "window": json.Number("65536"), "dictionary": true, "dictionary_kb": 16,
		"filters": []any{"rle", "delta", "x86"}})
	if err != nil {
		t.Fatal(err)
	}
	if p["level"] != int64(9) || p["window"] != 65536.0 || p["dictionary_kb"] != int64(16) || p["trainer"] != "cover" {
		t.Errorf("got %v", p)
	}
	p, err = s.Normalize(Point{"dictionary": false, "dictionary_kb": 16})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p["dictionary_kb"]; ok {
		t.Error("an inactive parameter was kept")
	}
	for want, bad := range map[string]Point{
		"level: 9.5":         {"level": 9.5},
		"outside 1 to 9":     {"level": 10},
		"want a number":      {"level": "9"},
		"constraint window":  {"level": 9, "window": 2000},
		"constraint dict":    {"dictionary": true, "dictionary_kb": 64, "strategy": "huffman"},
		`"levels"`:           {"levels": 3},
		"want true or false": {"dictionary": 1},
		"each of":            {"filters": []string{"rle", "rle", "x86"}},
		"NaN":                {"skew": math.NaN()},
		"not one of":         {"quality": "best"},
	} {
		if _, err := s.Normalize(bad); !errors.Is(err, ErrBadCandidate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want a bad candidate with %q", bad, err, want)
		}
	}
}

func TestAConstraintSaysNothingAboutWhatIsSwitchedOff(t *testing.T) {
	s := Space{Parameters: []Parameter{
		{Name: "on", Kind: Bool},
		{Name: "n", Kind: Int, Max: 9, When: map[string][]any{"on": {true}}},
		{Name: "deep", Kind: Bool, When: map[string][]any{"on": {true}}},
		{Name: "x", Kind: Float, Max: 1},
	}}
	for _, tc := range []struct {
		expr string
		off  bool // with on=false, x=.25
		on   bool // with on=true, n=3, deep=false, x=.25
	}{
		{"n > 5", true, false},
		{"!(n > 5)", true, true},
		{"n > 5 && x > .5", false, false},
		{"n > 5 || x > .5", true, false},
		{"deep", true, false},
		{"!deep", true, true},
		{"deep && x > .5", false, false},
		{"deep == on", true, false},
		{"on != true", true, false},
		{"n/0 > 1", true, false},
		{"x/0 > 1", false, false},
		{"-n + 2*(n-1) == 1", true, true},
		{"true", true, true},
		{"false", false, false},
	} {
		s.Constraints = []Constraint{{"c", tc.expr}}
		_, err := s.Normalize(Point{"on": false, "x": .25})
		if (err == nil) != tc.off {
			t.Errorf("%s, off: %v", tc.expr, err)
		}
		_, err = s.Normalize(Point{"on": true, "n": 3, "x": .25})
		if (err == nil) != tc.on {
			t.Errorf("%s, on: %v", tc.expr, err)
		}
	}
}

// genSpace draws a space with conditions down a chain.
func genSpace(t *rapid.T) Space {
	kinds := []Kind{Float, Int, Categorical, Ordinal, Bool, Permutation}
	var s Space
	for i := range rapid.IntRange(1, 8).Draw(t, "parameters") {
		p := Parameter{Name: string(rune('a' + i)), Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		switch p.Kind {
		case Float:
			p.Log = rapid.Bool().Draw(t, "log")
			p.Min = rapid.Float64Range(-1e6, 1e6).Draw(t, "min")
			if p.Log {
				p.Min = rapid.Float64Range(1e-6, 1e6).Draw(t, "min")
			}
			p.Max = p.Min + rapid.Float64Range(1e-3, 1e9).Draw(t, "width")
		case Int:
			p.Log = rapid.Bool().Draw(t, "log")
			lo := rapid.Int64Range(-maxWhole, maxWhole-1).Draw(t, "min")
			if p.Log {
				lo = rapid.Int64Range(1, maxWhole-1).Draw(t, "min")
			}
			p.Min = float64(lo)
			p.Max = float64(rapid.Int64Range(lo+1, maxWhole).Draw(t, "max"))
		case Categorical, Ordinal, Permutation:
			p.Choices = []string{"u", "v", "w", "x", "y"}[:rapid.IntRange(2, 5).Draw(t, "choices")]
		case Bool:
		}
		if i > 0 && rapid.Bool().Draw(t, "conditional") {
			q := s.Parameters[rapid.IntRange(0, i-1).Draw(t, "parent")]
			if q.Kind == Bool && len(q.When) == 0 {
				p.When = map[string][]any{q.Name: {rapid.Bool().Draw(t, "value")}}
			}
		}
		s.Parameters = append(s.Parameters, p)
	}
	return s
}

func TestSampledPointsSurviveTheCubeAndJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSpace(t)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		p := s.Sample(seed.Stream(seed.Root(rapid.Uint64().Draw(t, "seed")), "test"))
		n, err := s.Normalize(p)
		if err != nil || !n.Equal(p) {
			t.Fatalf("%v is not normalized: %v, %v", p, n, err)
		}
		fromJSON, err := DecodePoint(s, p.Canonical())
		if err != nil || !fromJSON.Equal(p) || fromJSON.Digest() != p.Digest() {
			t.Fatalf("JSON: %v came back as %v, %v", p, fromJSON, err)
		}
		u := s.Encode(p)
		if len(u) != s.Dim() {
			t.Fatalf("%d coordinates, want %d", len(u), s.Dim())
		}
		back, err := s.Decode(u)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range s.Parameters {
			a, on := p[q.Name]
			b, onToo := back[q.Name]
			if on != onToo {
				t.Fatalf("%s: active %v came back %v", q.Name, on, onToo)
			}
			if !on {
				continue
			}
			if q.Kind == Float {
				// Relative to where the values are, and to the width.
				tol := 1e-9 * max(math.Abs(a.(float64)), (q.Max-q.Min)*1e-3)
				if math.Abs(a.(float64)-b.(float64)) > tol {
					t.Fatalf("%s: %v came back as %v", q.Name, a, b)
				}
			} else if !sameValue(a, b) {
				t.Fatalf("%s: %v came back as %v", q.Name, a, b)
			}
		}
	})
}

func TestTheCubeReachesEveryCornerAndClips(t *testing.T) {
	s := gzipSpace()
	s.Constraints = nil
	for u, want := range map[float64]Point{
		0: {"level": int64(1), "window": 1024.0, "block": int64(1), "skew": -1.0, "strategy": "default", "quality": "low", "dictionary": false},
		1: {"level": int64(9), "window": float64(1 << 20), "block": int64(4096), "skew": 1.0, "strategy": "huffman", "quality": "high", "dictionary": true},
	} {
		for _, v := range []float64{u, 3*u - 1} {
			x := slices.Repeat([]float64{v}, s.Dim())
			p, err := s.Decode(x)
			if err != nil {
				t.Fatal(err)
			}
			for name, w := range want {
				if p[name] != w {
					t.Errorf("at %v: %s is %v, want %v", v, name, p[name], w)
				}
			}
		}
	}
	if _, err := s.Decode(make([]float64, 3)); err == nil {
		t.Error("three coordinates were accepted")
	}
	if _, err := s.Decode(slices.Repeat([]float64{math.NaN()}, s.Dim())); err == nil {
		t.Error("NaN was accepted")
	}
}

func TestSamplesRespectConstraintsAndScale(t *testing.T) {
	s := gzipSpace()
	r := seed.Stream(7, "test")
	below := 0
	for range 2000 {
		p := s.Sample(r)
		if _, err := s.Normalize(p); err != nil {
			t.Fatal(err)
		}
		if p["block"].(int64) < 64 {
			below++
		}
	}
	// Half of a log scale from ½ to 4096½ lies below 45; 64 is at 54 %.
	if below < 900 || below > 1260 {
		t.Errorf("%d of 2000 blocks are below 64, want about 1070", below)
	}
}

func TestDecodePointIsStrict(t *testing.T) {
	s := gzipSpace()
	for _, bad := range []string{
		``, `[]`, `null`, `{"level":3`, `{"level":3} {}`, `{"level":3}x`, `{"level":3,"level":4}`,
		`{"level":3,}`, `{"level":1e999}`, `{"level":null}`, `{"nobody":1}`, `{"level":{"a":1}}`,
	} {
		if p, err := DecodePoint(s, []byte(bad)); !errors.Is(err, ErrBadCandidate) {
			t.Errorf("%s: got %v, %v", bad, p, err)
		}
	}
	if (Point{"x": math.NaN()}).Digest() != "" {
		t.Error("NaN has a digest")
	}
	if a, b := (Point{"x": math.Copysign(0, -1)}), (Point{"x": 0.0}); a.Digest() != b.Digest() {
		t.Error("zero has two digests")
	}
}

func FuzzDecodePoint(f *testing.F) {
	for _, s := range []string{`{}`, `{"level":9,"window":1e5}`, `{"dictionary":true,"dictionary_kb":16,"trainer":"prefix"}`,
		`{"filters":["rle","x86","delta"]}`, `{"level":3,"level":3}`, `{"skew":-0.0}`, "{\"strategy\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	s := gzipSpace()
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePoint(s, b)
		if err != nil {
			return
		}
		again, err := DecodePoint(s, p.Canonical())
		if err != nil || !again.Equal(p) {
			t.Fatalf("%q: %v, then %v, %v", b, p, again, err)
		}
	})
}

func FuzzConstraint(f *testing.F) {
	for _, s := range []string{"level > 3", `strategy == "huffman" && !(dictionary_kb*2 < -level/0)`, "((true))", "level[0]", "func(){}", "`", "0x1p-2 < window"} {
		f.Add(s)
	}
	s := gzipSpace()
	f.Fuzz(func(t *testing.T, expr string) {
		s.Constraints = []Constraint{{"c", expr}}
		rules, err := s.compile()
		if err != nil {
			return
		}
		first := rules.violated(s.Default())
		if again := rules.violated(s.Default()); (first == nil) != (again == nil) {
			t.Fatalf("%q: %v, then %v", expr, first, again)
		}
	})
}

func BenchmarkSpace(b *testing.B) {
	s := gzipSpace()
	p := s.Default()
	u := s.Encode(p)
	r := seed.Stream(1, "bench")
	b.Run("Normalize", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Normalize(p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Decode(u); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Sample", func(b *testing.B) {
		for b.Loop() {
			s.Sample(r)
		}
	})
}
