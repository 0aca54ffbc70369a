package s3_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/artifacts/storetest"
)

const bucket = "arqon-test"

// quick are options for services in this process.
func quick() s3.Options {
	return s3.Options{
		Window: 2 * time.Second, Deadline: 10 * time.Second, Backoff: time.Millisecond,
		Credentials: credentials.NewStaticV4("test-access", "test-secret-key", ""),
	}
}

// fake is gofakes3 with the bucket, behind an optional handler.
func fake(t testing.TB, between func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	var h = gofakes3.New(backend).Server()
	if between != nil {
		h = between(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func open(t testing.TB, url, location string, o s3.Options) *s3.Store {
	t.Helper()
	at, err := s3.ParseLocation(location)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s3.ParseEndpoint(url, false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(at, e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fresh is a location that nobody has used.
func fresh(t testing.TB) string {
	t.Helper()
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return s3.Scheme + bucket + "/" + hex.EncodeToString(b[:])
}

func TestFakeConforms(t *testing.T) {
	server := fake(t, nil)
	storetest.Conform(t, func(t *testing.T) artifacts.Store { return open(t, server.URL, fresh(t), quick()) })
	t.Run("whole bucket", func(t *testing.T) {
		storetest.Conform(t, func(t *testing.T) artifacts.Store {
			return open(t, fake(t, nil).URL, s3.Scheme+bucket, quick())
		})
	})
}

// Two stores below one bucket do not see each other's objects.
func TestPrefixesAreApart(t *testing.T) {
	server := fake(t, nil)
	a, b := open(t, server.URL, "s3://"+bucket+"/one", quick()), open(t, server.URL, "s3://"+bucket+"/one-more", quick())
	if err := a.Create(t.Context(), "x", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(t.Context(), "x", 10); !errors.Is(err, artifacts.ErrNotFound) {
		t.Fatalf("read: %v", err)
	}
	if names, err := b.List(t.Context(), ""); err != nil || len(names) != 0 {
		t.Fatalf("list: %v, %v", names, err)
	}
	if names, err := a.List(t.Context(), ""); err != nil || fmt.Sprint(names) != "[x]" {
		t.Fatalf("list: %v, %v", names, err)
	}
}

// A service that ignores a condition is refused before anything is written.
func TestLameStores(t *testing.T) {
	deaf := func(header string) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					r.Header.Del(header)
				}
				h.ServeHTTP(w, r)
			})
		}
	}
	for _, header := range []string{"If-None-Match", "If-Match"} {
		t.Run(header, func(t *testing.T) {
			s := open(t, fake(t, deaf(header)).URL, fresh(t), quick())
			for range 2 {
				err := s.Create(t.Context(), "x", []byte("x"))
				if !errors.Is(err, s3.ErrUnconditional) || !strings.Contains(err.Error(), header) {
					t.Fatalf("create: %v", err)
				}
			}
			if err := s.Swap(t.Context(), "x", nil, []byte("x")); !errors.Is(err, s3.ErrUnconditional) {
				t.Fatalf("swap: %v", err)
			}
			if names, err := s.List(t.Context(), ""); err != nil || len(names) != 0 {
				t.Fatalf("left behind: %v, %v", names, err)
			}
		})
	}
}

func TestMissingBucket(t *testing.T) {
	s := open(t, fake(t, nil).URL, "s3://no-such-bucket/x", quick())
	if _, err := s.Read(t.Context(), "x", 10); !errors.Is(err, s3.ErrBucket) || errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := s.Create(t.Context(), "x", []byte("x")); !errors.Is(err, s3.ErrBucket) {
		t.Errorf("create: %v", err)
	}
	if _, err := s.List(t.Context(), ""); !errors.Is(err, s3.ErrBucket) {
		t.Errorf("list: %v", err)
	}
}

func TestClockSkew(t *testing.T) {
	server := fake(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(-24*time.Hour).UTC().Format(http.TimeFormat))
			h.ServeHTTP(w, r)
		})
	})
	s := open(t, server.URL, fresh(t), quick())
	if _, known := s.ClockSkew(); known {
		t.Fatal("known before the first answer")
	}
	if _, err := s.Read(t.Context(), "x", 10); !errors.Is(err, artifacts.ErrNotFound) {
		t.Fatal(err)
	}
	if skew, known := s.ClockSkew(); !known || skew > -23*time.Hour || skew < -25*time.Hour {
		t.Fatalf("skew %v, %v", skew, known)
	}
}
