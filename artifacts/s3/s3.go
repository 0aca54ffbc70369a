// Package s3 keeps artifacts in a bucket of any S3-compatible service.
//
// It is an artifacts.Store whose conditional writes are the service's own:
// Create is a PUT with If-None-Match: *, Swap a PUT with If-Match on the ETag
// that was read together with the bytes it compares. A service that ignores
// either is refused before the first write (Probe), because two publishers
// could both win there.
//
// The service is not trusted: every answer has a byte cap, a deadline and a
// minimum rate, redirects are not followed, and what an answer means is for
// catalog/trust to find out. It is not for large files: objects are read and
// written whole, in memory, in one request each.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/arqon/arqon/artifacts"
)

// Options bound what a request may cost. The zero Options are right for a
// service on the internet.
type Options struct {
	// Window is how long a request may take without moving bytes: connecting,
	// waiting for the answer, and each further stretch. 0: 15 seconds.
	Window time.Duration
	// RateBytesPerSecondMin must be reached in every full window. 0: 8 KiB/s.
	RateBytesPerSecondMin int64
	// Deadline bounds one operation with all its tries; the time that its
	// bytes may take at the minimum rate is added. A listing, which is many
	// requests, has ten times that. 0: one minute.
	Deadline time.Duration
	// Tries of a request before the store is ErrUnavailable. 0: 5.
	Tries int
	// Backoff is the first pause between tries, doubled each time up to 32
	// times, of which a random part is waited. 0: 200 ms.
	Backoff time.Duration
	// Credentials of the service; nil: see Open.
	Credentials *credentials.Credentials
}

func (o Options) settled() Options {
	if o.Window <= 0 {
		o.Window = 15 * time.Second
	}
	if o.RateBytesPerSecondMin <= 0 {
		o.RateBytesPerSecondMin = 8 << 10
	}
	if o.Deadline <= 0 {
		o.Deadline = time.Minute
	}
	if o.Tries <= 0 {
		o.Tries = 5
	}
	if o.Backoff <= 0 {
		o.Backoff = 200 * time.Millisecond
	}
	if o.Credentials == nil {
		o.Credentials = usualCredentials()
	}
	return o
}

// usualCredentials asks, in this order: AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), MINIO_ROOT_USER and
// MINIO_ROOT_PASSWORD, ~/.aws/credentials (AWS_SHARED_CREDENTIALS_FILE,
// AWS_PROFILE), MinIO's client configuration; where the environment names a
// container's or a web identity's role, that too. With none of them requests
// are anonymous, which is enough to read a public bucket.
func usualCredentials() *credentials.Credentials {
	chain := []credentials.Provider{
		&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}, &credentials.FileMinioClient{},
	}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if os.Getenv(name) != "" {
			return credentials.NewChainCredentials(append(chain, &credentials.IAM{}))
		}
	}
	return credentials.NewChainCredentials(chain)
}

// Store is an artifacts.Store, Getter and Putter below a prefix of a bucket.
// It may be shared between goroutines. Close it when done.
type Store struct {
	at        Location
	core      minio.Core
	transport *guard
	opt       Options

	mu     sync.Mutex
	probed bool
	lame   error // what the probe found, once it has found it
}

var (
	_ artifacts.Store  = (*Store)(nil)
	_ artifacts.Getter = (*Store)(nil)
	_ artifacts.Putter = (*Store)(nil)
)

const (
	maxPutBytes = 5 << 30 // S3's limit for one PUT; more would need multipart, which drops conditions
	maxListed   = 1 << 20 // names returned by one List

	listDeadlines = 10 // a listing is many requests
)

// Open prepares a store; nothing is sent yet.
func Open(at Location, e Endpoint, o Options) (*Store, error) {
	if err := checkBucket(at.Bucket); err != nil {
		return nil, err
	}
	o = o.settled()
	lookup := minio.BucketLookupPath
	if e.AWS {
		lookup = minio.BucketLookupAuto
	}
	t := newTransport(o)
	client, err := minio.New(e.Host, &minio.Options{
		Creds: o.Credentials, Secure: e.Secure, Region: e.Region, Transport: t, BucketLookup: lookup,
		MaxRetries: 1, // tries are counted in here, where it is known what a lost answer means
	})
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w: %w", at, e.Host, ErrLocation, err)
	}
	return &Store{at: at, core: minio.Core{Client: client}, transport: t, opt: o}, nil
}

// OpenURL opens s3://bucket/prefix at the endpoint of the environment.
func OpenURL(s string, o Options) (*Store, error) {
	at, err := ParseLocation(s)
	if err != nil {
		return nil, err
	}
	e, err := EndpointFromEnvironment()
	if err != nil {
		return nil, err
	}
	return Open(at, e, o)
}

// Location returns where the store is.
func (s *Store) Location() Location { return s.at }

// Close gives connections back.
func (s *Store) Close() error {
	s.transport.close()
	return nil
}

// Read returns the object, at most limit bytes of it.
func (s *Store) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := enter(ctx, name); err != nil {
		return nil, err
	}
	b, _, err := s.read(ctx, name, limit)
	return b, err
}

