package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/prometheus"
	arqonslog "github.com/arqon/arqon/runtime/slog"
)

// server answers images over HTTP. Requests share workers, each with a shard of
// the runtime; one goroutine runs the decision cycles.
type server struct {
	flags    serveFlags
	log      *slog.Logger
	rt       *runtime.Runtime
	adapt    *runtime.Adaptation
	metrics  *prometheus.Collector
	records  *arqonslog.Logger
	ledger   *ledger.Log
	sense    *sense // nil: --context names the class
	declared string
	window   int // requests that are looked at together

	ready   atomic.Bool
	doubt   atomic.Pointer[string] // why the repository is not believed now; nil: it is
	class   atomic.Uint32          // what the traffic is taken for
	workers chan *worker
	issued  issued
	shadow  *shadow

	shadowWork infer.Workspace // of copies of requests

	answered, failed, torn, turnedAway, adoptions atomic.Int64

	mu       sync.Mutex
	seen     look
	looked   int
	releases int // adopted, not yet installed
}

// worker is what one request at a time uses.
type worker struct {
	rec  *runtime.Recorder
	work infer.Workspace
}

const (
	pixels       = side * side
	bodyBytesMax = 16 << 10               // 784 numbers of JSON take 4 KB
	waitMax      = 500 * time.Millisecond // for a worker
)

func (s *server) routes() (http.Handler, error) {
	metrics, err := s.metrics.Handler()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/predict", s.predict)
	mux.HandleFunc("POST /v1/feedback", s.feedback)
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			writeText(w, http.StatusServiceUnavailable, "draining")
			return
		}
		text := fmt.Sprintf("release %d, adopted %d while serving", s.rt.Load().Release(), s.adoptions.Load())
		if doubt := s.doubt.Load(); doubt != nil {
			text += "\nunhealthy: nothing new is adopted: " + *doubt
		}
		writeText(w, http.StatusOK, text) // it serves: what it verified last
	})
	return mux, nil
}

// health notes what a look at the repository came to.
func (s *server) health(err error) {
	if err == nil {
		s.doubt.Store(nil)
		return
	}
	text := err.Error()
	s.doubt.Store(&text)
}

// prediction is the answer to one image.
type prediction struct {
	ID         uint64            `json:"id"` // for feedback
	Class      int               `json:"class"`
	Name       string            `json:"name"`
	VariantID  catalog.VariantID `json:"variant_id"`
	Release    uint64            `json:"release"`
	Generation uint64            `json:"generation"`
	Context    string            `json:"context"` // what the traffic is taken for
	ExitStage  int               `json:"exit_stage"`
}

// classNames are Fashion-MNIST's (Xiao, Rasul, Vollgraf 2017, table 2).
var classNames = [...]string{"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"}

func (s *server) predict(w http.ResponseWriter, r *http.Request) {
	image, err := readImage(http.MaxBytesReader(w, r.Body, bodyBytesMax), r.Header.Get("Content-Type"))
	if err != nil {
		refuse(w, err)
		return
	}
	worker := s.take(r)
	if worker == nil {
		s.turnedAway.Add(1)
		w.Header().Set("Retry-After", "1")
		writeText(w, http.StatusServiceUnavailable, "every worker is busy")
		return
	}
	p, err := s.answer(worker, image)
	s.workers <- worker
	if err != nil {
		s.failed.Add(1)
		s.log.Error("not answered", "error", err)
		writeText(w, http.StatusInternalServerError, "the variant cannot answer")
		return
	}
	s.answered.Add(1)
	writeJSON(w, p)
}

// take waits a little for a worker; nil: there is none.
func (s *server) take(r *http.Request) *worker {
	select {
	case w := <-s.workers:
		return w
	default:
	}
	t := time.NewTimer(waitMax)
	defer t.Stop()
	select {
	case w := <-s.workers:
		return w
	case <-t.C:
	case <-r.Context().Done():
	}
	return nil
}

// answer is the data plane: one snapshot for the whole request. A variant that
// panics gives this request an error and leaves no numbers; a window of those
// takes it back.
func (s *server) answer(w *worker, image *[pixels]byte) (p prediction, err error) {
	goruntime.LockOSThread() // the processor time of a request is its thread's
	defer goruntime.UnlockOSThread()
	class := runtime.Class(s.class.Load())
	id := s.issued.next()
	start := time.Now()
	snap := s.rt.Load()
	variant := snap.Route(class, id)
	defer func() {
		if what := recover(); what != nil {
			recordFailure(w.rec, variant, class, inferMetrics)
			err = fmt.Errorf("variant %d panicked: %v", variant, what)
		}
	}()
	model, ok := snap.Handle(variant).(*infer.Model)
	if !ok {
		return prediction{}, fmt.Errorf("variant %d: %w", variant, errWrongHandle)
	}
	got := predict(model, image, &w.work, w.rec, variant, class)
	w.rec.Record(variant, class, p99ID, float64(time.Since(start)))
	if !snap.Intact() {
		s.torn.Add(1)
	}
	s.issued.remember(id, answered{variant: variant, class: class, got: got.Class})
	if s.sense != nil {
		s.mu.Lock()
		s.seen.add(image)
		s.looked++
		s.mu.Unlock()
	}
	if other := s.shadow.wants(snap, class, id); other != catalog.BuiltIn {
		s.shadow.offer(shadowJob{variant: other, class: class, try: s.copied(snap, other, class, id, *image)})
	}
	return prediction{
		ID: id, Class: got.Class, Name: classNames[got.Class], VariantID: variant, Release: snap.Release(), Generation: snap.Generation(),
		Context: className(s.rt, class), ExitStage: got.Exit,
	}, nil
}

