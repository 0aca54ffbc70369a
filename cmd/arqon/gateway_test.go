package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// gatewayVariable is the path of versitygw, as make integration builds it.
const gatewayVariable = "ARQON_VERSITYGW"

// cmdBucket starts a real S3 server on loopback with one bucket, which lives
// in the script's directory, and points the commands that follow to it:
//
//	bucket NAME
func cmdBucket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bucket NAME")
	}
	data := ts.MkAbs("gateway")
	ts.Check(os.MkdirAll(filepath.Join(data, args[0]), 0o755))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	address := l.Addr().String()
	ts.Check(l.Close())
	c := exec.Command(os.Getenv(gatewayVariable), "--access", "script", "--secret", "script-secret", "--port", address, "--quiet", "posix", data)
	c.Stdout, c.Stderr, c.Dir = ts.Stdout(), ts.Stderr(), ts.MkAbs(".")
	ts.Check(c.Start())
	ts.Defer(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed: the exit status says so
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			ts.Check(conn.Close())
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("the gateway does not answer: %v", err)
		}
	}
	ts.Setenv("ARQON_S3_ENDPOINT", "http://"+address)
	ts.Setenv("AWS_ACCESS_KEY_ID", "script")
	ts.Setenv("AWS_SECRET_ACCESS_KEY", "script-secret")
}
