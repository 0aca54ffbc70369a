package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/arqon/arqon/artifacts"
)

// probeFolder holds the probe's objects: its dot keeps them out of List.
const probeFolder = ".probe/"

const probeCreators = 4

// ready probes the store before its first write. A lame store stays refused;
// a probe that could not be made is made again.
func (s *Store) ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probed {
		return s.lame
	}
	err := s.Probe(ctx)
	if err == nil || errors.Is(err, ErrUnconditional) {
		s.probed, s.lame = true, err
	}
	return err
}

// Probe finds out whether the service keeps the conditions of writes, with an
// object of its own that it removes again: of several creators at once one may
// win, another create and a swap on a foreign ETag must be refused, a swap on
// the right one must go through, and none on an object that does not exist.
// ErrUnconditional names the first that does not hold. A pass is evidence, not
// proof: a service that checks without a lock may win the race by luck.
func (s *Store) Probe(ctx context.Context) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	name := probeFolder + hex.EncodeToString(random[:])
	err := s.probe(ctx, name)
	// The object is removed even when the caller has given up. A user who may
	// not remove objects leaves it: it is never listed or read.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opt.Window)
	defer cancel()
	_ = s.core.RemoveObject(clean, s.at.Bucket, s.at.key(name), minio.RemoveObjectOptions{})
	return err
}

func (s *Store) probe(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opt.Deadline, fmt.Errorf("%w: no answer to the probe in %v", ErrSlow, s.opt.Deadline))
	defer cancel()
	const foreign = "00000000000000000000000000000000"
	err := s.put(ctx, name, []byte("nothing"), condition{foreign}, artifacts.ErrConflict)
	if !errors.Is(err, artifacts.ErrConflict) {
		return s.lameness(name, err, "If-Match on an object that does not exist was accepted")
	}
	winner, err := s.raceToCreate(ctx, name)
	if err != nil {
		return err
	}
	err = s.put(ctx, name, []byte("late"), condition{}, artifacts.ErrExists)
	if !errors.Is(err, artifacts.ErrExists) {
		return s.lameness(name, err, "If-None-Match: * replaced an object")
	}
	err = s.put(ctx, name, []byte("foreign"), condition{foreign}, artifacts.ErrConflict)
	if !errors.Is(err, artifacts.ErrConflict) {
		return s.lameness(name, err, "If-Match on another ETag replaced an object")
	}
	b, etag, err := s.read(ctx, name, 64)
	if err != nil {
		return err
	}
	if string(b) != winner {
		return s.lameness(name, nil, fmt.Sprintf("the object is %.20q after refused writes, not %q", b, winner))
	}
	if err := s.put(ctx, name, []byte("swapped"), condition{etag}, artifacts.ErrConflict); err != nil {
		return fmt.Errorf("If-Match on the object's own ETag: %w", err)
	}
	err = s.put(ctx, name, []byte("stale"), condition{etag}, artifacts.ErrConflict)
	if !errors.Is(err, artifacts.ErrConflict) {
		return s.lameness(name, err, "If-Match on an ETag of the past replaced an object")
	}
	return nil
}

// raceToCreate has several creators at once and returns what the winner wrote.
func (s *Store) raceToCreate(ctx context.Context, name string) (string, error) {
	var errs [probeCreators]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.put(ctx, name, fmt.Appendf(nil, "creator %d", i), condition{}, artifacts.ErrExists)
		})
	}
	wg.Wait()
	winner, winners := "", 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner = fmt.Sprintf("creator %d", i)
			winners++
		case !errors.Is(err, artifacts.ErrExists):
			return "", err
		}
	}
	if winners != 1 {
		return "", s.lameness(name, nil, fmt.Sprintf("If-None-Match: * let %d of %d creators at once succeed", winners, probeCreators))
	}
	return winner, nil
}

// lameness is err, if the store answered something else than yes, or says
// what the store did.
func (s *Store) lameness(name string, err error, did string) error {
	if err != nil {
		return err
	}
	return s.wrap(name, fmt.Errorf("%w: %s", ErrUnconditional, did))
}

// ClockSkew returns how far the service's clock was ahead of this machine's at
// the last answer, to a second or so; false before the first answer with a date.
func (s *Store) ClockSkew() (time.Duration, bool) {
	skew := s.transport.skew.Load()
	if skew == nil {
		return 0, false
	}
	return *skew, true
}
