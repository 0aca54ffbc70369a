package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// ErrInjected is what a Faulty store returns when it is told to fail.
var ErrInjected = errors.New("injected crash")

// Faulty counts the writes of a store and crashes at one of them: from that
// write on, every operation fails, as for a process that was killed.
type Faulty struct {
	artifacts.Store
	// CrashAt is the write (1, 2, …) that crashes; 0 never does.
	CrashAt int
	// After lets the crashing write happen and loses only its answer.
	After bool

	mu     sync.Mutex
	writes int
	dead   bool
}

// Writes returns how many writes were tried.
func (f *Faulty) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Read fails once the store has crashed.
func (f *Faulty) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	f.mu.Lock()
	dead := f.dead
	f.mu.Unlock()
	if dead {
		return nil, ErrInjected
	}
	return f.Store.Read(ctx, name, limit)
}

// Create counts and may crash.
func (f *Faulty) Create(ctx context.Context, name string, b []byte) error {
	return f.write(func() error { return f.Store.Create(ctx, name, b) })
}

// Swap counts and may crash.
func (f *Faulty) Swap(ctx context.Context, name string, old, b []byte) error {
	return f.write(func() error { return f.Store.Swap(ctx, name, old, b) })
}

// Modified asks the store.
func (f *Faulty) Modified(ctx context.Context, name string) (time.Time, error) {
	s, ok := f.Store.(artifacts.Remover)
	if !ok {
		return time.Time{}, errors.New("not an artifacts.Remover")
	}
	return s.Modified(ctx, name)
}

// Remove counts and may crash.
func (f *Faulty) Remove(ctx context.Context, name string) error {
	s, ok := f.Store.(artifacts.Remover)
	if !ok {
		return errors.New("not an artifacts.Remover")
	}
	return f.write(func() error { return s.Remove(ctx, name) })
}

func (f *Faulty) write(do func() error) error {
	f.mu.Lock()
	f.writes++
	crash := !f.dead && f.writes == f.CrashAt
	wasDead := f.dead
	f.dead = f.dead || crash
	f.mu.Unlock()
	if wasDead || (crash && !f.After) {
		return ErrInjected
	}
	err := do()
	if crash {
		return ErrInjected
	}
	return err
}
