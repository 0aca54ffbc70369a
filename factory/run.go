package factory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// The files of a run. What a night has done is read off them, so there is no
// second account of it that could disagree: the journal ends when the search
// has, candidates.json exists when candidates are built, report.json when the
// night has been judged, handover.json when it has been handed over. All but
// the ledgers appear whole or not at all.
const (
	fileRun        = "run.json"
	fileStudy      = "study.yaml"
	filePolicy     = "policy.yaml" // only if the study names a policy file
	fileLaw        = "law.json"    // only if it names a law's file
	fileJournal    = "journal.ledger"
	fileClock      = "clock.json"
	fileCandidates = "candidates.json"
	fileGates      = "gates.ledger"
	fileReport     = "report.json"
	fileHTML       = "report.html"
	fileHandover   = "handover.json"
	fileLock       = "lock"
	fileElites     = "elites.json"         // only if the search begins with what another night has found
	fileSearch     = "search.ledger"       // of a search alone
	fileFound      = "recommendation.json" // its answer
)

// runsMax bounds the numbers of a study's runs.
const runsMax = 9999

// maxRunBytes is the largest of the small JSON files that is read.
const maxRunBytes = 1 << 20

// What a caller of OpenRun distinguishes.
var (
	ErrNoRun = errors.New("not a run")
	ErrBusy  = ledger.ErrLocked // another nightly is at work in the directory
)

// Run is the directory of one night, locked while it is open.
type Run struct {
	Study Study
	Path  string // <out>/runs/<study>-0001
	Name  string // its last element

	lock  *ledger.Lock
	blobs *artifacts.Dir
}

// runFile is run.json.
type runFile struct {
	Schema string           `json:"schema"`
	Name   string           `json:"name"`
	Study  artifacts.Digest `json:"study"`
}

const runSchema = "arqon-run/1"

