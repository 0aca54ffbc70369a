package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	goruntime "runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/prometheus"
	arqonslog "github.com/arqon/arqon/runtime/slog"
)

type serveFlags struct {
	repository, keys, channel, root, out, log, context string
	listen, addressFile                                string
	workers                                            int
	shadow                                             shadowFlags
	seed                                               uint64
	refresh, cycle, drain                              time.Duration
	quiet                                              bool
}

func newServe() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve --repository DIR",
		Short: "Answer images over HTTP from a verified release",
		Long: `Serve is an inference server whose variants come from the catalog: it verifies
the channel's release, stages its models, and answers each image with the
variant that is approved for what the traffic looks like. Newer releases are
verified and taken over while requests are in flight; a release that does not
verify is refused and the last good one goes on serving.

  POST /v1/predict    an image of 28 by 28: 784 raw bytes, or JSON
                      {"pixels": [784 numbers]}; answers class and variant_id
  POST /v1/feedback   {"id": N, "label": 0–9}: the true class of an earlier
                      answer; only with labels can accuracy be guarded
  GET  /metrics       for Prometheus
  GET  /healthz       200 while the process lives
  GET  /readyz        200 while it wants traffic

SIGTERM or SIGINT: not ready any more, requests in flight are answered, then it
ends with 0.`,
		Example: `  arqon serve --repository out/catalog --listen 127.0.0.1:8080
  curl --data-binary @image.raw http://127.0.0.1:8080/v1/predict
  arqon load --url http://127.0.0.1:8080 --context shifted`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.channel, "channel", "staging", "the channel to serve")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.out, "out", "out", "where caches are kept")
	c.Flags().StringVar(&f.log, "log", "", "record every proposal, decision and window in this new `FILE`")
	c.Flags().StringVar(&f.context, "context", "", "take all traffic for this context, instead of recognising what images look like")
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "`HOST:PORT` to listen on; port 0 takes a free one")
	c.Flags().StringVar(&f.addressFile, "address-file", "", "write the address to this `FILE` once it is listening")
	c.Flags().IntVar(&f.workers, "workers", 2*goruntime.GOMAXPROCS(0), "requests that are answered at the same time")
	f.shadow.register(c)
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of Tier 2's draws")
	c.Flags().DurationVar(&f.refresh, "refresh", 5*time.Second, "how often to look for a newer release (0: never)")
	c.Flags().DurationVar(&f.cycle, "cycle", 250*time.Millisecond, "length of a decision cycle")
	c.Flags().DurationVar(&f.drain, "drain", 10*time.Second, "how long requests in flight may take at the end")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no story on standard error")
	return c
}

// The bounds of what one client may take from the others.
const (
	serveWorkersMax    = 1<<10 - 1
	serveHeaderMax     = 16 << 10
	serveReadTimeout   = 10 * time.Second
	serveWriteTimeout  = 10 * time.Second
	serveIdleTimeout   = 2 * time.Minute
	serveHeaderTimeout = 5 * time.Second
)

func (f serveFlags) check() error {
	switch {
	case f.workers < 1 || f.workers > serveWorkersMax:
		return fmt.Errorf("--workers is %d: want 1 to %d", f.workers, serveWorkersMax)
	case f.cycle < time.Millisecond || f.cycle > time.Minute:
		return fmt.Errorf("--cycle is %s: want 1ms to 1m", f.cycle)
	case f.drain < 0 || f.refresh < 0:
		return errors.New("--drain and --refresh may not be negative")
	}
	return f.shadow.check()
}

