package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime/telemetry"
)

type loadFlags struct {
	url, context, out   string
	requests, clients   int
	feedback, untilStop bool
	seed                uint64
	json                bool
}

func newLoad() *cobra.Command {
	var f loadFlags
	c := &cobra.Command{
		Use:   "load --url URL",
		Short: "Send test images to a running arqon serve and say what came back",
		Long: `Load sends images of one context to arqon serve, each client one after the
other, and tells the server the true class of each answer. It prints what each
variant answered, how often it was right, and how long that took; 1 is returned
if any request failed.`,
		Example: `  arqon load --url http://127.0.0.1:8080
  arqon load --url http://127.0.0.1:8080 --context inverted --requests 5000 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return load(c.Context(), f, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.url, "url", "", "the `URL` that arqon serve prints")
	c.Flags().StringVar(&f.context, "context", infer.LowLoad, "the context whose traffic is sent")
	c.Flags().StringVar(&f.out, "out", "out", "where caches are kept")
	c.Flags().IntVar(&f.requests, "requests", 2000, "requests, all clients together")
	c.Flags().BoolVar(&f.untilStop, "until-stop", false, "go on after --requests until the server drains; being turned away then is no failure")
	c.Flags().IntVar(&f.clients, "clients", 2, "clients that send at the same time")
	c.Flags().BoolVar(&f.feedback, "feedback", true, "tell the server the true classes")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the traffic")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

const (
	loadClientsMax  = 256
	loadRequestsMax = 10_000_000
	loadTimeout     = 15 * time.Second
	answerBytesMax  = 64 << 10
)

// loadResult is what came back.
type loadResult struct {
	Context  string       `json:"context"`
	Requests int          `json:"requests"`
	Failed   int          `json:"failed"`
	Releases []uint64     `json:"releases"` // that answered
	Variants []loadedWith `json:"variants"`
	Failures []string     `json:"failures"` // the first few
}

type loadedWith struct {
	Variant  catalog.VariantID `json:"variant_id"`
	Requests int               `json:"requests"`
	Accuracy float64           `json:"accuracy"`
	P50NS    float64           `json:"p50_ns"`
	P99NS    float64           `json:"p99_ns"`

	latency telemetry.Sketch
	right   int
}

func load(ctx context.Context, f loadFlags, stdout io.Writer) error {
	switch {
	case f.clients < 1 || f.clients > loadClientsMax:
		return fmt.Errorf("--clients is %d: want 1 to %d", f.clients, loadClientsMax)
	case f.requests < 1 || f.requests > loadRequestsMax:
		return fmt.Errorf("--requests is %d: want 1 to %d", f.requests, loadRequestsMax)
	}
	if u, err := url.Parse(f.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return hinted{fmt.Errorf("--url is %q: want http://HOST:PORT", f.url), "arqon serve prints its address"}
	}
	domain, err := inferDomain(f.out, f.seed, func(string) {})
	if err != nil {
		return err
	}
	data, err := domain.Data()
	if err != nil {
		return err
	}
	tallies := make([]*loadTally, f.clients)
	var group sync.WaitGroup
	for i := range tallies {
		stream, err := infer.NewStream(data, f.context, seed.Derive(seed.Root(f.seed), "load", uint64(i)))
		if err != nil {
			return err
		}
		share := f.requests / f.clients
		if i < f.requests%f.clients {
			share++
		}
		tallies[i] = &loadTally{by: map[catalog.VariantID]*loadedWith{}, releases: map[uint64]bool{}}
		group.Go(func() { tallies[i].send(ctx, f, stream, share) })
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := loadedOf(f.context, tallies)
	if f.json {
		err = printJSON(stdout, r)
	} else {
		err = r.print(stdout)
	}
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%s of %s failed: %s", grouped(r.Failed), count(r.Requests, "request", "requests"), r.Failures[0])
		if r.Failed == r.Requests {
			err = hinted{err, "is arqon serve running there? " + f.url + "/readyz says so; it prints its address when it starts"}
		}
		return no{err}
	}
	return err
}

// loadTally is what one client saw.
type loadTally struct {
	requests, failed int
	failures         []string
	by               map[catalog.VariantID]*loadedWith
	releases         map[uint64]bool
}

func (t *loadTally) send(ctx context.Context, f loadFlags, stream *infer.Stream, n int) {
	client := &http.Client{Timeout: loadTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for i := 0; (i < n || f.untilStop) && ctx.Err() == nil; i++ {
		image, label := stream.Next()
		start := time.Now()
		p, err := askPrediction(ctx, client, f.url, image[:])
		took := time.Since(start)
		if err == nil && f.feedback {
			err = giveFeedback(ctx, client, f.url, p.ID, label)
		}
		if err != nil && f.untilStop && i >= n {
			return // the server has gone
		}
		t.requests++
		if err != nil {
			t.failed++
			if len(t.failures) < 3 {
				t.failures = append(t.failures, err.Error())
			}
			continue
		}
		v := t.by[p.VariantID]
		if v == nil {
			v = &loadedWith{Variant: p.VariantID}
			t.by[p.VariantID] = v
		}
		t.releases[p.Release] = true
		v.Requests++
		v.latency.Add(float64(took))
		if p.Class == label {
			v.right++
		}
	}
}

func askPrediction(ctx context.Context, c *http.Client, url string, image []byte) (prediction, error) {
	var p prediction
	b, err := post(ctx, c, url+"/v1/predict", "application/octet-stream", image, http.StatusOK)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(b, &p)
}

func giveFeedback(ctx context.Context, c *http.Client, url string, id uint64, label int) error {
	_, err := post(ctx, c, url+"/v1/feedback", "application/json", fmt.Appendf(nil, `{"id":%d,"label":%d}`, id, label), http.StatusNoContent)
	return err
}

func post(ctx context.Context, c *http.Client, url, contentType string, body []byte, want int) (b []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	b, err = io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	return b, err
}

func loadedOf(context string, tallies []*loadTally) loadResult {
	r := loadResult{Context: context, Releases: []uint64{}, Variants: []loadedWith{}, Failures: []string{}}
	all, releases := map[catalog.VariantID]*loadedWith{}, map[uint64]bool{}
	for _, t := range tallies {
		r.Requests += t.requests
		r.Failed += t.failed
		r.Failures = append(r.Failures, t.failures...)
		for id, v := range t.by {
			if all[id] == nil {
				all[id] = &loadedWith{Variant: id}
			}
			all[id].Requests += v.Requests
			all[id].right += v.right
			all[id].latency.Merge(&v.latency)
		}
		for sequence := range t.releases {
			releases[sequence] = true
		}
	}
	for _, v := range all {
		v.Accuracy = float64(v.right) / float64(v.Requests)
		v.P50NS, v.P99NS = v.latency.Quantile(.5), v.latency.Quantile(.99)
		r.Variants = append(r.Variants, *v)
	}
	for sequence := range releases {
		r.Releases = append(r.Releases, sequence)
	}
	sort.Slice(r.Variants, func(i, j int) bool { return r.Variants[i].Variant < r.Variants[j].Variant })
	sort.Slice(r.Releases, func(i, j int) bool { return r.Releases[i] < r.Releases[j] })
	return r
}

func (r loadResult) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "VariantId\trequests\taccuracy\tp50\tp99\t")
	for _, v := range r.Variants {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t\n", v.Variant, grouped(v.Requests), unitShare.text(v.Accuracy), unitNS.text(v.P50NS), unitNS.text(v.P99NS))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s failed, releases %v\n", r.Context, count(r.Requests, "request", "requests"), grouped(r.Failed), r.Releases)
	return err
}