// copied is a request as the shadow tries it. What it would have answered is
// remembered beside the answer, so that a label that comes later counts for both.
func (s *server) copied(snap *runtime.Snapshot, v catalog.VariantID, c runtime.Class, id uint64, image [pixels]byte) func(*shadow) {
	model, ok := snap.Handle(v).(*infer.Model)
	return func(sh *shadow) {
		if !ok {
			panic(errWrongHandle)
		}
		start := time.Now()
		got := predict(model, &image, &s.shadowWork, sh.rec, v, c)
		sh.rec.Record(v, c, p99ID, float64(time.Since(start)))
		s.issued.beside(id, v, got.Class)
	}
}

// feedback records whether an earlier answer was right.
func (s *server) feedback(w http.ResponseWriter, r *http.Request) {
	var f struct {
		ID    *uint64 `json:"id"`
		Label *int    `json:"label"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	d.DisallowUnknownFields()
	if err := decodeOne(d, &f); err != nil {
		refuse(w, err)
		return
	}
	if f.ID == nil || f.Label == nil || *f.Label < 0 || *f.Label >= len(classNames) {
		refuse(w, fmt.Errorf("%w: want id, and label from 0 to %d", errBadRequest, len(classNames)-1))
		return
	}
	a, ok := s.issued.take(*f.ID)
	if !ok {
		writeText(w, http.StatusNotFound, fmt.Sprintf("answer %d is unknown, forgotten or has had its feedback", *f.ID))
		return
	}
	worker := s.take(r)
	if worker == nil {
		writeText(w, http.StatusServiceUnavailable, "every worker is busy")
		return
	}
	worker.rec.Record(a.variant, a.class, accuracyID, share(a.got == *f.Label))
	if a.shadow != catalog.BuiltIn {
		worker.rec.Record(a.shadow, a.class, accuracyID, share(a.shadowGot == *f.Label))
	}
	s.workers <- worker
	w.WriteHeader(http.StatusNoContent)
}

func share(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

var errBadRequest = errors.New("bad request")

// readImage reads 784 bytes, or JSON {"pixels": [784 numbers from 0 to 255]}.
func readImage(body io.Reader, contentType string) (*[pixels]byte, error) {
	var image [pixels]byte
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && media == "application/json" {
		var in struct {
			Pixels []int `json:"pixels"`
		}
		d := json.NewDecoder(body)
		d.DisallowUnknownFields()
		if err := decodeOne(d, &in); err != nil {
			return nil, err
		}
		if len(in.Pixels) != pixels {
			return nil, fmt.Errorf("%w: %d pixels, want %d", errBadRequest, len(in.Pixels), pixels)
		}
		for i, p := range in.Pixels {
			if p < 0 || p > 255 {
				return nil, fmt.Errorf("%w: pixel %d is %d: want 0 to 255", errBadRequest, i, p)
			}
			image[i] = byte(p)
		}
		return &image, nil
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if len(b) != pixels {
		return nil, fmt.Errorf("%w: %d bytes, want %d, or JSON with its content type", errBadRequest, len(b), pixels)
	}
	copy(image[:], b)
	return &image, nil
}

// decodeOne reads the one value that a body holds.
func decodeOne(d *json.Decoder, v any) error {
	var kind *json.UnmarshalTypeError
	switch err := d.Decode(v); {
	case errors.As(err, &kind):
		where := "the body"
		if kind.Field != "" {
			where = fmt.Sprintf("%q", kind.Field)
		}
		return fmt.Errorf("%w: %s holds %s: want whole numbers where the interface has them", errBadRequest, where, kind.Value)
	case err != nil:
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the JSON value", errBadRequest)
	}
	return nil
}

// refuse answers a request that is the client's mistake.
func refuse(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	status := http.StatusBadRequest
	if errors.As(err, &large) {
		status = http.StatusRequestEntityTooLarge
		err = fmt.Errorf("%w: the body is too large: at most %d bytes", errBadRequest, large.Limit)
	}
	writeText(w, status, err.Error())
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody is left to tell
}
