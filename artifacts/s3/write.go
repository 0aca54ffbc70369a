package s3

import (
	"bytes"
	"context"
	"crypto/md5" // S3's Content-MD5 guards a request against accidents; nothing else rests on it
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/arqon/arqon/artifacts"
)

// tokenField is the object's metadata that says which write made it: after a
// lost answer, the writer finds out whether the object is its own.
const tokenField = "Arqon-Write"

// condition is what must hold for a write. The zero condition is that the
// object does not exist.
type condition struct{ etag string }

// Create writes an object that must not exist.
//
// When the answer to a try is lost, the object's metadata tells whether that
// try wrote it.
func (s *Store) Create(ctx context.Context, name string, b []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.put(ctx, name, b, condition{}, artifacts.ErrExists)
}

// Swap replaces old by b; nil old means that the object must not exist.
//
// A Swap whose answer was lost and whose object was replaced again since is
// ErrUncertain: it may have happened before the other.
func (s *Store) Swap(ctx context.Context, name string, old, b []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	if old == nil {
		return s.put(ctx, name, b, condition{}, artifacts.ErrConflict)
	}
	// ETags repeat where bytes repeat, so the bytes decide, and the ETag that
	// came with them is the condition.
	have, etag, err := s.read(ctx, name, int64(len(old)))
	if errors.Is(err, artifacts.ErrNotFound) || errors.Is(err, artifacts.ErrTooLarge) {
		return s.wrap(name, artifacts.ErrConflict)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(have, old) {
		return s.wrap(name, artifacts.ErrConflict)
	}
	if etag == "" || strings.ContainsAny(etag, "\"*, ") {
		return s.wrap(name, fmt.Errorf("%w: the object came with the ETag %.40q", ErrProtocol, etag))
	}
	return s.put(ctx, name, b, condition{etag}, artifacts.ErrConflict)
}

// put writes under a condition and tries again where that is safe. conflict is
// the error for a condition that does not hold.
func (s *Store) put(ctx context.Context, name string, b []byte, c condition, conflict error) error {
	if int64(len(b)) > maxPutBytes {
		return s.wrap(name, fmt.Errorf("%d bytes, limit %d: %w", len(b), int64(maxPutBytes), artifacts.ErrTooLarge))
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	w := write{name: name, bytes: b, condition: c, token: hex.EncodeToString(random[:]), conflict: conflict}
	ctx, cancel := s.deadline(ctx, int64(len(b)))
	defer cancel()
	var last error
	lost := false // the answer to some try
	for n := range s.opt.Tries {
		o, err := judge(ctx, s.putOnce(ctx, w))
		if o == notFound {
			// Nothing to match: the object is gone. A Create has nothing to
			// find: it raced with somebody who removes, or there is no bucket.
			if o = refused; c.etag == "" {
				o, err = busy, ErrBucket
			}
		}
		switch o {
		case done:
			return nil
		case refused:
			if lost {
				return s.settle(ctx, w, fmt.Errorf("refused after a lost answer: %w", conflict))
			}
			return s.wrap(name, conflict)
		case ambiguous, busy:
			last, lost = err, lost || o == ambiguous
		case notFound, impossible:
			// Refused for good, or out of time: the latter, and an earlier lost
			// answer, leave open whether it happened.
			if lost || ctx.Err() != nil {
				return s.wrap(name, fmt.Errorf("%w: %w", ErrUncertain, err))
			}
			return s.wrap(name, err)
		}
		if n == s.opt.Tries-1 || !s.pause(ctx, n) {
			break
		}
	}
	if lost {
		return s.settle(ctx, w, last)
	}
	return s.crowded(ctx, w, last)
}

// crowded is the answer when something was in the way of every try.
func (s *Store) crowded(ctx context.Context, w write, last error) error {
	if w.condition.etag != "" {
		return s.wrap(w.name, fmt.Errorf("another writer was in the way of every try: %w", w.conflict))
	}
	if _, err := s.core.StatObject(ctx, s.at.Bucket, s.at.key(w.name), minio.StatObjectOptions{}); err == nil {
		return s.wrap(w.name, w.conflict)
	}
	if errors.Is(last, ErrBucket) {
		return s.wrap(w.name, ErrBucket)
	}
	return s.wrap(w.name, fmt.Errorf("%w: %w", ErrUnavailable, last))
}

type write struct {
	name      string
	bytes     []byte
	condition condition
	token     string
	conflict  error
}

func (s *Store) putOnce(ctx context.Context, w write) error {
	opts := minio.PutObjectOptions{
		ContentType:  "application/octet-stream",
		UserMetadata: map[string]string{tokenField: w.token},
		// minio-go forgets If-None-Match when it completes a multipart upload.
		DisableMultipart:     true,
		DisableContentSha256: true, // no chunk signatures: the digest of the whole is signed instead
	}
	if w.condition.etag == "" {
		opts.SetMatchETagExcept("*")
	} else {
		opts.SetMatchETag(w.condition.etag)
	}
	sum := sha256.Sum256(w.bytes)
	accident := md5.Sum(w.bytes)
	_, err := s.core.PutObject(ctx, s.at.Bucket, s.at.key(w.name), bytes.NewReader(w.bytes), int64(len(w.bytes)),
		base64.StdEncoding.EncodeToString(accident[:]), hex.EncodeToString(sum[:]), opts)
	return err
}

// settle finds out whether a write whose answer was lost has happened. why is
// what the last try came to.
func (s *Store) settle(ctx context.Context, w write, why error) error {
	var token string
	err := s.repeat(ctx, w.name, 0, func(ctx context.Context) (outcome, error) {
		info, err := s.core.StatObject(ctx, s.at.Bucket, s.at.key(w.name), minio.StatObjectOptions{})
		token = info.UserMetadata[tokenField]
		return judge(ctx, err)
	})
	switch {
	case err == nil && token == w.token:
		return nil
	case err == nil && w.condition.etag == "" && errors.Is(w.conflict, artifacts.ErrExists):
		return s.wrap(w.name, artifacts.ErrExists) // numbered objects do not change: somebody else's
	case err != nil && !errors.Is(err, artifacts.ErrNotFound):
		why = err
	}
	return s.wrap(w.name, fmt.Errorf("%w: %w", ErrUncertain, why))
}
