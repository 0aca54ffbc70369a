package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
)

// elitesMax bounds the points of a context that a search begins with.
const elitesMax = 4

// Elite is a point that did well in a context on an earlier night. A search
// that is given elites asks for them right after the baseline; they are judged
// by tonight's samples alone.
type Elite struct {
	Context string          `json:"context"`
	Point   json.RawMessage `json:"point"`
	From    string          `json:"from"` // the run, or the release
}

// Elites are the winners of a search, best first in every context.
func (a Account) Elites() []Elite {
	var out []Elite
	for _, w := range a.Winners {
		out = append(out, Elite{Context: w.Context, Point: w.Point.Canonical(), From: a.Run})
	}
	return out
}

// ElitesOf are the variants of a release in the contexts that they serve.
func ElitesOf(r catalog.Release) []Elite {
	var out []Elite
	for _, e := range r.Entries {
		for _, c := range e.Envelope.Contexts {
			out = append(out, Elite{Context: c, Point: e.Variant.Point, From: fmt.Sprintf("%s release %d", r.Channel, r.Sequence)})
		}
	}
	return out
}

// KeepElites gives a new run the elites that its search begins with.
func (r *Run) KeepElites(elites []Elite) error {
	b, err := json.Marshal(elites)
	if err != nil {
		return fmt.Errorf("%s: %w", r.file(fileElites), err)
	}
	if len(b) > maxRunBytes {
		return fmt.Errorf("%s: %d bytes of elites, at most %d", r.file(fileElites), len(b), maxRunBytes)
	}
	return r.write(fileElites, append(b, '\n'))
}

// elites reads them back, by context. What the space of today does not hold is
// left out: a space may change between nights.
func (r *Run) elites(d benchmarks.Description) (map[string][]benchmarks.Point, error) {
	b, err := readLimited(r.file(fileElites), maxRunBytes+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Elite
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", r.file(fileElites), err)
	}
	out := map[string][]benchmarks.Point{}
	for _, e := range list {
		p, err := benchmarks.DecodePoint(d.Space, e.Point)
		if _, known := d.Scenario(e.Context); err == nil && known && len(out[e.Context]) < elitesMax {
			out[e.Context] = append(out[e.Context], p)
		}
	}
	return out, nil
}

// elitesDigest ties a journal to the elites that its search began with; "" for
// none.
func elitesDigest(elites map[string][]benchmarks.Point) (artifacts.Digest, error) {
	if len(elites) == 0 {
		return "", nil
	}
	b, err := json.Marshal(elites) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("elites: %w", err)
	}
	return artifacts.DigestOf(b), nil
}

// start is what the engines of a context begin with: what runs today, what the
// domain says is worth a look, then the elites.
func (d Discovery) start(baseline benchmarks.Point, context string) []benchmarks.Point {
	out := []benchmarks.Point{baseline.Clone()}
	for _, p := range d.Description.Starts {
		out = append(out, p.Clone())
	}
	for _, p := range d.Elites[context] {
		out = append(out, p.Clone())
	}
	return out
}
