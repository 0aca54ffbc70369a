package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/prometheus"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// cmdSetFile sets a variable to what a file holds.
func cmdSetFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setfile VARIABLE FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// cmdAsk gets an address over and over until status and body are as wanted.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ask URL STATUS REGEXP")
	}
	want, err := regexp.Compile(args[2])
	ts.Check(err)
	last := ""
	for range 2400 {
		resp, err := http.Get(args[0])
		if err == nil {
			b, readErr := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			ts.Check(readErr)
			ts.Check(resp.Body.Close())
			if last = fmt.Sprintf("%d %s", resp.StatusCode, b); fmt.Sprint(resp.StatusCode) == args[1] && want.Match(b) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s: no %s %s in 2 min; last: %.2000s", args[0], args[1], args[2], last)
}

// cmdModels publishes a release of the built-in model under n names to a
// repository that init founded: 1 is the baseline, 2 is proved better on
// shifted inputs, 3 under low load. It takes a second where a night takes
// minutes; what is in the release does not matter to who serves it. The last
// of a broken release was written wrongly after it had answered; a silent
// release is of before there were golden answers.
func cmdModels(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 || (len(args) == 3 && args[2] != "broken" && args[2] != "silent") {
		ts.Fatalf("usage: models REPOSITORY N [broken|silent]")
	}
	how := strings.Join(args[2:], "")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	model, err := os.ReadFile(builtInModel)
	ts.Check(err)
	ctx := context.Background()
	blobs := artifacts.NewMem()
	_, err = blobs.Put(ctx, model)
	ts.Check(err)
	other := otherModel(model)
	_, err = blobs.Put(ctx, other)
	ts.Check(err)
	domain, err := infer.New(infer.Options{})
	ts.Check(err)
	golden, err := goldenAnswers(ctx, domain, benchmarks.Bundle{Files: []benchmarks.File{{Name: "model.arqm", Bytes: model}}})
	ts.Check(err)
	at, err := newPlace(ts.MkAbs(args[0]), "")
	ts.Check(err)
	store, err := at.open()
	ts.Check(err)
	ring, err := at.ring(func() ([]byte, error) { return nil, nil })
	ts.Check(err)
	p := publish.Proposal{
		Channel: "staging", Domain: infer.Name, Contexts: []string{infer.LowLoad, infer.Shifted}, Blobs: blobs,
		Policy: catalog.Policy{MaxExperiments: 1, CoolDownTicks: 2, WindowRequests: 100, Guardrails: []catalog.Guardrail{}},
	}
	for i := range n {
		v := catalog.Variant{
			Name: fmt.Sprint("model-", i+1), Domain: infer.Name, Type: "early-exit", Point: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i+1)),
			Artifacts: []artifacts.Ref{artifacts.RefOf("model.arqm", "application/octet-stream", model)},
		}
		if how == "broken" && i == n-1 {
			v.Artifacts[0] = artifacts.RefOf("model.arqm", "application/octet-stream", other)
		}
		v.Identity = catalog.IdentityOf(v)
		e := catalog.Entry{Variant: v, Scope: catalog.ScopeStaging, Envelope: catalog.Envelope{Contexts: p.Contexts}, Golden: golden}
		if how == "silent" {
			e.Golden = nil
		}
		switch i {
		case 1:
			e.Expectations = []catalog.Expectation{{
				Metric: infer.MetricAccuracy, Context: infer.Shifted, Unit: "1", Direction: "higher", Scale: "difference",
				Baseline: .4, Value: .7, Change: .3, Lower: .3, Upper: .3,
			}}
		case 2:
			e.Expectations = []catalog.Expectation{{
				Metric: infer.MetricMACs, Context: infer.LowLoad, Unit: "MAC", Direction: "lower", Scale: "ratio",
				Baseline: 2, Value: 1, Change: -.5, Lower: -.5, Upper: -.5,
			}}
		}
		p.Entries = append(p.Entries, e)
		p.Evidence = append(p.Evidence, publish.Evidence{Identity: v.Identity, Gate: "report", Predicate: json.RawMessage(`{"outcome":"PASS"}`)})
	}
	p.Baseline = p.Entries[0].Variant.Identity
	repo := publish.Repository{Store: store, Keys: ring, Now: now()}
	_, err = repo.Release(ctx, p)
	ts.Check(errors.Join(err, store.Close()))
}

