package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/arqon/arqon/artifacts"
)

// The answers that a caller of this store distinguishes, besides those of
// artifacts.Store.
var (
	// ErrLocation: an address that is none.
	ErrLocation = errors.New("not an address of an object store")
	// ErrBucket: the service answers and has no such bucket.
	ErrBucket = errors.New("no such bucket")
	// ErrDenied: the service knows no such credentials, or they may not do this.
	ErrDenied = errors.New("access denied")
	// ErrClock: the service refuses requests dated by this machine's clock.
	ErrClock = errors.New("the service's clock and this machine's differ too much")
	// ErrUnconditional: the store writes where it was told not to. Two
	// publishers could both win there.
	ErrUnconditional = errors.New("the store ignores conditional writes")
	// ErrSlow: fewer bytes in a window than the minimum rate, or no answer
	// before the deadline.
	ErrSlow = errors.New("the store is slower than allowed")
	// ErrRedirect: the service points elsewhere; nothing follows it.
	ErrRedirect = errors.New("the store answered with a redirect")
	// ErrProtocol: an answer that no S3 service gives.
	ErrProtocol = errors.New("the store's answer breaks the protocol")
	// ErrUnavailable: no usable answer after all tries.
	ErrUnavailable = errors.New("the store is not available")
	// ErrUncertain: the answer to a conditional write was lost, and what the
	// store holds now does not tell whether it happened. Read before writing
	// again.
	ErrUncertain = errors.New("it is not known whether the write happened")
)

// outcome is what one try of a request came to.
type outcome int

const (
	ambiguous  outcome = iota // lost: it may have happened; try again
	done                      // it happened
	refused                   // a precondition did not hold; it did not happen
	busy                      // another writer was in the way; it did not happen; try again
	notFound                  // no such object
	impossible                // no use in trying again
)

// judge reads the error of one try. The second result names the problem in the
// words of this room.
func judge(ctx context.Context, err error) (outcome, error) {
	if err == nil {
		return done, nil
	}
	for _, fatal := range []error{ErrRedirect, ErrProtocol, artifacts.ErrTooLarge, ErrLocation} {
		if errors.Is(err, fatal) {
			return impossible, err
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return impossible, cause
	}
	if errors.Is(err, ErrSlow) {
		return ambiguous, err
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return impossible, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		return ambiguous, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return judgeAnswer(answer)
}

func judgeAnswer(answer minio.ErrorResponse) (outcome, error) {
	said := fmt.Errorf("%.40s: %.200q", answer.Code, answer.Message)
	switch {
	case answer.Code == minio.NoSuchBucket:
		return impossible, ErrBucket
	case answer.Code == "RequestTimeTooSkewed":
		return impossible, ErrClock
	case answer.StatusCode == http.StatusNotFound:
		return notFound, artifacts.ErrNotFound
	case answer.StatusCode == http.StatusPreconditionFailed:
		return refused, said
	case answer.StatusCode == http.StatusConflict:
		return busy, said
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		return impossible, fmt.Errorf("%w: %w", ErrDenied, said)
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout,
		answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented:
		return ambiguous, fmt.Errorf("%w: %d %w", ErrUnavailable, answer.StatusCode, said)
	case answer.StatusCode < 300: // success, and a body that cannot be read
		return impossible, fmt.Errorf("%w: %w", ErrProtocol, said)
	}
	return impossible, fmt.Errorf("status %d: %w", answer.StatusCode, said)
}
