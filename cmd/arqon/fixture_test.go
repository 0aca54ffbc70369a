package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

// A fixture is a directory made once a process and copied into each script
// that wants it. It never holds an absolute path of its own.
//
//	founded a solo repository repo without a release
//	toy     a night over the toy, published to the solo repository repo
//	people  the same study proposed to a repository of three persons
//	infer   a night over two contexts of infer, published to repo
var fixtures = map[string]func(dir string) error{
	"founded": func(dir string) error {
		return inOrder(dir, []string{"init", "--repository", "repo", "--solo"})
	},
	"toy":    makeToy,
	"people": makePeople,
	"infer":  makeInfer,
}

type made struct {
	once sync.Once
	dir  string
	err  error
}

var (
	madeMu   sync.Mutex
	madeThat = map[string]*made{}
)

func fixture(name string) (string, error) {
	madeMu.Lock()
	m := madeThat[name]
	if m == nil {
		m = &made{}
		madeThat[name] = m
	}
	madeMu.Unlock()
	m.once.Do(func() {
		build, ok := fixtures[name]
		if !ok {
			m.err = fmt.Errorf("no fixture %q", name)
			return
		}
		if m.dir, m.err = os.MkdirTemp(fixturesRoot, name+"-"); m.err == nil {
			m.err = build(m.dir)
		}
	})
	return m.dir, m.err
}

// fixturesRoot is removed when the tests have ended.
var fixturesRoot string

// withFixtures runs the tests around the life of the fixtures.
type withFixtures struct{ testscript.TestingM }

func (m withFixtures) Run() int {
	dir, err := os.MkdirTemp("", "arqon-fixtures-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fixturesRoot = dir
	code := m.TestingM.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return code
}

// arqonIn runs the command in a directory and returns what it said.
func arqonIn(dir string, args ...string) (stdout, stderr string, err error) {
	c := command(dir, args...)
	var out, story bytes.Buffer
	c.Stdout, c.Stderr = &out, &story
	err = c.Run()
	return out.String(), story.String(), err
}

func command(dir string, args ...string) *exec.Cmd {
	c := exec.Command("arqon", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), quickEnvironment(dir)...)
	c.Env = append(c.Env, "GORACE=atexit_sleep_ms=0")
	c.WaitDelay = 10 * time.Second
	return c
}

func inOrder(dir string, commands ...[]string) error {
	for _, args := range commands {
		if _, story, err := arqonIn(dir, args...); err != nil {
			return fmt.Errorf("arqon %v: %w\n%s", args, err, story)
		}
	}
	return os.RemoveAll(filepath.Join(dir, "state"))
}

func makeToy(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "toy.yaml"), []byte(toyStudy), 0o644); err != nil {
		return err
	}
	return inOrder(dir,
		[]string{"init", "--repository", "repo", "--solo"},
		[]string{"nightly", "--study", "toy.yaml", "--repository", "repo"})
}

func makePeople(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "toy.yaml"), []byte(toyStudy), 0o644); err != nil {
		return err
	}
	return inOrder(dir,
		[]string{"init", "--repository", "repo"},
		[]string{"nightly", "--study", "toy.yaml", "--repository", "repo"})
}

// toyStudy needs no clock: see toyDescription.
const toyStudy = `name: toy
external:
  command: [toy]
seed: 1
workers: 2
budget: {evaluations: 80}
candidates_per_context: 1
engines: [{name: sweep, share: 1}]
`

// makeInfer runs the first night of the story, unless the story was here
// already and kept it.
func makeInfer(dir string) error {
	archive, err := txtar.ParseFile(storyScript)
	if err != nil {
		return err
	}
	if err := txtar.Write(archive, dir); err != nil {
		return err
	}
	return inOrder(dir,
		[]string{"init", "--repository", "repo", "--solo"},
		[]string{"nightly", "--study", "story.yaml"},
		[]string{"run", "--repository", "repo", "--requests", "2000", "--log", "actuation.ledger"})
}

// cmdKeep makes a script's directory a fixture, so that what took long is done
// once a process.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	madeMu.Lock()
	defer madeMu.Unlock()
	if madeThat[args[0]] != nil {
		return // it was needed before
	}
	m := &made{}
	m.once.Do(func() {
		if m.dir, m.err = os.MkdirTemp(fixturesRoot, args[0]+"-"); m.err == nil {
			m.err = copyTree(m.dir, ts.MkAbs("."))
		}
	})
	madeThat[args[0]] = m
	ts.Check(m.err)
}
