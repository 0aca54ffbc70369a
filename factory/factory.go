// Package factory finds candidates: it reads a study, lets engines ask for
// points, measures them, tells the results back in ask order, and hands the
// best ones, built and with their lineage, to the gates. It also knows the
// order of a night (Run): discover, judge, report, hand over.
//
// Every decision is a pure function of (study, seed, journal), never of the
// clock or of completion order: the same journal comes out for 1, 2 or 8
// workers and after a kill at any point. What the search measured is a claim;
// the factory approves nothing and signs nothing, and it draws nothing on a
// terminal.
package factory

import (
	goruntime "runtime"
)

// evaluationsMax bounds a study's budget and with it the journal.
const evaluationsMax = 1_000_000

// Progress hears what a night is doing. Calls come from one goroutine. A nil
// Progress is deaf.
type Progress interface {
	// Say is one line of the story.
	Say(line string)
	// Step is a named amount of work, done out of total (total 0: unknown),
	// with a note for people such as the best so far.
	Step(name string, done, total int, note string)
}

// deaf is the Progress of a caller that gave none.
type deaf struct{}

func (deaf) Say(string)                    {}
func (deaf) Step(string, int, int, string) {}

func heard(p Progress) Progress {
	if p == nil {
		return deaf{}
	}
	return p
}

func defaultWorkers() int { return min(goruntime.GOMAXPROCS(0), workersMax) }
