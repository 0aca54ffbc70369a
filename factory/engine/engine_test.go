package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"pgregory.net/rapid"
)

type toy struct {
	N int    `json:"n"`
	L []Loss `json:"l"`
}

func TestSealAndUnseal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := toy{N: rapid.Int().Draw(t, "n")}
		for _, f := range rapid.SliceOf(rapid.Float64()).Draw(t, "losses") {
			in.L = append(in.L, Loss(f))
		}
		in.L = append(in.L, Loss(math.Inf(1)), Loss(math.Inf(-1)), Loss(math.NaN()))
		b, err := Seal("toy", 3, "f", in)
		if err != nil {
			t.Fatal(err)
		}
		var out toy
		if err := Unseal("toy", 3, "f", b, &out); err != nil {
			t.Fatal(err)
		}
		for i, l := range in.L {
			a, b := float64(l), float64(out.L[i])
			if math.Float64bits(a) != math.Float64bits(b) && (a == a || b == b) {
				t.Fatalf("loss %d: %v became %v", i, a, b)
			}
		}
	})
}

func TestUnsealNamesTheField(t *testing.T) {
	b, err := Seal("toy", 3, "f", toy{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(from, to string) []byte { return []byte(strings.Replace(string(b), from, to, 1)) }
	for _, c := range []struct {
		name, want string
		b          []byte
		engine     string
		version    int
		config     string
	}{
		{"another engine", "engine is", b, "cma", 3, "f"},
		{"another version", "version is 3, this program reads 4", b, "toy", 4, "f"},
		{"another config", "config", b, "toy", 3, "g"},
		{"changed state", "sha256", edit(`"n":1`, `"n":2`), "toy", 3, "f"},
		{"changed version", "version", edit(`"version":3`, `"version":2`), "toy", 3, "f"},
		{"key in another case", "canonical", edit(`"state"`, `"State"`), "toy", 3, "f"},
		{"a space", "canonical", append(bytes.Clone(b), ' '), "toy", 3, "f"},
		{"half", "envelope", b[:len(b)/2], "toy", 3, "f"},
		{"twice", "bytes after the end", append(bytes.Clone(b), b...), "toy", 3, "f"},
	} {
		err := Unseal(c.engine, c.version, c.config, c.b, &toy{})
		if !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	other, err := Seal("toy", 3, "f", map[string]int{"m": 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := Unseal("toy", 3, "f", other, &toy{}); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), `"m"`) {
		t.Errorf("unknown key: %v", err)
	}
}

func FuzzUnseal(f *testing.F) {
	b, err := Seal("toy", 1, "", toy{N: 7, L: []Loss{1, Loss(math.Inf(1))}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"engine":"toy","version":1,"config":"","sha256":"","state":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out toy
		if err := Unseal("toy", 1, "", b, &out); err != nil && !errors.Is(err, ErrSnapshot) {
			t.Fatal(err)
		}
	})
}

func TestMemory(t *testing.T) {
	var m Memory
	if _, known := m.Loss("a"); known {
		t.Error("the zero memory knows something")
	}
	m.Add("b", math.NaN())
	m.Add("a", 2)
	m.Add("a", 1)
	b, err := json.Marshal(&m)
	if err != nil || string(b) != `{"keys":["a","b"],"loss":[1,"inf"]}` {
		t.Fatalf("%s %v", b, err)
	}
	var back Memory
	if err := json.Unmarshal(b, &back); err != nil || back.Len() != 2 {
		t.Fatal(err)
	}
	if l, known := back.Loss("b"); !known || !math.IsInf(l, 1) {
		t.Errorf("b is %v", l)
	}
	for _, bad := range []string{`{"keys":["a"],"loss":[]}`, `{"keys":["a","a"],"loss":[1,1]}`, `{"keys":[],"loss":[],"x":1}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestOpening(t *testing.T) {
	c := Config{
		Space: benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "a", Kind: benchmarks.Int, Min: 1, Max: 3, Default: int64(2)}}},
		Start: []benchmarks.Point{{"a": int64(3)}, {}, {"a": 3.}, {"a": int64(2)}},
	}
	got, err := c.Opening()
	if err != nil || len(got) != 2 || got[0]["a"] != int64(3) || got[1]["a"] != int64(2) {
		t.Errorf("%v %v", got, err)
	}
	c.Start = append(c.Start, benchmarks.Point{"a": int64(4)})
	if _, err := c.Opening(); !errors.Is(err, benchmarks.ErrBadCandidate) || !strings.Contains(err.Error(), "start point 4") {
		t.Errorf("%v", err)
	}
}
