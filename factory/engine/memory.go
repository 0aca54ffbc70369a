package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

// Memory keeps the loss of every point told, so that an engine never spends an
// evaluation on a point that it knows. The zero Memory is empty.
type Memory struct {
	loss map[string]float64
}

// Key names a normalized point.
func Key(p benchmarks.Point) string { return string(p.Digest()) }

// Loss returns what the point of that key was told.
func (m *Memory) Loss(key string) (float64, bool) {
	l, ok := m.loss[key]
	return l, ok
}

// Add remembers a loss; the last one told counts.
func (m *Memory) Add(key string, loss float64) {
	if m.loss == nil {
		m.loss = make(map[string]float64)
	}
	m.loss[key] = Worst(loss)
}

// Len is the number of points known.
func (m *Memory) Len() int { return len(m.loss) }

// MarshalJSON writes the memory in the order of its keys.
func (m *Memory) MarshalJSON() ([]byte, error) {
	s := struct {
		Keys []string `json:"keys"`
		Loss []Loss   `json:"loss"`
	}{Keys: slices.Sorted(maps.Keys(m.loss))}
	for _, k := range s.Keys {
		s.Loss = append(s.Loss, Loss(m.loss[k]))
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Memory) UnmarshalJSON(b []byte) error {
	var s struct {
		Keys []string `json:"keys"`
		Loss []Loss   `json:"loss"`
	}
	if err := decodeStrict(b, &s); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	if len(s.Keys) != len(s.Loss) {
		return fmt.Errorf("memory: %d keys and %d losses", len(s.Keys), len(s.Loss))
	}
	m.loss = make(map[string]float64, len(s.Keys))
	for i, k := range s.Keys {
		if _, twice := m.loss[k]; twice {
			return fmt.Errorf("memory: key %.20q twice", k)
		}
		m.loss[k] = float64(s.Loss[i])
	}
	return nil
}

// Opening returns the start points of a configuration, normalized, each once,
// in order. A start point that the space refuses is an error: the caller's
// baseline must be measurable.
func (c Config) Opening() ([]benchmarks.Point, error) {
	var out []benchmarks.Point
	seen := map[string]bool{}
	for i, p := range c.Start {
		q, err := c.Space.Normalize(p)
		if err != nil {
			return nil, fmt.Errorf("start point %d: %w", i, err)
		}
		if k := Key(q); !seen[k] {
			seen[k] = true
			out = append(out, q)
		}
	}
	return out, nil
}

// Fold reflects a coordinate into the unit interval, as light in a mirror.
func Fold(u float64) float64 {
	if u >= 0 && u <= 1 {
		return u
	}
	u = math.Abs(math.Mod(u, 2))
	if u > 1 {
		u = 2 - u
	}
	return u
}
