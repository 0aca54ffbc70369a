package factory

import (
	"encoding/json"
	"fmt"

	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/qd"
)

// Archive is the map of one context: the best feasible point that the search
// has measured in each cell of a grid, whichever engine asked for it.
type Archive struct {
	Context string        `json:"context"`
	Axes    []ArchiveAxis `json:"axes"`
	Cells   int           `json:"cells"` // how many there are
	Better  int           `json:"better"`
	// Score is the QD-score against the baseline: the sum of what the elites
	// that are better than the baseline save, as losses.
	Score  float64      `json:"score"`
	Elites []ArchiveOne `json:"elites"` // in the order of the cells
}

// ArchiveAxis is a descriptor with its bins.
type ArchiveAxis struct {
	engine.Descriptor
	Labels []string `json:"labels"`
}

// ArchiveOne is the best point of a cell.
type ArchiveOne struct {
	Bins        []int              `json:"bins"` // one an axis: index in its labels
	Point       json.RawMessage    `json:"point"`
	Loss        float64            `json:"loss"`
	Values      map[string]float64 `json:"values"`
	Change      map[string]float64 `json:"change"`
	Engine      string             `json:"engine"`
	Origin      string             `json:"origin"`
	Observation int                `json:"observation"` // index in Account.Observations
}

// Archives maps every context of the account by the descriptors; nil means
// those of the study. An error wraps qd.ErrDescriptor.
func (a Account) Archives(descriptors []engine.Descriptor) ([]Archive, error) {
	if descriptors == nil {
		descriptors = a.Study.Descriptors
	}
	grid, err := qd.NewGrid(a.Description.Space, descriptors)
	if err != nil {
		return nil, err
	}
	var out []Archive
	for _, sc := range a.Description.Scenarios {
		var elites qd.Archive
		for i, o := range a.Observations {
			if o.Context != sc.Name || o.Purpose != ForSearch || o.Cached || !o.Feasible() {
				continue
			}
			if cell, ok := grid.Cell(o.Point, o.Values); ok {
				elites.Add(qd.Elite{Cell: cell, Point: o.Point, Loss: o.Loss, Trial: i})
			}
		}
		x := Archive{Context: sc.Name, Cells: grid.Cells(), Score: elites.Score(0), Elites: []ArchiveOne{}}
		for _, axis := range grid.Axes {
			x.Axes = append(x.Axes, ArchiveAxis{Descriptor: axis.Descriptor, Labels: axis.Labels})
		}
		for _, e := range elites.Elites() {
			o := a.Observations[e.Trial]
			if e.Loss < 0 {
				x.Better++
			}
			x.Elites = append(x.Elites, ArchiveOne{
				Bins: grid.Bins(e.Cell), Point: e.Point.Canonical(), Loss: e.Loss, Values: o.Values, Change: o.Change,
				Engine: o.Engine, Origin: o.Origin, Observation: e.Trial,
			})
		}
		out = append(out, x)
	}
	return out, nil
}

// fileArchive is the map of the run, if its study names descriptors.
const (
	fileArchive   = "archive.json"
	archiveSchema = "arqon-archive/1"
)

type archiveFile struct {
	Schema   string    `json:"schema"`
	Contexts []Archive `json:"contexts"`
}

// keepArchive writes the run's map off its journal once the search has ended.
func (r *Run) keepArchive() error {
	if len(r.Study.Descriptors) == 0 {
		return nil
	}
	a, err := ReadAccount(r.Path)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	found, err := a.Archives(nil)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(archiveFile{Schema: archiveSchema, Contexts: found}, "", " ")
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return r.write(fileArchive, append(b, '\n'))
}
