package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
)

// hasty are options under which a hostile service is given up on at once. What
// is asserted is that it is given up on, and why; never how fast.
func hasty() s3.Options {
	o := quick()
	o.Window, o.RateBytesPerSecondMin, o.Deadline, o.Tries = 400*time.Millisecond, 8<<10, 3*time.Second, 2
	return o
}

// drip sends one byte after the other, as long as anybody listens.
func drip(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		time.Sleep(pause)
	}
}

// flood sends as fast as it can, for ever.
func flood(w http.ResponseWriter, r *http.Request, piece string) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
}

const (
	listHead = `<?xml version="1.0"?><ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>`
	listTail = `<NextContinuationToken>more</NextContinuationToken></ListBucketResult>`
)

// dressed is what an object's answer needs.
func dressed(w http.ResponseWriter) {
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	w.Header().Set("Last-Modified", "Sun, 01 Mar 2026 02:00:00 GMT")
}

func TestHostileServers(t *testing.T) {
	var page atomic.Int64
	for _, c := range []struct {
		name       string
		serve      http.HandlerFunc
		read, list error // expected; nil: not asked
	}{
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, s3.ErrSlow, s3.ErrSlow},
		{"dripping object", func(w http.ResponseWriter, r *http.Request) {
			dressed(w)
			drip(w, r, 10*time.Millisecond)
		}, s3.ErrSlow, nil},
		{"dripping error page", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			drip(w, r, 10*time.Millisecond)
		}, s3.ErrSlow, s3.ErrSlow},
		{"endless object", func(w http.ResponseWriter, r *http.Request) {
			dressed(w)
			flood(w, r, strings.Repeat("x", 4096))
		}, artifacts.ErrTooLarge, nil},
		{"a terabyte announced", func(w http.ResponseWriter, _ *http.Request) {
			dressed(w)
			w.Header().Set("Content-Length", "1099511627776")
		}, artifacts.ErrTooLarge, nil},
		{"less than announced", func(w http.ResponseWriter, _ *http.Request) {
			dressed(w)
			w.Header().Set("Content-Length", "50")
			_, _ = io.WriteString(w, "short")
		}, s3.ErrUnavailable, nil},
		{"endless headers", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for n := 0; err == nil; n++ {
				_, err = fmt.Fprintf(conn, "X-%d: %s\r\n", n, strings.Repeat("y", 1000))
			}
		}, s3.ErrUnavailable, s3.ErrUnavailable},
		{"endless error page", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			flood(w, r, strings.Repeat("<a>", 1000))
		}, s3.ErrUnavailable, s3.ErrUnavailable},
		{"no answer but a closed connection", func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}, s3.ErrUnavailable, s3.ErrUnavailable},
		{"another protocol", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html><body>Welcome to the console")
		}, nil, s3.ErrProtocol},
		{"endless page", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, listHead)
			flood(w, r, `<Contents><Key>p/x</Key></Contents>`)
		}, nil, artifacts.ErrTooLarge},
		{"the same page for ever", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, listHead+`<Contents><Key>p/x</Key></Contents>`+listTail)
		}, nil, s3.ErrProtocol},
		{"pages for ever, each in time", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `%s<Contents><Key>p/x%d</Key></Contents>%s`, listHead, page.Add(1), listTail)
		}, nil, s3.ErrSlow},
		{"somebody else's objects", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, listHead+`<Contents><Key>q/x</Key></Contents>`+listTail)
		}, nil, s3.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that nobody waits any more
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				defer context.AfterFunc(t.Context(), cancel)() // nor does it always then
				c.serve(w, r.WithContext(ctx))
			}))
			t.Cleanup(server.Close)
			o := hasty()
			if c.name == "pages for ever, each in time" {
				o.Deadline = 100 * time.Millisecond // ten times that for a listing
			}
			s := open(t, server.URL, s3.Scheme+bucket+"/p", o)
			if c.read != nil {
				if b, err := s.Read(t.Context(), "x", 100); !errors.Is(err, c.read) || b != nil {
					t.Errorf("read: %d bytes, %v, want %v", len(b), err, c.read)
				}
			}
			if c.list != nil {
				if names, err := s.List(t.Context(), ""); !errors.Is(err, c.list) || names != nil {
					t.Errorf("list: %d names, %v, want %v", len(names), err, c.list)
				}
			}
			if err := s.Create(t.Context(), "x", []byte("x")); err == nil {
				t.Error("created")
			}
		})
	}
}

