package publish

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// Many publishers at once would all prepare the next commit, one would win,
// and the work of the others would be wasted; the winner, who knows the new
// head first, would win again. So a publisher that has lost a race, or that
// sees somebody waiting, takes turns: whose turn it is stands in one small
// object of the store. It is politeness and nothing rests on it: a commit is
// what it was, a turn that cannot be read or written is done without, and the
// turn of a publisher that died, or that is too slow, is taken over.
const (
	turnName = "proposals/turn"
	maxTurn  = 256 // bytes of it

	turnPause    = 40 * time.Millisecond // longest, between two looks
	turnPatience = 40                    // looks at one publisher's turn before it is taken over
	turnLooks    = 40 * turnPatience     // looks before a try is made without a turn
)

var turnFree = []byte("free ")

// turn is one call's place among the publishers.
type turn struct {
	store artifacts.Store
	mine  []byte // what stands in the store while it is this call's turn
	queue bool   // it lost a race or saw somebody waiting: it wants a turn
}

// await returns when it is this call's turn, or when nobody else wants one.
// Its only error is that of ctx.
func (t *turn) await(ctx context.Context) error {
	var seen []byte
	same := 0
	for range turnLooks {
		have, err := t.store.Read(ctx, turnName, maxTurn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, artifacts.ErrNotFound) {
			have, err = nil, nil
		}
		free := have == nil || bytes.HasPrefix(have, turnFree)
		if err != nil || (free && !t.queue) || (t.mine != nil && bytes.Equal(have, t.mine)) {
			return nil
		}
		t.queue = true
		if bytes.Equal(have, seen) {
			same++
		} else {
			seen, same = have, 0
		}
		if (free || same >= turnPatience) && t.take(ctx, have) {
			return nil
		}
		if err := pause(ctx, turnPause); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) take(ctx context.Context, have []byte) bool {
	mine := turnWord("taken ")
	if err := t.store.Swap(ctx, turnName, have, mine); err != nil {
		return false // somebody was faster, or it cannot be written: look again
	}
	t.mine = mine
	return true
}

// leave gives the turn back.
func (t *turn) leave(ctx context.Context) {
	if t.mine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = t.store.Swap(ctx, turnName, t.mine, turnWord(string(turnFree))) // else it is taken over
	t.mine = nil
}

// turnWord is never the same twice: stores compare by content.
func turnWord(what string) []byte {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return []byte(what + hex.EncodeToString(b[:]) + "\n")
}

// pause waits for a random part of longest.
func pause(ctx context.Context, longest time.Duration) error {
	var b [1]byte
	_, _ = rand.Read(b[:])
	short, cancel := context.WithTimeout(ctx, longest*time.Duration(1+int(b[0]))/256)
	defer cancel()
	<-short.Done()
	return ctx.Err()
}

// retry runs do again while it loses races to other publishers or, if also is
// given, while it fails with that; a bounded number of times, in turns.
func (r *Repository) retry(ctx context.Context, do func() error, also error) error {
	t := turn{store: r.Store}
	defer func() { t.leave(ctx) }()
	var err error
	for range maxRaces {
		if err := t.await(ctx); err != nil {
			return err
		}
		if err = do(); !errors.Is(err, errRace) && (also == nil || !errors.Is(err, also)) {
			return err
		}
		t.queue = true
	}
	return fmt.Errorf("%d tries: %w: %w", maxRaces, err, artifacts.ErrConflict)
}