func serve(ctx context.Context, f serveFlags, stdout, stderr io.Writer) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	in, err := openServing(f.repository, f.keys, f.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if f.quiet {
		stderr = io.Discard
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	rel, doubt := in.client.Refresh(ctx, f.channel)
	if err := doubt; err != nil {
		last, lastErr := in.client.Last(ctx, f.channel)
		if lastErr != nil || last.IsZero() {
			return refused(err)
		}
		log.Warn("refused; serving the last good release", "error", err)
		rel = last
	}
	if d := rel.Release().Domain; d != infer.Name {
		return hinted{fmt.Errorf("the release is of domain %s", d), "arqon serve answers images: it hosts " + infer.Name + "; arqon run hosts the others"}
	}
	s, err := newServer(ctx, f, rel, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.health(doubt)
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return hinted{err, "give another --listen HOST:PORT; port 0 takes a free one"}
	}
	if f.addressFile != "" {
		if err := writeAddress(f.addressFile, "http://"+listener.Addr().String()); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	log.Info("serving", "channel", f.channel, "release", rel.Release().Sequence, "address", "http://"+listener.Addr().String())
	w := watch(ctx, in.client, rel, f.refresh, s.rt, watchers{
		adopted: s.adopted, looked: s.health, say: func(format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) },
	})
	err = s.run(ctx, listener)
	w.stop()
	fmt.Fprintf(stdout, "%s answered, %s failed, %s, %s turned away, %s adopted while serving\n",
		grouped(int(s.answered.Load())), grouped(int(s.failed.Load())), count(int(s.torn.Load()), "torn snapshot", "torn snapshots"),
		grouped(int(s.turnedAway.Load())), count(int(s.adoptions.Load()), "release", "releases"))
	return err
}

// writeAddress lets a file appear with the address in it: who waits for it may
// read it at once.
func writeAddress(file, address string) error {
	half := file + ".half"
	if err := os.WriteFile(half, []byte(address), 0o644); err != nil {
		return err
	}
	return os.Rename(half, file)
}

func newServer(ctx context.Context, f serveFlags, rel *catalog.Verified, log *slog.Logger) (*server, error) {
	domain, err := inferDomain(f.out, f.seed, func(string) {})
	if err != nil {
		return nil, err
	}
	cfg, err := inferConfig(ctx, domain)
	if err != nil {
		return nil, err
	}
	s := &server{flags: f, log: log, workers: make(chan *worker, f.workers), declared: infer.LowLoad}
	if f.context != "" {
		s.declared = f.context
	} else {
		data, err := domain.Data()
		if err != nil {
			return nil, hinted{err, "recognising contexts needs the data set (make data); --context NAME serves without it"}
		}
		if s.sense, err = newSense(data, rel.Release().Contexts, rel.Release().Policy.WindowRequests, f.seed); err != nil {
			return nil, err
		}
	}
	if s.metrics, err = prometheus.New(cfg.Metrics, prometheus.Options{LatencyMetric: infer.MetricP99}); err != nil {
		return nil, err
	}
	cfg.Shards, cfg.Seed, cfg.Tap = f.workers+1, seed.Root(f.seed), s.metrics.Tap // the last shard is the shadow's
	cfg.Limits.ShadowWindows = uint64(f.shadow.windows)
	if f.log != "" {
		if s.ledger, err = createLog(f.log, f.seed); err != nil {
			return nil, err
		}
		cfg.Log = s.ledger
	}
	if err := s.open(ctx, cfg, rel); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open stages the release and puts what it approves in force.
func (s *server) open(ctx context.Context, cfg runtime.Config, rel *catalog.Verified) error {
	var err error
	if s.rt, err = runtime.Open(ctx, cfg, rel); err != nil {
		return err
	}
	class, ok := s.rt.Class(s.declared)
	if !ok {
		return hinted{fmt.Errorf("the release does not know context %s", s.declared), "its contexts: " + fmt.Sprint(s.rt.Classes())}
	}
	s.class.Store(uint32(class))
	if s.adapt, err = runtime.NewAdaptation(s.rt, runtime.AdaptConfig{}); err != nil {
		return err
	}
	s.window = rel.Release().Policy.WindowRequests
	s.records = arqonslog.New(s.log, s.rt)
	s.issued.init()
	for i := range s.flags.workers {
		s.workers <- &worker{rec: s.rt.Recorder(i)}
	}
	s.shadow = newShadow(s.flags.shadow, s.rt.Recorder(s.flags.workers), len(cfg.Metrics), 0)
	s.ready.Store(true)
	return s.metrics.Attach(s.rt)
}

// run answers until ctx ends or the listener fails, then drains.
func (s *server) run(ctx context.Context, l net.Listener) error {
	routes, err := s.routes()
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: routes, ReadHeaderTimeout: serveHeaderTimeout, ReadTimeout: serveReadTimeout, WriteTimeout: serveWriteTimeout,
		IdleTimeout: serveIdleTimeout, MaxHeaderBytes: serveHeaderMax, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	cycles := make(chan struct{})
	control, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(cycles)
		s.control(control)
	}()
	go s.shadow.run(control) // nobody waits for it: what it tries may never end
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		s.ready.Store(false)
		s.log.Info("draining", "limit", s.flags.drain)
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.flags.drain)
		err = srv.Shutdown(wait)
		cancel()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	stop()
	<-cycles
	if errors.Is(err, context.DeadlineExceeded) {
		return hinted{errors.Join(err, srv.Close()), "requests were still in flight: raise --drain"}
	}
	return err
}

func (s *server) close() error {
	if s.ledger == nil {
		return nil
	}
	return s.ledger.Close()
}

// createLog makes the file of an actuation log.
func createLog(file string, root uint64) (*ledger.Log, error) {
	log, err := ledger.Create(file, ledger.Header{Purpose: runtime.LogPurpose, Seed: root}, ledger.Options{})
	if errors.Is(err, ledger.ErrExists) {
		return nil, hinted{err, "an actuation log is never overwritten: name a new file"}
	}
	return log, err
}
