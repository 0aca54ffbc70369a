package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/proposer"
)

// The test binary is the program, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "program" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
		return
	}
	os.Exit(m.Run())
}

// service speaks the protocol of chat completions: one answer a request, the
// last one for ever.
type service struct {
	*httptest.Server
	asked   atomic.Int64
	prompts chan string
}

func serviceOf(t *testing.T, answers ...http.HandlerFunc) *service {
	t.Helper()
	s := &service{prompts: make(chan string, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q chatRequest
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer secret-key" ||
			json.NewDecoder(r.Body).Decode(&q) != nil || q.Model != "small" || len(q.Messages) != 2 || q.Messages[0].Role != "system" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		s.prompts <- q.Messages[1].Content
		n := int(s.asked.Add(1)) - 1
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(map[string]any{"id": "x", "object": "chat.completion", "choices": []any{
			map[string]any{"index": 0, "message": map[string]string{"role": "assistant", "content": s}, "finish_reason": "stop"},
		}}); err != nil {
			panic(err)
		}
	}
}

func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

var space3 = benchmarks.Space{
	Parameters: []benchmarks.Parameter{
		{Name: "level", Kind: benchmarks.Int, Min: 1, Max: 9, Default: int64(6)},
		{Name: "window", Kind: benchmarks.Int, Min: 1024, Max: 1 << 20, Log: true, Default: int64(32768)},
		{Name: "method", Kind: benchmarks.Categorical, Choices: []string{"fast", "dense"}},
		{Name: "depth", Kind: benchmarks.Float, Min: 0, Max: 1, When: map[string][]any{"method": {"dense"}}},
	},
	Constraints: []benchmarks.Constraint{{Name: "fits", Expr: "level <= 8 || window < 65536"}},
}

// asking is the whole way: the search's client, the program, the service.
func asking(t *testing.T, s *service, timeout string) *proposer.Proposer {
	t.Helper()
	t.Setenv("OPENAI_BASE_URL", s.URL+"/v1/")
	t.Setenv("OPENAI_API_KEY", "secret-key")
	t.Setenv("OPENAI_MODEL", "small")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := proposer.New(proposer.Options{
		Command: []string{self, "program", "-timeout", timeout}, Env: []string{"OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"}, Timeout: 20 * time.Second,
	}, proposer.Task{Domain: "gzip", Context: "small", Metric: benchmarks.Metric{Name: "ns_per_byte", Unit: "ns", Direction: benchmarks.Lower}, Baseline: space3.Default()},
		engine.Config{Space: space3, Budget: 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestAModelProposes(t *testing.T) {
	s := serviceOf(t,
		text("Sure! Here are my ideas:\n```json\n{\"points\":[{\"point\":{\"level\":3},\"why\":\"lower is faster\"},{\"point\":{\"level\":12}}]}\n```\nGood luck!"),
		text(`[{"level":2,"method":"dense","depth":0.5}]`))
	p := asking(t, s, "10s")
	a, err := p.Ask(t.Context(), 2)
	if err != nil || len(a.Proposals) != 1 || a.Proposals[0].Point["level"] != int64(3) || a.Proposals[0].Origin != "proposed lower is faster" || len(a.Refused) != 1 {
		t.Fatalf("%+v %v", a, err)
	}
	first := <-s.prompts
	for _, want := range []string{"gzip", "ns_per_byte lower is better", "level: int from 1 to 9", "window: int from 1024 to 1.048576e+06, think in factors",
		"method: categorical, one of fast, dense", `depth: float from 0 to 1, only when {"method":["dense"]}`, "level <= 8 || window < 65536", "Propose 2 settings", `"level":6`} {
		if !strings.Contains(first, want) {
			t.Errorf("the question lacks %q:\n%s", want, first)
		}
	}
	p.Tell([]engine.Trial{{Point: a.Proposals[0].Point, Loss: -.25, Values: map[string]float64{"ns_per_byte": 3}}})
	p.Hear([]engine.Trial{{Point: benchmarks.Point{"level": int64(9), "window": int64(1024), "method": "fast"}, Loss: 2, Failed: "too slow"}})
	if a, err = p.Ask(t.Context(), 2); err != nil || len(a.Proposals) != 1 || a.Proposals[0].Point["depth"] != .5 {
		t.Fatalf("%+v %v", a, err)
	}
	second := <-s.prompts
	for _, want := range []string{`"level":3`, "loss -0.2500", "failed: too slow", "Not taken from your last answer", "12 is outside"} {
		if !strings.Contains(second, want) {
			t.Errorf("the question lacks %q:\n%s", want, second)
		}
	}
}

func TestABusyServiceIsAskedAgain(t *testing.T) {
	s := serviceOf(t, status(429, `{"error":{"message":"slow down"}}`, "Retry-After", "0.05"), status(503, "", "Retry-After", "0.05"), text(`{"level":4}`))
	a, err := asking(t, s, "10s").Ask(t.Context(), 1)
	if err != nil || len(a.Proposals) != 1 || s.asked.Load() != 3 {
		t.Errorf("%+v %v after %d requests", a, err, s.asked.Load())
	}
}

// A service that is of no use ends the proposer, not the search, and the key
// is in no message.
func TestAServiceWithoutUse(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"wrong key":     {status(401, `{"error":{"message":"invalid key"}}`), "invalid key"},
		"no model":      {status(404, "not here"), "404"},
		"prose":         {text("I would try a lower level."), "no point"},
		"empty":         {text(""), "no point"},
		"no choice":     {status(200, `{"choices":[]}`), "no choice"},
		"no JSON":       {status(200, "<html>"), "no chat completion"},
		"huge":          {text(strings.Repeat("x", maxAnswerBytes)), "more than"},
		"slow":          {slow, "no answer within"},
		"always 429":    {status(429, "", "Retry-After", "3600"), "no time is left"},
		"foreign knobs": {text(`{"points":[{"point":{"speed":1}}]}`), "no usable point"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := asking(t, serviceOf(t, c.answer), "300ms").Ask(t.Context(), 2)
			if err != nil || len(a.Proposals) != 0 || !strings.Contains(a.Ended, c.want) {
				t.Errorf("%+v %v, want %q", a, err, c.want)
			}
			if strings.Contains(fmt.Sprint(a), "secret-key") {
				t.Error("the key is in a message")
			}
		})
	}
}

func TestPointsIn(t *testing.T) {
	for in, want := range map[string]string{
		`{"points":[{"point":{"a":1},"why":"x"},{"a":2}]}`:        `[{"point":{"a":1},"origin":"x"},{"point":{"a":2}}]`,
		"first {\"a\":1} then {\"a\":2}.":                         `[{"point":{"a":1}},{"point":{"a":2}}]`,
		"```json\n[{\"a\":1},\n {\"point\":{\"a\":2}}]\n``` done": `[{"point":{"a":1}},{"point":{"a":2}}]`,
		`{"a": {broken} {"a":3}`:                                  `[{"point":{"a":3}}]`,
		`[[[{"a":1}]]] [1,2] {} "x"`:                              `[{"point":{"a":1}}]`,
		`{"points":7}`:                                            `[{"point":{"points":7}}]`,
		"":                                                        `null`,
	} {
		got, err := json.Marshal(pointsIn(in, 10))
		if err != nil || string(got) != want {
			t.Errorf("%q: %s, want %s (%v)", in, got, want, err)
		}
	}
}

func FuzzPointsIn(f *testing.F) {
	f.Add(`{"points":[{"point":{"a":1},"why":"x"}]}`)
	f.Add("```json\n[[{\"a\":[1,2]}]]\n```")
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range pointsIn(s, 5) {
			if !json.Valid(p.Point) {
				t.Fatalf("%q is no JSON", p.Point)
			}
		}
	})
}
