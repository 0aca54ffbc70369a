package main

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyScript has its own test: it must not share the machine with others.
const storyScript = "testdata/script/story.txtar"

func TestStory(t *testing.T) {
	p := scriptParams("")
	p.Files = []string{storyScript}
	testscript.Run(t, p)
}

// cmdKillAt runs a command and kills it, as a machine that loses its power
// would, when a line on its standard error matches.
func cmdKillAt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: killat REGEXP COMMAND…")
	}
	when, err := regexp.Compile(args[0])
	ts.Check(err)
	c := exec.Command(args[1], args[2:]...)
	c.Dir = ts.MkAbs(".")
	c.Env = append(os.Environ(), quickEnvironment(ts.Getenv("WORK"))...)
	story, err := c.StderrPipe()
	ts.Check(err)
	ts.Check(c.Start())
	lines := bufio.NewScanner(story)
	for lines.Scan() {
		ts.Logf("%s", lines.Text())
		if when.MatchString(lines.Text()) {
			ts.Check(c.Process.Kill())
			break
		}
	}
	if err := c.Wait(); !signalled(err, syscall.SIGKILL) {
		ts.Fatalf("ended before it could be killed: %v", err)
	}
}
