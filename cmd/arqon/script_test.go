package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/arqon/arqon/benchmarks/universe"
)

// scriptParams is what all scripts share: their environment and the commands
// beside testscript's own.
//
//	exits CODE COMMAND…       the command ends with exactly this code
//	json FILE [any] PATH OP V a value in a JSON document (stdout is a FILE too)
//	fixture NAME              copies what was made once for all scripts
//	flip FILE [OFFSET]        flips one bit of a byte; negative counts from the end
//	waitfor FILE              until the file exists
//	killat REGEXP COMMAND…    kill -9 when a line of its story matches
//	capture FILE COMMAND…     standard output into a file
//	setjson VARIABLE FILE PATH
//	setfile VARIABLE FILE     what is in the file
//	models REPO N [HOW]       a release of N models, quickly; broken: the last is not what it says; silent: without golden answers; unsigned: one bit in the store
//	ask URL STATUS REGEXP     until the answer is so
//	same FILE1 FILE2 OLD NEW  equal once OLD in the second is NEW
//	cptree FROM TO
//	bucket NAME               a real S3 server with a bucket, if [gateway]
//	cosigned REPO KEYS TYPE…  every bundle, and what is wrong with it, given to cosign, if [cosign]
//	attack NAME REASON        see cmdAttack; refused, serves, become, forgeprod, forgestatement,
//	                          forgesignature and expire too
//	losekernel                kill a native kernel that serves for the newest command in the background
//	badcode REPO HOW [silent] a release whose precompiled code, and header, are changed, signed by REPO's keys; silent: without golden answers
//	keep NAME                 what is in the directory now is the fixture of that name
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               scriptSetup,
		Condition:           scriptCondition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "json": cmdJSON, "fixture": cmdFixture, "flip": cmdFlip, "waitfor": cmdWaitFor,
			"killat": cmdKillAt, "bucket": cmdBucket, "keep": cmdKeep,
			"capture": cmdCapture, "setjson": cmdSetJSON, "same": cmdSame, "cptree": cmdCopyTree,
			"setfile": cmdSetFile, "ask": cmdAsk, "models": cmdModels,
			"attack": cmdAttack, "refused": cmdRefused, "serves": cmdServes, "forgeprod": cmdForgeProd, "become": cmdBecome,
			"forgestatement": cmdForgeStatement, "forgesignature": cmdForgeSignature, "expire": cmdExpire,
			"setproposal": cmdSetProposal, "hostile": cmdHostile,
			"cosigned": cmdCosigned, "smalldisk": cmdSmallDisk, "morespace": cmdMoreSpace, "losekernel": cmdLoseKernel, "badcode": cmdBadCode,
		},
	}
}

// quickEnvironment trains on a fifth of the images and asks nobody for a
// passphrase. Clients remember below work.
func quickEnvironment(work string) []string {
	return []string{passphraseVariable + "=", quickVariable + "=1", "ARQON_STATE=" + filepath.Join(work, "state")}
}

func scriptSetup(e *testscript.Env) error {
	e.Vars = append(e.Vars, quickEnvironment(e.WorkDir)...)
	e.Vars = append(e.Vars, "GORACE=atexit_sleep_ms=0", "ARQON_FASHION_MNIST="+os.Getenv("ARQON_FASHION_MNIST"), "COSIGN="+os.Getenv(cosignVariablePath))
	return nil
}

// scriptCondition knows [root]: may mount file systems; and [gateway]: there
// is an S3 server to start; and [cosign]: there is a cosign to run; and
// [native]: there is a compiler for native kernels, and a processor for them.
func scriptCondition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "native":
		_, err := universe.FindNative(context.Background(), "")
		return err == nil, nil
	case "gateway":
		return os.Getenv(gatewayVariable) != "", nil
	case "cosign":
		return os.Getenv(cosignVariablePath) != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s exits %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: json FILE [any] PATH OP VALUE")
	}
	var doc any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	args = args[1:]
	anyOf := args[0] == "any"
	if anyOf {
		args = args[1:]
	}
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE [any] PATH OP VALUE")
	}
	found := lookUp(doc, strings.Split(args[0], "."))
	if len(found) == 0 && !neg {
		ts.Fatalf("%s: not in the document", args[0])
	}
	holding := 0
	for _, v := range found {
		ok, err := compare(v, args[1], args[2])
		ts.Check(err)
		if ok {
			holding++
		}
	}
	holds := holding == len(found) && holding > 0
	if anyOf {
		holds = holding > 0
	}
	if holds == neg {
		ts.Fatalf("%s %s %s: %v holds for %d of %d: %.300v", args[0], args[1], args[2], anyOf, holding, len(found), found)
	}
}