// otherModel is a sound model file that answers with the last class always.
func otherModel(model []byte) []byte {
	b := bytes.Clone(model)
	binary.LittleEndian.PutUint32(b[len(b)-4:], math.Float32bits(50)) // the last exit's bias of the last class
	binary.LittleEndian.PutUint32(b[10:], crc32.Checksum(b[14:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

const builtInModel = "../../benchmarks/infer/builtin.arqm"

// testServer answers with the built-in model under every name
// but "broken", which is no model at all.
func testServer(t *testing.T, workers int, more ...string) (*server, *httptest.Server) {
	t.Helper()
	metrics := []runtime.Metric{
		accuracyID: {Name: infer.MetricAccuracy}, macsID: {Name: infer.MetricMACs}, cpuID: {Name: infer.MetricCPU},
		p99ID: {Name: infer.MetricP99, Stat: runtime.P99}, bytesID: {Name: infer.MetricBytes},
	}
	s := &server{
		flags: serveFlags{workers: workers, shadow: shadowFlags{1, 1}}, log: slog.New(slog.DiscardHandler), workers: make(chan *worker, workers), declared: infer.LowLoad,
	}
	var err error
	if s.metrics, err = prometheus.New(metrics, prometheus.Options{}); err != nil {
		t.Fatal(err)
	}
	least := .5
	contexts := []string{infer.LowLoad}
	var variants []runtimetest.Variant
	for _, name := range append([]string{"base"}, more...) {
		variants = append(variants, runtimetest.Variant{Name: name, Data: []byte(name), Contexts: contexts})
	}
	rel := runtimetest.New(t, catalog.Policy{
		WindowRequests: 5, MaxExperiments: 1, CoolDownTicks: 5, Guardrails: []catalog.Guardrail{{Metric: infer.MetricAccuracy, Min: &least}},
	}).Release(contexts, variants...)
	cfg := runtime.Config{
		Stage: func(_ context.Context, e catalog.Entry, _ artifacts.Getter) (any, error) {
			if e.Variant.Name == "broken" {
				return (*infer.Model)(nil), nil
			}
			return infer.BuiltIn(), nil
		},
		Shards: workers + 1, Metrics: metrics, Tap: s.metrics.Tap, Success: map[string]string{infer.LowLoad: infer.MetricAccuracy},
	}
	cfg.Limits.ShadowWindows = 1
	if err := s.open(t.Context(), cfg, rel); err != nil {
		t.Fatal(err)
	}
	routes, err := s.routes()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(routes)
	t.Cleanup(web.Close)
	return s, web
}

func TestServeSaysWhatIsWrong(t *testing.T) {
	_, web := testServer(t, 1)
	numbers := strings.Repeat("0,", pixels-1)
	for _, c := range []struct {
		path, media, body string
		want              int
		says              string
	}{
		{"predict", "", strings.Repeat("x", pixels), 200, `"variant_id":1`},
		{"predict", "application/json; charset=utf-8", `{"pixels":[` + numbers + `255]}`, 200, `"context":"low-load"`},
		{"predict", "", strings.Repeat("x", pixels-1), 400, "783 bytes, want 784"},
		{"predict", "", strings.Repeat("x", bodyBytesMax+1), 413, "at most 16384 bytes"},
		{"predict", "application/json", `{"pixels":[` + numbers + `256]}`, 400, "pixel 783 is 256: want 0 to 255"},
		{"predict", "application/json", `{"pixels":[` + numbers + `0,0]}`, 400, "785 pixels, want 784"},
		{"predict", "application/json", `{"pixels":[0.5]}`, 400, `"pixels" holds number 0.5: want whole numbers`},
		{"predict", "application/json", `[1]`, 400, "the body holds array"},
		{"predict", "application/json", `{"picture":[]}`, 400, "unknown field"},
		{"predict", "application/json", `{"pixels":[` + strings.Repeat("0,", bodyBytesMax) + `0]}`, 413, "too large"},
		{"feedback", "", `{"id":1,"label":3}`, 204, ""},
		{"feedback", "", `{"id":1,"label":3}`, 404, "has had its feedback"},
		{"feedback", "", `{"id":99,"label":3}`, 404, "answer 99 is unknown"},
		{"feedback", "", `{"id":2,"label":10}`, 400, "label from 0 to 9"},
		{"feedback", "", `{"label":1}`, 400, "want id"},
		{"feedback", "", `{`, 400, "bad request"},
		{"feedback", "", `{"id":2,"label":1} and more`, 400, "something follows"},
		{"predict", "application/json", `{"pixels":[` + numbers + `255]}{}`, 400, "something follows"},
		{"nothing", "", "", 404, "not found"},
	} {
		resp, err := http.Post(web.URL+"/v1/"+c.path, c.media, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.want || !bytes.Contains(b, []byte(c.says)) {
			t.Errorf("%s %.40q: %d %.200s, want %d %s", c.path, c.body, resp.StatusCode, b, c.want, c.says)
		}
	}
}

// When every worker is busy a request waits a little and is then turned away,
// and one whose turn comes is answered.
func TestServeTurnsAwayWhatItCannotHold(t *testing.T) {
	s, web := testServer(t, 1)
	w := <-s.workers
	ask := func() int {
		resp, err := http.Post(web.URL+"/v1/predict", "", strings.NewReader(strings.Repeat("x", pixels)))
		if err != nil {
			t.Error(err)
			return 0
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusServiceUnavailable || s.turnedAway.Load() != 1 {
		t.Errorf("%d, %d turned away", got, s.turnedAway.Load())
	}
	s.workers <- w
	if got := ask(); got != http.StatusOK {
		t.Error(got)
	}
	s.ready.Store(false)
	resp, err := http.Get(web.URL + "/readyz")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Body.Close() != nil {
		t.Errorf("draining: %v %v", resp, err)
	}
}

// Labels are counted for the variant that answered, once each, whatever the
// order and however many clients.
func TestFeedbackReachesTheWindow(t *testing.T) {
	s, web := testServer(t, 4)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 25 {
				resp, err := http.Post(web.URL+"/v1/predict", "", strings.NewReader(strings.Repeat("\x00", pixels)))
				if err != nil {
					t.Error(err)
					return
				}
				var p prediction
				if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.Body.Close() != nil {
					t.Error(err)
				}
				if err := giveFeedback(t.Context(), http.DefaultClient, web.URL, p.ID, p.Class); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	s.flush()
	w := s.rt.Collect(1)
	cell, ok := w.Cell(0, 1, accuracyID)
	if !ok || cell.Count != 100 || cell.Mean != 1 {
		t.Errorf("%+v", w.Cells)
	}
}

// ask sends black images and the label that the base gives them, and returns
// how many were answered, and by which variants.
func askWithLabels(t *testing.T, web *httptest.Server, n int) (answered int, by map[catalog.VariantID]int) {
	t.Helper()
	by = map[catalog.VariantID]int{}
	for range n {
		resp, err := http.Post(web.URL+"/v1/predict", "", strings.NewReader(strings.Repeat("\x00", pixels)))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK {
			var p prediction
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			answered++
			by[p.VariantID]++
			if err := giveFeedback(t.Context(), http.DefaultClient, web.URL, p.ID, p.Class); err != nil {
				t.Error(err)
			}
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	return answered, by
}

// cycleOf is one decision cycle after everything was recorded.
func cycleOf(s *server, tick runtime.Tick) []runtime.Transition {
	s.flush()
	return s.rt.Executor().Observe(s.rt.Collect(tick))
}

// A model that panics on every image answers none of them from shadow, and the
// requests beside it never hear of it.
func TestServeTriesABrokenModelOnCopiesOnly(t *testing.T) {
	s, web := testServer(t, 2, "broken")
	go s.shadow.run(t.Context())
	d := s.rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: s.rt.Load().Generation(), Class: 0, Variant: 2})
	if d.Outcome != runtime.Staged {
		t.Fatalf("%+v", d)
	}
	answered, by := askWithLabels(t, web, 20)
	s.shadow.settle(time.Minute)
	ts := cycleOf(s, 2)
	if answered != 20 || by[1] != 20 {
		t.Errorf("%d of 20 answered, by %v", answered, by)
	}
	if len(ts) != 1 || !stoppedInShadow(ts[0]) || ts[0].Reason != runtime.ReasonInvalidMetric {
		t.Errorf("%+v", ts)
	}
	if n := s.shadow.take(); n.Failed != 20 || !strings.Contains(n.Why, "variant 2 panicked") {
		t.Errorf("%+v", n)
	}
}

// Labels count for what the shadow made of the same image too: without them it
// could not be judged.
func TestServeGivesTheShadowItsLabels(t *testing.T) {
	s, web := testServer(t, 2, "other")
	go s.shadow.run(t.Context())
	s.rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: s.rt.Load().Generation(), Class: 0, Variant: 2})
	var p prediction
	for range 20 {
		resp, err := http.Post(web.URL+"/v1/predict", "", strings.NewReader(strings.Repeat("\x00", pixels)))
		if err != nil || json.NewDecoder(resp.Body).Decode(&p) != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		s.shadow.settle(time.Minute)
		if err := giveFeedback(t.Context(), http.DefaultClient, web.URL, p.ID, p.Class); err != nil {
			t.Fatal(err)
		}
	}
	ts := cycleOf(s, 2)
	if len(ts) != 1 || ts[0].From != runtime.StagedState || ts[0].To != runtime.Canary {
		t.Errorf("%+v", ts)
	}
}

// A model that comes into force and panics costs its requests an error each,
// no worker, and then its place.
func TestServeSurvivesAModelThatPanics(t *testing.T) {
	s, web := testServer(t, 1, "broken")
	x := s.rt.Executor()
	x.Propose(runtime.Proposal{Tick: 1, Base: s.rt.Load().Generation(), Class: 0, Variant: 2, Ramp: runtime.RampManual})
	if d := x.Widen(0, 1, 1); d.Outcome != runtime.InCanary {
		t.Fatalf("%+v", d)
	}
	if answered, _ := askWithLabels(t, web, 10); answered != 0 || s.failed.Load() != 10 {
		t.Errorf("%d answered, %d failed", answered, s.failed.Load())
	}
	if ts := cycleOf(s, 2); len(ts) != 1 || ts[0].Reason != runtime.ReasonInvalidMetric || ts[0].Serves != 1 {
		t.Errorf("%+v", ts)
	}
	if answered, by := askWithLabels(t, web, 10); answered != 10 || by[1] != 10 {
		t.Errorf("%d answered, by %v", answered, by)
	}
}
