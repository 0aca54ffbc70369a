package qd

import (
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

// Elite is the best point known of a cell.
type Elite struct {
	Cell  int
	Point benchmarks.Point
	Loss  float64
	Trial int // the caller's number of the trial that found it
}

// Archive keeps the best point of every cell (MAP-Elites, Mouret & Clune
// arXiv:1504.04909). The zero Archive is empty.
type Archive struct {
	at       map[int]int // by cell: index in elites
	elites   []Elite     // in the order in which the cells were first reached
	occupied []int       // cells, ascending
}

// Change says what a point did to an archive.
type Change int

// What Add answers.
const (
	Rejected Change = iota // worse than the cell's elite, or not a loss at all
	Improved               // it took an elite's place
	Opened                 // it is the first of its cell
)

// Add offers a point. gain is how much lower its loss is than the elite's that
// it met; it is not positive when the point was rejected, and 0 in a new cell.
func (a *Archive) Add(e Elite) (what Change, gain float64) {
	if math.IsNaN(e.Loss) || math.IsInf(e.Loss, 0) {
		return Rejected, math.Inf(-1)
	}
	i, known := a.at[e.Cell]
	if !known {
		if a.at == nil {
			a.at = map[int]int{}
		}
		a.at[e.Cell] = len(a.elites)
		a.elites = append(a.elites, e)
		k, _ := slices.BinarySearch(a.occupied, e.Cell)
		a.occupied = slices.Insert(a.occupied, k, e.Cell)
		return Opened, 0
	}
	gain = a.elites[i].Loss - e.Loss
	if gain > 0 {
		a.elites[i] = e
		return Improved, gain
	}
	return Rejected, gain
}

// missed is how much lower a loss is than that of its cell's elite: not
// positive for a point that the archive has seen. −Inf without an elite.
func (a *Archive) missed(cell int, loss float64) float64 {
	i, known := a.at[cell]
	if !known {
		return math.Inf(-1)
	}
	return a.elites[i].Loss - loss
}

// Len is the number of cells reached.
func (a *Archive) Len() int { return len(a.elites) }

// Elites returns the elites in the order of their cells.
func (a *Archive) Elites() []Elite {
	out := make([]Elite, len(a.occupied))
	for i, c := range a.occupied {
		out[i] = a.elites[a.at[c]]
	}
	return out
}

// nth is the elite of the k-th occupied cell, in the order of the cells.
func (a *Archive) nth(k int) Elite { return a.elites[a.at[a.occupied[k]]] }

// Score is the QD-score with a reference loss: the sum over the cells of how
// far their elites are below it (Pugh, Soros & Stanley 2016).
func (a *Archive) Score(reference float64) float64 {
	sum := 0.0
	for _, e := range a.Elites() {
		sum += math.Max(0, reference-e.Loss)
	}
	return sum
}
