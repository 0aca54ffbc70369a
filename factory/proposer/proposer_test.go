package proposer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// The test binary is the program, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "program" {
		program(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// program proposes the levels 1, 2, 3, … and misbehaves as its mode says.
func program(mode string) {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 2<<20)
	level, heard := 0, 0
	for in.Scan() {
		var q struct {
			ID      uint64            `json:"id"`
			Op      string            `json:"op"`
			N       int               `json:"n"`
			Trials  []json.RawMessage `json:"trials"`
			Refused []json.RawMessage `json:"refused"`
		}
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		say := func(format string, args ...any) {
			fmt.Printf(`{"id":%d,"ok":true`+format+"}\n", append([]any{q.ID}, args...)...)
		}
		switch q.Op {
		case "bye":
			return
		case "hello":
			say(`,"name":"levels","version":"1"`)
			continue
		case "tell":
			heard += len(q.Trials)
			if level -= len(q.Refused); level < 0 {
				level = 0
			}
			say("")
			continue
		}
		switch mode {
		case "dies":
			fmt.Fprintln(os.Stderr, "out of ideas")
			os.Exit(3)
		case "silent":
			time.Sleep(time.Hour)
		case "junk":
			fmt.Println("let me think…")
			continue
		case "half":
			fmt.Printf(`{"id":%d,"ok":`, q.ID)
			os.Exit(0)
		case "flood":
			fmt.Print(strings.Repeat("x", 4<<20))
			continue
		case "another":
			fmt.Printf("{\"id\":%d,\"ok\":true,\"points\":[]}\n", q.ID+1)
			continue
		case "refuses":
			fmt.Printf("{\"id\":%d,\"ok\":false,\"error\":{\"message\":\"quota\"}}\n", q.ID)
			continue
		case "nothing":
			say(`,"points":[]`)
			continue
		case "done":
			say(`,"points":[],"done":true`)
			continue
		case "liar":
			say(`,"points":[{"point":{"level":9999}},{"point":{"lebel":1}},{"point":[1]},{"point":{"level":2.5}},{"point":null},{"origin":"none"},{"point":{"level":5},"origin":%q},{"point":{"level":5}}]`, strings.Repeat("why ", 100))
			continue
		case "later":
			if _, err := os.Stat("was-here"); err != nil {
				if err := os.WriteFile("was-here", nil, 0o644); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
				os.Exit(3)
			}
		}
		points := []string{}
		for range q.N + 3 { // more than it was asked for
			level++
			points = append(points, fmt.Sprintf(`{"point":{"level":%d},"origin":"heard %d"}`, level, heard))
		}
		say(`,"points":[%s]`, strings.Join(points, ","))
	}
}

var space = benchmarks.Space{Parameters: []benchmarks.Parameter{
	{Name: "level", Kind: benchmarks.Int, Min: 1, Max: 1000, Default: int64(1)},
	{Name: "mode", Kind: benchmarks.Categorical, Choices: []string{"a", "b"}},
}}

func start(t *testing.T, mode string, o Options) *Proposer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Command = []string{self, "program", mode}
	p, err := New(o, Task{Domain: "test", Context: "c", Metric: benchmarks.Metric{Name: "cost"}, Baseline: space.Default()}, engine.Config{Space: space, Budget: 20}, nil)
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

