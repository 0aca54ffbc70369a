package s3_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/storetest"
)

// The account of a gateway that lives for one test run.
const (
	gatewayUser   = "arqon-integration"
	gatewaySecret = "only-for-one-test-run"
)

var theGateway struct {
	once sync.Once
	url  string
	stop func()
	err  error
}

// gateway is the address of a real versitygw over a directory of its own: the
// program that ARQON_VERSITYGW names. Without it the test is skipped;
// make integration builds and names it.
func gateway(t testing.TB) string {
	t.Helper()
	program := os.Getenv("ARQON_VERSITYGW")
	if program == "" {
		t.Skip("ARQON_VERSITYGW names no versitygw; make integration does")
	}
	theGateway.once.Do(func() { theGateway.url, theGateway.stop, theGateway.err = startGateway(program) })
	if theGateway.err != nil {
		t.Fatal(theGateway.err)
	}
	return theGateway.url
}

func startGateway(program string) (url string, stop func(), err error) {
	root, err := os.MkdirTemp("", "arqon-versitygw-")
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return "", nil, err
	}
	c := exec.Command(program, "--access", gatewayUser, "--secret", gatewaySecret, "--port", address, "--quiet", "posix", data)
	var said bytes.Buffer
	c.Stdout, c.Stderr, c.Dir = &said, &said, root
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed: the exit status says so
		_ = os.RemoveAll(root)
	}
	if err := makeBucket(address); err != nil {
		stop()
		return "", nil, &startError{err, said.String()}
	}
	return "http://" + address, stop, nil
}

type startError struct {
	err  error
	said string
}

func (e *startError) Error() string { return e.err.Error() + "; it said: " + e.said }
func (e *startError) Unwrap() error { return e.err }

// makeBucket waits until the gateway is up and makes the bucket.
func makeBucket(address string) error {
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(gatewayUser, gatewaySecret, ""), Region: "us-east-1", MaxRetries: 1})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		if err = client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(publisherVariable) != "" {
		os.Exit(publisherMain())
	}
	code := m.Run()
	if theGateway.stop != nil {
		theGateway.stop()
	}
	os.Exit(code)
}

func TestGatewayConforms(t *testing.T) {
	url := gateway(t)
	o := quick()
	o.Credentials = credentials.NewStaticV4(gatewayUser, gatewaySecret, "")
	storetest.Conform(t, func(t *testing.T) artifacts.Store { return open(t, url, fresh(t), o) })
}