// A redirect is not followed: signed requests are for one host alone.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308, 304, 300} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		s := open(t, server.URL, fresh(t), hasty())
		if _, err := s.Read(t.Context(), "x", 10); !errors.Is(err, s3.ErrRedirect) {
			t.Errorf("%d: read: %v", status, err)
		}
		if _, err := s.List(t.Context(), ""); !errors.Is(err, s3.ErrRedirect) {
			t.Errorf("%d: list: %v", status, err)
		}
		if err := s.Create(t.Context(), "x", []byte("x")); !errors.Is(err, s3.ErrRedirect) {
			t.Errorf("%d: create: %v", status, err)
		}
		server.Close()
	}
	if asked.Load() != 0 {
		t.Errorf("%d requests went elsewhere", asked.Load())
	}
}

// A service that answers yes and keeps nothing does not get through the probe.
func TestLiar(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { dressed(w) }))
	defer server.Close()
	s := open(t, server.URL, fresh(t), hasty())
	if err := s.Create(t.Context(), "x", []byte("x")); !errors.Is(err, s3.ErrUnconditional) {
		t.Fatal(err)
	}
}

// spoiled lets requests through to a fake store; spoil may take over one.
func spoiled(t *testing.T, o s3.Options, spoil func(http.Handler, http.ResponseWriter, *http.Request) bool) *s3.Store {
	t.Helper()
	server := fake(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/.probe/") && spoil(h, w, r) {
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	return open(t, server.URL, fresh(t), o)
}

// first reports true for the first n writes.
func first(n int64, r *http.Request, seen *atomic.Int64) bool {
	return r.Method == http.MethodPut && seen.Add(1) <= n
}

// A write whose answer is lost is recognised as one's own, and is not made twice.
func TestLostAnswers(t *testing.T) {
	lose := func(n int64) func(http.Handler, http.ResponseWriter, *http.Request) bool {
		var seen atomic.Int64
		return func(h http.Handler, _ http.ResponseWriter, r *http.Request) bool {
			if first(n, r, &seen) {
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}
	s := spoiled(t, quick(), lose(1))
	if err := s.Create(t.Context(), "x", []byte("mine")); err != nil {
		t.Fatalf("create: %v", err)
	}
	s = spoiled(t, quick(), lose(100)) // every answer
	if err := s.Create(t.Context(), "x", []byte("mine")); err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := s.Create(t.Context(), "x", []byte("mine")); !errors.Is(err, artifacts.ErrExists) {
		t.Fatalf("equal bytes of another writer: %v", err)
	}
	if err := s.Swap(t.Context(), "x", []byte("mine"), []byte("new")); err != nil {
		t.Fatalf("swap: %v", err)
	}
	if b, err := s.Read(t.Context(), "x", 10); err != nil || string(b) != "new" {
		t.Fatalf("read %q, %v", b, err)
	}
}

// A lost answer, and a rival who replaces the object before it is looked at:
// nobody can know, and the store says so.
func TestLostAnswerAndRival(t *testing.T) {
	var rival *s3.Store
	var seen atomic.Int64
	s := spoiled(t, quick(), func(h http.Handler, _ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || seen.Add(1) != 2 {
			return false
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if err := rival.Swap(r.Context(), "head", []byte("2"), []byte("3")); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	rival = s
	if err := s.Create(t.Context(), "head", []byte("1")); err != nil {
		t.Fatal(err)
	}
	err := s.Swap(t.Context(), "head", []byte("1"), []byte("2"))
	if !errors.Is(err, s3.ErrUncertain) || errors.Is(err, artifacts.ErrConflict) && !strings.Contains(err.Error(), "lost answer") {
		t.Fatalf("swap: %v", err)
	}
}

// Answers that pass are waited for, answers that do not are told.
func TestPassingTrouble(t *testing.T) {
	for _, status := range []int{500, 503, 429, 408, 409} {
		var seen atomic.Int64
		s := spoiled(t, quick(), func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			if !first(3, r, &seen) {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		if err := s.Create(t.Context(), "x", []byte("x")); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	for status, want := range map[int]error{
		500: s3.ErrUncertain, 403: s3.ErrDenied, 404: s3.ErrBucket, 409: s3.ErrUnavailable, 412: artifacts.ErrExists,
	} {
		var seen atomic.Int64
		s := spoiled(t, quick(), func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			if !first(100, r, &seen) {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		if err := s.Create(t.Context(), "x", []byte("x")); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
	}
}

// An object without an ETag cannot be swapped, only read.
func TestNoETag(t *testing.T) {
	s := spoiled(t, quick(), func(h http.Handler, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		answer.Header().Del("ETag")
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return true
	})
	if err := s.Create(t.Context(), "x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Swap(t.Context(), "x", []byte("x"), []byte("y")); !errors.Is(err, s3.ErrProtocol) {
		t.Fatal(err)
	}
}