func ask(t *testing.T, p *Proposer, n int) Answer {
	t.Helper()
	a, err := p.Ask(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAConversation(t *testing.T) {
	p := start(t, "good", Options{})
	a := ask(t, p, 4)
	if len(a.Proposals) != 4 || a.Ended != "" || a.Proposals[3].Point["level"] != int64(4) || a.Proposals[0].Point["mode"] != "a" || a.Proposals[0].Origin != "proposed heard 0" {
		t.Fatalf("%+v", a)
	}
	var trials []engine.Trial
	for _, x := range a.Proposals {
		trials = append(trials, engine.Trial{Point: x.Point, Loss: 1})
	}
	p.Tell(trials)
	p.Hear([]engine.Trial{{Point: benchmarks.Point{"level": int64(9), "mode": "a"}, Loss: -1}})
	a = ask(t, p, 4) // it goes on at 8 and says 9 again
	if len(a.Proposals) != 4 || a.Proposals[0].Origin != "proposed heard 5" || a.Proposals[1].Point["level"] != int64(10) || len(a.Refused) != 1 || !strings.Contains(a.Refused[0].Reason, "known") {
		t.Fatalf("%+v", a)
	}
}

// Whatever a program does, it is over soon and says why.
func TestTroubleEnds(t *testing.T) {
	for mode, want := range map[string]string{
		"dies": "out of ideas", "silent": "no answer within", "junk": "let me think", "half": "the program ended", "flood": "bytes without a newline",
		"another": "want the id", "refuses": "quota", "nothing": "no usable point", "done": "nothing more to propose",
	} {
		t.Run(mode, func(t *testing.T) {
			p := start(t, mode, Options{Timeout: 300 * time.Millisecond})
			a := ask(t, p, 3)
			if mode == "silent" { // a first start may be slow on a busy machine, never the refusal
				want = "attempts in a row"
			}
			if len(a.Proposals) != 0 || !strings.Contains(a.Ended, want) || p.Ended() != a.Ended {
				t.Errorf("%+v, want %q", a, want)
			}
			if again := ask(t, p, 3); again.Ended != a.Ended || len(again.Trouble) != 0 {
				t.Errorf("it is asked again: %+v", again)
			}
		})
	}
}

func TestALiarIsHeldToTheSpace(t *testing.T) {
	p := start(t, "liar", Options{})
	a := ask(t, p, 8)
	if len(a.Proposals) != 1 || a.Proposals[0].Point["level"] != int64(5) || len(a.Proposals[0].Origin) > originBytesMax+20 || len(a.Refused) != 7 {
		t.Fatalf("%+v", a)
	}
	for i, want := range []string{"outside", "lebel", "JSON object", "whole number", "JSON object", "EOF", "known"} {
		if !strings.Contains(a.Refused[i].Reason, want) {
			t.Errorf("refusal %d: %s, want %q", i, a.Refused[i].Reason, want)
		}
	}
	if b, err := json.Marshal(a.Refused); err != nil || len(b) > 4000 {
		t.Error(len(b), err)
	}
}

func TestAProgramThatDiesOnceIsStartedAgain(t *testing.T) {
	t.Chdir(t.TempDir())
	p := start(t, "later", Options{})
	p.Tell([]engine.Trial{{Point: space.Default(), Loss: 0}})
	a := ask(t, p, 2)
	if len(a.Proposals) != 2 || len(a.Trouble) != 1 || a.Ended != "" || a.Proposals[0].Origin != "proposed heard 1" {
		t.Fatalf("%+v", a)
	}
}

func TestTimeRunsOut(t *testing.T) {
	p := start(t, "good", Options{Time: time.Second})
	now := time.Duration(0)
	p.elapsed = func() time.Duration { now += 600 * time.Millisecond; return now }
	for range 2 {
		if a := ask(t, p, 1); len(a.Proposals) != 1 {
			t.Fatalf("%+v", a)
		}
	}
	if a := ask(t, p, 1); !strings.Contains(a.Ended, "used up") {
		t.Errorf("%+v", a)
	}
}

func TestAnInterruptionIsAnError(t *testing.T) {
	p := start(t, "silent", Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Ask(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if p.Ended() != "" {
		t.Errorf("the interruption counts against the program: %s", p.Ended())
	}
}

// A program that starts late hears the best and the latest of a long history.
func TestDigest(t *testing.T) {
	var list []told
	for i := range 5000 {
		loss := float64((i*7919)%5000) - 2500
		x := told{Point: fmt.Appendf(nil, "%d", i), Loss: &loss}
		if i%10 == 0 {
			x.Loss = nil
		}
		list = append(list, x)
	}
	got := digest(list)
	if len(got) != tellMax || string(got[tellMax-1].Point) != "4999" {
		t.Fatalf("%d", len(got))
	}
	worst := 0.0
	for _, x := range got[:tellMax/2] {
		worst = max(worst, *x.Loss+2500)
	}
	if worst > 5000*float64(tellMax/2)/4744/.9*1.2 {
		t.Errorf("the worst of the best has rank %v", worst)
	}
}
