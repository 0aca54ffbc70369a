package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"
)

// hostile is an S3 service on loopback that behaves as it is told.
type hostile struct {
	honest http.Handler
	mood   atomic.Value // string
}

var (
	hostileMu sync.Mutex
	hostiles  = map[string]*hostile{} // by the script's directory
)

// cmdHostile starts an S3 service with the bucket arqon and points the
// commands that follow to it, or changes how it behaves:
//
//	hostile MOOD
//
//	honest         as S3 does
//	slow           an object comes byte by byte
//	endless        an object never ends
//	cut            an object ends in the middle
//	unconditional  writes happen whatever their conditions
//	denied         nobody may do anything
//	skewed         its clock is a day ahead, and it refuses requests of another time
func cmdHostile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hostile MOOD")
	}
	hostileMu.Lock()
	defer hostileMu.Unlock()
	work := ts.Getenv("WORK")
	h := hostiles[work]
	if h == nil {
		backend := s3mem.New()
		ts.Check(backend.CreateBucket("arqon"))
		h = &hostile{honest: gofakes3.New(backend).Server()}
		hostiles[work] = h
		server := httptest.NewServer(h)
		ts.Defer(func() {
			h.mood.Store("honest") // ends what it is doing
			server.CloseClientConnections()
			server.Close()
		})
		ts.Setenv("ARQON_S3_ENDPOINT", server.URL)
		ts.Setenv("AWS_ACCESS_KEY_ID", "script")
		ts.Setenv("AWS_SECRET_ACCESS_KEY", "script-secret")
	}
	h.mood.Store(args[0])
}

// ServeHTTP implements http.Handler.
func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mood, _ := h.mood.Load().(string)
	reads := r.Method == http.MethodGet && strings.Contains(strings.TrimPrefix(r.URL.Path, "/arqon"), "/metadata/")
	switch {
	case mood == "unconditional":
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Match")
	case mood == "denied":
		refuseS3(w, "AccessDenied")
		return
	case mood == "skewed":
		w.Header().Set("Date", time.Now().AddDate(0, 0, 1).UTC().Format(http.TimeFormat))
		refuseS3(w, "RequestTimeTooSkewed")
		return
	case reads && mood != "honest":
		h.object(w, r, mood)
		return
	}
	h.honest.ServeHTTP(w, r)
}

func refuseS3(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
}

// object sends an object as the mood has it, until the mood changes.
func (h *hostile) object(w http.ResponseWriter, r *http.Request, mood string) {
	answer := httptest.NewRecorder()
	h.honest.ServeHTTP(answer, r)
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	b := answer.Body.Bytes()
	if answer.Code != http.StatusOK {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(b)
		return
	}
	if mood == "cut" {
		_, _ = w.Write(b[:len(b)/2])
		return
	}
	w.Header().Del("Content-Length")
	flush := http.NewResponseController(w)
	for i := 0; h.mood.Load() == mood && r.Context().Err() == nil; i++ {
		part := b[i%len(b) : i%len(b)+1]
		if mood == "endless" {
			part = b
		}
		if _, err := w.Write(part); err != nil {
			return
		}
		if mood == "slow" {
			_ = flush.Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}
}
