package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/arqon/arqon/artifacts"
)

const (
	maxAnswerBytes = 8 << 20   // a listing, an error page; objects have their own limit
	maxHeaderBytes = 128 << 10 // a response's headers
)

type limitKey struct{}

// withLimit allows the body of the object that is read under ctx limit bytes
// and the one more that shows that there are more.
func withLimit(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, limitKey{}, limit+1)
}

// guard bounds everything that a service can do to its client: it follows no
// redirect, ends a request that moves fewer bytes than the minimum rate in any
// window, and ends a body at its cap.
type guard struct {
	next   http.RoundTripper
	window time.Duration
	floor  int64 // bytes that must move in a window

	skew atomic.Pointer[time.Duration] // the service's clock minus ours, at the last answer
}

func newTransport(o Options) *guard {
	dialer := net.Dialer{Timeout: o.Window}
	return &guard{
		next: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    o.Window,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: maxHeaderBytes,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true, // bytes are counted as they are
		},
		window: o.Window,
		floor:  int64(o.Window.Seconds() * float64(o.RateBytesPerSecondMin)),
	}
}

func (g *guard) close() {
	if t, ok := g.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip watches one request from its first byte to the end of the answer.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{floor: g.floor, window: g.window, cancel: cancel}
	w.waiting.Store(true)
	w.timer = time.AfterFunc(g.window, w.tick)
	limit, ok := ctx.Value(limitKey{}).(int64)
	if !ok {
		limit = maxAnswerBytes
	}
	sent := r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		sent.Body = &metered{ReadCloser: r.Body, watch: w}
	}
	resp, err := g.next.RoundTrip(sent)
	w.waiting.Store(false)
	if err != nil {
		w.stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		skew := time.Until(date)
		g.skew.Store(&skew)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		w.stop()
		cancel(nil)
		_ = resp.Body.Close() // nothing of it is wanted
		return nil, fmt.Errorf("%w: status %d", ErrRedirect, resp.StatusCode)
	}
	if resp.StatusCode >= 400 {
		limit = maxAnswerBytes
	}
	resp.Body = &answer{ReadCloser: resp.Body, ctx: ctx, watch: w, left: limit}
	return resp, nil
}

// watch ends a request whose bytes do not move.
type watch struct {
	moved   atomic.Int64
	floor   int64
	window  time.Duration
	timer   *time.Timer
	stopped atomic.Bool
	waiting atomic.Bool // for the service; else the reader is busy with what it has
	cancel  context.CancelCauseFunc
}

func (w *watch) tick() {
	n := w.moved.Swap(0)
	if n < w.floor && w.waiting.Load() {
		w.cancel(fmt.Errorf("%w: %d bytes in %v, at least %d are asked for", ErrSlow, n, w.window, w.floor))
		return
	}
	if !w.stopped.Load() {
		w.timer.Reset(w.window)
	}
}

func (w *watch) stop() {
	w.stopped.Store(true)
	w.timer.Stop()
}

// metered counts what is sent.
type metered struct {
	io.ReadCloser
	watch *watch
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.watch.moved.Add(int64(n))
	return n, err
}

// answer counts and caps what is received.
type answer struct {
	io.ReadCloser
	ctx   context.Context
	watch *watch
	left  int64
}

func (a *answer) Read(p []byte) (int, error) {
	a.watch.waiting.Store(true)
	defer a.watch.waiting.Store(false)
	if a.left <= 0 {
		var one [1]byte
		if n, err := a.ReadCloser.Read(one[:]); n == 0 {
			return 0, a.explain(err)
		}
		return 0, fmt.Errorf("the answer does not end: %w", artifacts.ErrTooLarge)
	}
	n, err := a.ReadCloser.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	a.watch.moved.Add(int64(n))
	return n, a.explain(err)
}

func (a *answer) explain(err error) error {
	if cause := context.Cause(a.ctx); err != nil && !errors.Is(err, io.EOF) && cause != nil {
		return cause
	}
	return err
}

func (a *answer) Close() error {
	a.watch.stop()
	err := a.ReadCloser.Close()
	a.watch.cancel(nil)
	return err
}
