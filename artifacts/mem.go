package artifacts

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// Mem is a Store in memory: for scratch repositories that live as long as a
// process, such as the one a canary is staged from. It may be shared between
// goroutines. Make one with NewMem.
type Mem struct {
	mu       sync.Mutex
	objects  map[string][]byte
	modified map[string]time.Time
}

// NewMem returns an empty store.
func NewMem() *Mem { return &Mem{objects: map[string][]byte{}, modified: map[string]time.Time{}} }

// Read returns a copy of the object.
func (m *Mem) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := enter(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %d bytes, limit %d: %w", name, len(b), limit, ErrTooLarge)
	}
	return bytes.Clone(b), nil
}

// Create writes an object that must not exist.
func (m *Mem) Create(ctx context.Context, name string, b []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[name]; ok {
		return fmt.Errorf("%s: %w", name, ErrExists)
	}
	m.objects[name], m.modified[name] = copied(b), time.Now()
	return nil
}

// Swap replaces old by b; nil old means that the object must not exist.
func (m *Mem) Swap(ctx context.Context, name string, old, b []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.objects[name]
	if ok == (old == nil) || !bytes.Equal(have, old) {
		return fmt.Errorf("%s: %w", name, ErrConflict)
	}
	m.objects[name], m.modified[name] = copied(b), time.Now()
	return nil
}

// Modified returns when the object was written last.
func (m *Mem) Modified(ctx context.Context, name string) (time.Time, error) {
	if err := enter(ctx, name); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.modified[name]
	if !ok {
		return t, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return t, nil
}

// Remove takes the object away.
func (m *Mem) Remove(ctx context.Context, name string) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	delete(m.modified, name)
	return nil
}

// List returns the names that begin with prefix, ascending.
func (m *Mem) List(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for n := range m.objects {
		if strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return names, nil
}

// Get reads a blob by reference.
func (m *Mem) Get(ctx context.Context, ref Ref) ([]byte, error) { return GetBlob(ctx, m, ref) }

// Put stores a blob under its digest.
func (m *Mem) Put(ctx context.Context, b []byte) (Digest, error) { return PutBlob(ctx, m, b) }

// copied returns a copy of b that is never nil.
func copied(b []byte) []byte { return append([]byte{}, b...) }

// enter is what every operation on a named object checks first.
func enter(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckName(name)
}
