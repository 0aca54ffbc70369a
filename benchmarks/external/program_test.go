package external

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the program that misbehaves: its first
// arguments are "program" and the way it goes wrong.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "program" {
		os.Exit(program(os.Args[2], os.Args[3:]))
	}
	// A program built with -race sleeps for a second when it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

const testDescription = `"ok":true,"space":{"parameters":[{"name":"x","kind":"int","min":1,"max":9,"default":5}]},
"metrics":[{"name":"cost","unit":"ns","direction":"lower","kind":"deterministic","role":"success"}],
"scenarios":[{"name":"only"}],"baseline":{"x":5}`

// program speaks the protocol until it is asked to measure, and then does what
// the mode says. Modes starting with an operation's name go wrong there.
func program(mode string, args []string) int {
	if mode == "serve" {
		return serveProgram()
	}
	at, what, found := strings.Cut(mode, "/")
	if !found {
		at, what = "measure", mode
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 2<<20)
	for in.Scan() {
		var q request
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, "request:", err)
			return 3
		}
		if q.Op == at {
			if code, end := misbehave(what, q, args); end {
				return code
			}
			continue
		}
		switch q.Op {
		case "hello":
			say(q.ID, `"ok":true,"name":"test","version":"1"`)
		case "describe":
			say(q.ID, strings.ReplaceAll(testDescription, "\n", ""))
		case "measure":
			say(q.ID, `"ok":true,"samples":[`+strings.TrimSuffix(strings.Repeat(`{"cost":5},`, q.Repeats), ",")+`]`)
		case "shutdown":
			return 0
		default:
			say(q.ID, `"ok":false,"error":{"code":"unsupported","message":"no `+q.Op+`"}`)
		}
	}
	return 0
}

func say(id uint64, rest string) { fmt.Printf("{\"id\":%d,%s}\n", id, rest) }

func misbehave(what string, q request, args []string) (code int, end bool) {
	switch what {
	case "hang":
		time.Sleep(time.Hour)
	case "deaf": // ignores what can be ignored, and its child leaves the group
		child := exec.Command("sleep", "3600")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return 3, true
		}
		_ = os.WriteFile(args[0], fmt.Append(nil, child.Process.Pid), 0o600)
		time.Sleep(time.Hour)
	case "family": // a child in the group, then the parent goes
		child := exec.Command("sleep", "3600")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			return 3, true
		}
		_ = os.WriteFile(args[0], fmt.Append(nil, child.Process.Pid), 0o600)
		return 7, true
	case "crash":
		fmt.Fprintln(os.Stderr, strings.Repeat("noise ", 10_000)+"out of cheese")
		return 7, true
	case "close":
		_ = os.Stdout.Close()
		time.Sleep(time.Hour)
	case "flood":
		chunk := strings.Repeat("x", 64<<10)
		for range 160 { // 10 MiB
			if _, err := os.Stdout.WriteString(chunk); err != nil {
				return 4, true
			}
		}
		time.Sleep(time.Hour)
	case "log": // a flood on stderr is allowed
		fmt.Fprint(os.Stderr, strings.Repeat("log line\n", 1<<20))
		say(q.ID, `"ok":true,"samples":[{"cost":5}]`)
	case "wrong-id":
		say(q.ID+1, `"ok":true,"samples":[{"cost":5}]`)
	case "garbage":
		fmt.Println("Segmentation fault (core not dumped)")
	case "two":
		fmt.Printf("{\"id\":%d,\"ok\":true,\"samples\":[{\"cost\":5}]} {}\n", q.ID)
	case "no-ok":
		say(q.ID, `"samples":[]`)
	case "code":
		say(q.ID, `"ok":false,"error":{"code":"tuesday","message":"no"}`)
	case "few":
		say(q.ID, `"ok":true,"samples":[]`)
	case "env":
		env, err := json.Marshal(os.Environ())
		if err != nil {
			return 3, true
		}
		fmt.Fprintln(os.Stderr, string(env))
		return 7, true
	case "once": // crashes the first time only
		if _, err := os.Stat(args[0]); err != nil {
			_ = os.WriteFile(args[0], nil, 0o600)
			return 7, true
		}
		say(q.ID, `"ok":true,"samples":[{"cost":5}]`)
	case "files":
		files := args[0]
		_ = os.WriteFile(filepath.Join(q.Dir, "a.txt"), []byte("aa"), 0o600)
		_ = os.Mkdir(filepath.Join(q.Dir, "sub"), 0o700)
		_ = os.WriteFile(filepath.Join(q.Dir, "sub", "b.txt"), []byte("bbb"), 0o600)
		_ = os.Symlink("/etc/hostname", filepath.Join(q.Dir, "link"))
		_ = os.Symlink("sub", filepath.Join(q.Dir, "linked"))
		_ = syscall.Mkfifo(filepath.Join(q.Dir, "fifo"), 0o600)
		say(q.ID, `"ok":true,"files":`+files)
	default: // what is a reply
		say(q.ID, what)
	}
	return 0, false
}