// read returns the bytes and the ETag that came with them.
func (s *Store) read(ctx context.Context, name string, limit int64) (b []byte, etag string, err error) {
	err = s.repeat(ctx, name, limit, func(ctx context.Context) (outcome, error) {
		b, etag, err = s.readOnce(ctx, name, limit)
		return judge(ctx, err)
	})
	if err != nil {
		return nil, "", err
	}
	return b, etag, nil
}

func (s *Store) readOnce(ctx context.Context, name string, limit int64) (b []byte, etag string, err error) {
	body, info, _, err := s.core.GetObject(withLimit(ctx, limit), s.at.Bucket, s.at.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if info.Size > limit {
		return nil, "", fmt.Errorf("%d bytes, limit %d: %w", info.Size, limit, artifacts.ErrTooLarge)
	}
	b, err = io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, "", err
	}
	if int64(len(b)) > limit {
		return nil, "", fmt.Errorf("more than %d bytes: %w", limit, artifacts.ErrTooLarge)
	}
	if info.Size >= 0 && int64(len(b)) != info.Size {
		return nil, "", fmt.Errorf("%w: %d bytes instead of the %d announced", ErrProtocol, len(b), info.Size)
	}
	return b, info.ETag, nil
}

// List returns the names that begin with prefix, ascending. Keys that are no
// names of a Store, such as other programs' or the probe's, are left out.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if prefix != "" {
		if err := artifacts.CheckName(strings.TrimSuffix(prefix, "/")); err != nil {
			return nil, err
		}
	}
	var names []string
	ctx, cancel := context.WithTimeoutCause(ctx, listDeadlines*s.opt.Deadline, fmt.Errorf("%w: the listing does not end", ErrSlow))
	defer cancel()
	err := s.within(ctx, prefix, func(ctx context.Context) (o outcome, err error) {
		names, err = s.listOnce(ctx, prefix)
		o, err = judge(ctx, err)
		if o == notFound { // some services say so of a prefix without objects
			names = nil
			return done, nil
		}
		return o, err
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

func (s *Store) listOnce(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var names []string
	seen := map[string]bool{}
	below := s.at.key("")
	for o := range s.core.ListObjectsIter(ctx, s.at.Bucket, minio.ListObjectsOptions{Prefix: s.at.key(prefix), Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		name, ok := strings.CutPrefix(o.Key, below)
		if !ok || !strings.HasPrefix(name, prefix) {
			return nil, fmt.Errorf("%w: %.80q was listed below %.80q", ErrProtocol, o.Key, s.at.key(prefix))
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: %.80q was listed twice", ErrProtocol, o.Key)
		}
		seen[name] = true
		if len(seen) > maxListed {
			return nil, fmt.Errorf("more than %d objects: %w", maxListed, artifacts.ErrTooLarge)
		}
		if artifacts.CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names, ctx.Err()
}

// Get reads a blob by reference.
func (s *Store) Get(ctx context.Context, ref artifacts.Ref) ([]byte, error) {
	return artifacts.GetBlob(ctx, s, ref)
}

// Put stores a blob under its digest.
func (s *Store) Put(ctx context.Context, b []byte) (artifacts.Digest, error) {
	return artifacts.PutBlob(ctx, s, b)
}

// repeat tries a request that may be sent again without harm, within the
// deadline for that many bytes.
func (s *Store) repeat(ctx context.Context, name string, bytes int64, try func(context.Context) (outcome, error)) error {
	ctx, cancel := s.deadline(ctx, bytes)
	defer cancel()
	return s.within(ctx, name, try)
}

// within tries until ctx is done.
func (s *Store) within(ctx context.Context, name string, try func(context.Context) (outcome, error)) error {
	for n := range s.opt.Tries {
		o, err := try(ctx)
		switch o {
		case done:
			return nil
		case ambiguous, busy:
			if n < s.opt.Tries-1 && s.pause(ctx, n) {
				continue
			}
			return s.wrap(name, err)
		case refused, notFound, impossible:
			return s.wrap(name, err)
		}
	}
	return s.wrap(name, ErrUnavailable)
}

func (s *Store) deadline(ctx context.Context, bytes int64) (context.Context, context.CancelFunc) {
	seconds := min(bytes, maxPutBytes) / s.opt.RateBytesPerSecondMin
	all := s.opt.Deadline + time.Duration(seconds)*time.Second
	return context.WithTimeoutCause(ctx, all, fmt.Errorf("%w: not done in %v", ErrSlow, all))
}

// pause waits a random part of the n-th pause; false when there is no time.
func (s *Store) pause(ctx context.Context, n int) bool {
	longest := s.opt.Backoff << min(n, 5)
	t := time.NewTimer(rand.N(longest) + 1)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// wrap names the object.
func (s *Store) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", Scheme+s.at.Bucket+"/"+s.at.key(name), oneLine(err))
}

// flat is an error of several, told in one line.
type flat struct{ error }

func (f flat) Error() string { return strings.ReplaceAll(f.error.Error(), "\n", "; ") }
func (f flat) Unwrap() error { return f.error }

func oneLine(err error) error {
	if strings.Contains(err.Error(), "\n") {
		return flat{err}
	}
	return err
}

func enter(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return artifacts.CheckName(name)
}
