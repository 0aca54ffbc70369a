package benchmarks

import (
	"context"
	"fmt"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Golden is a question of a domain's own with an answer to it, as a release
// carries it.
type Golden = catalog.Golden

// Answerer is what an [Instance] may be besides: one that answers small
// questions which its domain asks every variant. A release carries the answers
// of its entries, and a host asks again before an entry serves.
//
// A question is a name from which its whole input follows, so a question that
// was asked once is answered for ever, and answering needs no data set and no
// clock. A domain whose input changes gives it a new name.
type Answerer interface {
	// Answer answers the questions in their order; none means all that the
	// domain asks today. A name that it never had wraps ErrUnsupported.
	Answer(ctx context.Context, questions ...string) ([]Golden, error)
}

// AskedOf returns which of a domain's questions are asked: all of them when
// none is named. A name that is not one of them wraps ErrUnsupported.
func AskedOf(all []string, named []string) ([]string, error) {
	if len(named) == 0 {
		return all, nil
	}
	for _, q := range named {
		if !slices.Contains(all, q) {
			return nil, fmt.Errorf("question %.80q, and this version knows %q: %w", q, all, ErrUnsupported)
		}
	}
	return named, nil
}

// AnswerEach answers those of a domain's questions that are asked, in their
// order. The answer's Question is filled in.
func AnswerEach(ctx context.Context, all, named []string, answer func(question string) Golden) ([]Golden, error) {
	asked, err := AskedOf(all, named)
	if err != nil {
		return nil, err
	}
	var out []Golden
	for _, q := range asked {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g := answer(q)
		g.Question = q
		out = append(out, g)
	}
	return out, nil
}

// GoldenBytes is an answer of bytes that are the same on every machine.
func GoldenBytes(question string, answer []byte) Golden {
	return Golden{Question: question, Digest: artifacts.DigestOf(answer)}
}