// NewRun makes the directory of a new night below out and locks it. The study
// must come from LoadStudy: the run keeps a copy of the file.
func NewRun(out string, st Study) (*Run, error) {
	if len(st.source) == 0 {
		return nil, errors.New("a run needs a study that was read from a file")
	}
	digest, err := st.Digest()
	if err != nil {
		return nil, err
	}
	runs := filepath.Join(out, "runs")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, err
	}
	path, err := makeRunDir(runs, st.Name)
	if err != nil {
		return nil, err
	}
	r := &Run{Study: st, Path: path, Name: filepath.Base(path)}
	if r.lock, err = ledger.LockFile(r.file(fileLock)); err != nil {
		return nil, err
	}
	b, err := json.Marshal(runFile{Schema: runSchema, Name: r.Name, Study: digest})
	if err == nil {
		err = r.write(fileStudy, st.source)
	}
	if err == nil && len(st.policySource) > 0 {
		err = r.write(filePolicy, st.policySource)
	}
	if err == nil && len(st.LawFile) > 0 {
		err = r.write(fileLaw, st.LawFile)
	}
	if err == nil {
		err = r.write(fileRun, append(b, '\n')) // last: it says that the rest is there
	}
	if err == nil {
		r.blobs, err = artifacts.OpenDir(r.Path)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// makeRunDir claims the next free number: Mkdir fails if somebody was faster.
func makeRunDir(runs, name string) (string, error) {
	names, err := os.ReadDir(runs)
	if err != nil {
		return "", err
	}
	last := 0
	for _, e := range names {
		digits, ok := strings.CutPrefix(e.Name(), name+"-")
		if n, err := strconv.Atoi(digits); ok && err == nil && len(digits) == 4 {
			last = max(last, n)
		}
	}
	for n := last + 1; n <= runsMax; n++ {
		path := filepath.Join(runs, fmt.Sprintf("%s-%04d", name, n))
		if err := os.Mkdir(path, 0o755); err == nil {
			return path, ledger.SyncDir(runs)
		} else if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: there is a %s-%d already: move old runs away", runs, name, runsMax)
}

// RunPath finds a run by its path or by its name below out.
func RunPath(out, run string) (string, error) {
	for _, path := range []string{run, filepath.Join(out, "runs", run)} {
		if st, err := os.Stat(filepath.Join(path, fileRun)); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w: neither it nor %s holds a %s", run, ErrNoRun, filepath.Join(out, "runs", run), fileRun)
}

// OpenRun opens the directory of an interrupted or finished night and locks
// it: ErrBusy, with the other's process id, if a night is at work there.
func OpenRun(path string) (*Run, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r := &Run{Path: path}
	f, err := r.identify()
	if err != nil {
		return nil, err
	}
	r.Name = f.Name
	if r.lock, err = ledger.LockFile(r.file(fileLock)); err != nil {
		return nil, err
	}
	err = r.load(f)
	if err == nil {
		r.blobs, err = artifacts.OpenDir(path)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// identify reads run.json.
func (r *Run) identify() (runFile, error) {
	var f runFile
	raw, err := readLimited(r.file(fileRun), maxRunBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("%s: %w: no %s in it (a night that was interrupted before it began leaves none: start a new one)", r.Path, ErrNoRun, fileRun)
	}
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(raw, &f); err != nil || f.Schema != runSchema {
		return f, fmt.Errorf("%s: %w: schema %.40q, want %q", r.file(fileRun), ErrNoRun, f.Schema, runSchema)
	}
	return f, nil
}

// load reads the run's copy of the study, which must be the one it began with.
func (r *Run) load(f runFile) error {
	if err := r.readStudy(); err != nil {
		return err
	}
	digest, err := r.Study.Digest()
	if err != nil {
		return err
	}
	if digest != f.Study {
		what := r.file(fileStudy)
		if r.Study.LawFile != nil {
			what += ", or " + fileLaw + " beside it"
		}
		return fmt.Errorf("%s: was changed after the night began (digest %s, began with %s): %w",
			what, digest.Short(), f.Study.Short(), ErrForeignJournal)
	}
	return nil
}

// readStudy reads the run's copy of the study, whatever it means to this
// version.
func (r *Run) readStudy() error {
	source, err := readLimited(r.file(fileStudy), maxStudyBytes)
	if err != nil {
		return err
	}
	r.Study, err = parseStudy(r.file(fileStudy), source, func(field, _ string) (string, []byte, error) {
		file := r.file(filePolicy)
		if field == fieldLaw {
			file = r.file(fileLaw)
		}
		b, err := readLimited(file, maxStudyBytes)
		return file, b, err
	})
	return err
}

// Close unlocks the directory.
func (r *Run) Close() error {
	var err error
	if r.blobs != nil {
		err = r.blobs.Close()
		r.blobs = nil
	}
	return errors.Join(err, r.lock.Unlock())
}

func (r *Run) file(name string) string { return filepath.Join(r.Path, name) }

// HandedOver reports whether the night has reached its repository: going on
// with it then only says so again.
func (r *Run) HandedOver() bool {
	_, err := os.Stat(r.file(fileHandover))
	return err == nil
}

// Blobs is the run's store of bundles.
func (r *Run) Blobs() *artifacts.Dir { return r.blobs }

// Ledger is the path of what the gates measured and found.
func (r *Run) Ledger() string { return r.file(fileGates) }

// Report returns where report.json and report.html are, or will be.
func (r *Run) Report() (jsonPath, htmlPath string) { return r.file(fileReport), r.file(fileHTML) }

// NightSeed is the root of everything random that the gates do. No search has
// used it, and every run of a study has its own.
func (r *Run) NightSeed() seed.Root {
	return seed.Root(seed.Derive(seed.Root(r.Study.Seed), "factory/night/"+r.Name))
}

// exists reports whether a step has left its file.
func (r *Run) exists(name string) (bool, error) {
	_, err := os.Lstat(r.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// write puts a file into the run, durable and whole.
func (r *Run) write(name string, b []byte) error { return writeWhole(r.file(name), b) }

// writeWhole replaces path by b so that a reader, or a machine that lost its
// power, sees the old bytes or the new ones.
func writeWhole(path string, b []byte) error {
	if old, err := readLimited(path, int64(len(b))); err == nil && bytes.Equal(old, b) {
		return nil
	}
	temp := path + ".new"
	if err := writeSynced(temp, b); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return ledger.SyncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stopwatch counts the time that the searches of a run have taken, over all
// its sessions. The clock is the caller's.
type stopwatch struct {
	now    func() time.Time
	path   string
	before time.Duration
	begun  time.Time
	saved  time.Duration
}

type clockFile struct {
	SearchNS int64 `json:"search_ns"`
}

// savedEvery is how often the time is written down: a killed session loses
// that much of its account and nothing else.
const savedEvery = 2 * time.Second

func newStopwatch(path string, now func() time.Time) *stopwatch {
	w := &stopwatch{now: now, path: path, begun: now()}
	var f clockFile
	if b, err := readLimited(path, maxRunBytes); err == nil && json.Unmarshal(b, &f) == nil && f.SearchNS > 0 {
		w.before = time.Duration(f.SearchNS)
	}
	w.saved = w.before
	return w
}

// elapsed returns the total. It is asked after every measurement, so it also
// saves now and then; a failure to save costs accuracy, no measurement, and a
// full disk is reported by the journal.
func (w *stopwatch) elapsed() time.Duration {
	total := w.before + w.now().Sub(w.begun)
	if total-w.saved >= savedEvery {
		w.save(total)
	}
	return total
}

func (w *stopwatch) save(total time.Duration) {
	b, err := json.Marshal(clockFile{SearchNS: int64(total)})
	if err != nil {
		return
	}
	if os.WriteFile(w.path+".new", b, 0o644) == nil && os.Rename(w.path+".new", w.path) == nil {
		w.saved = total
	}
}