// lookUp follows a path: names, indices, * for every element, len for how many.
func lookUp(v any, path []string) []any {
	if len(path) == 0 {
		return []any{v}
	}
	var out []any
	switch x := v.(type) {
	case map[string]any:
		if path[0] == "*" {
			for _, e := range x {
				out = append(out, lookUp(e, path[1:])...)
			}
		} else if e, ok := x[path[0]]; ok {
			out = lookUp(e, path[1:])
		}
	case []any:
		if path[0] == "len" {
			return []any{float64(len(x))}
		}
		for i, e := range x {
			if path[0] == "*" || path[0] == strconv.Itoa(i) {
				out = append(out, lookUp(e, path[1:])...)
			}
		}
	}
	return out
}

// compare compares numbers as numbers, everything else as its JSON.
func compare(v any, op, text string) (bool, error) {
	if op == "has" {
		s, ok := v.(string)
		return ok && strings.Contains(s, text), nil
	}
	if a, ok := v.(float64); ok {
		b, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return false, fmt.Errorf("%q is no number", text)
		}
		switch op {
		case "==":
			return a == b, nil
		case "!=":
			return a != b, nil
		case ">=":
			return a >= b, nil
		case "<=":
			return a <= b, nil
		case ">":
			return a > b, nil
		case "<":
			return a < b, nil
		}
		return false, fmt.Errorf("operator %q", op)
	}
	var want any = text
	if _, isText := v.(string); !isText {
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			return false, fmt.Errorf("%q: %w", text, err)
		}
	}
	switch op {
	case "==":
		return reflect.DeepEqual(v, want), nil
	case "!=":
		return !reflect.DeepEqual(v, want), nil
	}
	return false, fmt.Errorf("operator %q on %T", op, v)
}

func cmdFixture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fixture NAME")
	}
	dir, err := fixture(args[0])
	if err != nil {
		ts.Fatalf("fixture %s: %v", args[0], err)
	}
	ts.Check(copyTree(ts.MkAbs("."), dir))
}

func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: flip FILE [OFFSET]")
	}
	offset := int64(-1)
	if len(args) == 2 {
		var err error
		offset, err = strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
	}
	ts.Check(flipByte(ts.MkAbs(args[0]), offset, 1))
}

// flipByte changes the byte at offset (from the end if negative).
func flipByte(file string, offset int64, mask byte) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if offset < 0 {
		offset += int64(len(b))
	}
	if offset < 0 || offset >= int64(len(b)) {
		return fmt.Errorf("%s: no byte %d in %d", file, offset, len(b))
	}
	b[offset] ^= mask
	return os.WriteFile(file, b, 0o644)
}

// copyTree copies a directory; unlike os.CopyFS it may add to one that exists.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, info.Mode().Perm())
	})
}

// signalled reports whether a process was ended by the signal.
func signalled(err error, s syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	w, ok := exit.Sys().(syscall.WaitStatus)
	return ok && w.Signaled() && w.Signal() == s
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	for range 2400 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s did not appear in 2 min", args[0])
}

// cmdCapture keeps a large output out of the log of the test.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: capture FILE COMMAND…")
	}
	c := exec.Command(args[1], args[2:]...)
	c.Dir = ts.MkAbs(".")
	c.Env = append(os.Environ(), quickEnvironment(ts.Getenv("WORK"))...)
	c.Stderr = ts.Stderr()
	out, err := c.Output()
	if err != nil {
		ts.Fatalf("%v: %v", args[1:], err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out, 0o644))
}

// cmdSetJSON sets a variable to the first value at a path.
func cmdSetJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: setjson VARIABLE FILE PATH")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &doc))
	found := lookUp(doc, strings.Split(args[2], "."))
	if len(found) == 0 {
		ts.Fatalf("%s: not in %s", args[2], args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(found[0]))
}

// cmdSame compares two files after a text was replaced in the second.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: same FILE1 FILE2 OLD NEW")
	}
	a, b := ts.ReadFile(args[0]), strings.ReplaceAll(ts.ReadFile(args[1]), args[2], args[3])
	if (a == b) == neg {
		ts.Fatalf("%s and %s: equal is %v\n%s", args[0], args[1], a == b, firstDifference(a, b))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %.200q against %.200q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines against %d", len(x), len(y))
}

func cmdCopyTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cptree FROM TO")
	}
	ts.Check(copyTree(ts.MkAbs(args[1]), ts.MkAbs(args[0])))
}

// cmdSmallDisk mounts a memory file system that a night does not fit into.
func cmdSmallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smalldisk DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]); err != nil {
		ts.Logf("mount: %v", err)
		ts.Fatalf("a container without the right to mount: run as an ordinary user to skip this")
	}
	ts.Defer(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			ts.Logf("unmount %s: %v", dir, err)
		}
	})
}

// cmdMoreSpace makes the room that a night needs.
func cmdMoreSpace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: morespace DIR")
	}
	ts.Check(syscall.Mount("tmpfs", ts.MkAbs(args[0]), "tmpfs", syscall.MS_REMOUNT, "size=64m"))
}
