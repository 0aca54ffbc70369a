package cache

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The limits of a scoring program. There are no loops, so the cost of a
// program is the sum of its instructions and known before it runs.
const (
	instructionsMax = 6
	costMax         = 24  // of one program
	decisionCostMax = 288 // of one eviction: (cost + costOfSample) × sample
	costOfSample    = 2
	sampleMax       = 64
)

// operation is what an instruction does.
type operation uint8

// operations, by number. Numbers are part of the file format.
var operations = []struct {
	name  string
	arity int
	cost  int
}{
	{"add", 2, 1}, {"sub", 2, 1}, {"mul", 2, 1}, {"div", 2, 4}, {"min", 2, 1}, {"max", 2, 1},
	{"log", 1, 3}, {"neg", 1, 1}, {"less", 2, 1}, {"pick", 3, 1},
}

const (
	opAdd operation = iota
	opSub
	opMul
	opDiv
	opMin
	opMax
	opLog
	opNeg
	opLess // of two numbers: a truth
	opPick // of a truth and two numbers: the first if true
)

// features are what a program knows of an entry, by operand number; the
// results of earlier instructions follow. Times are uses of the cache over its
// capacity, so that a program means the same at any size.
var features = []string{
	"recency", // since the last use
	"age",     // since it came in
	"gap",     // between the last two uses; the age while there was one
	"count",   // uses since it came in
	"freq",    // uses that a decaying sketch remembers, 0 to 15, of times before it came in too
	"size",    // bytes over 1,024
	"one",
	"sixteenth",
}

// moreFeatures are numbered after the results, because files name operands by
// number and the first eight came first.
var moreFeatures = []string{
	"reuse",   // between the last two uses, those before it came in too; farReuse if none is remembered
	"missed",  // share of misses among the latest uses when it came in: near 1 in a scan, 0 to 1
	"decayed", // uses since it came in, an old one counting half after a capacity
	"often",   // uses, those before it came in too, an old one counting half after 16 capacities
}

const (
	ofRecency = iota
	ofAge
	ofGap
	ofCount
	ofFreq
	ofSize
	ofOne
	ofSixteenth
	featureCount
)

// Where the features of moreFeatures lie.
const (
	ofReuse = featureCount + instructionsMax + iota
	ofMissed
	ofDecayed
	ofOften
	registers
)

// known reports whether instruction i may refer to an operand.
func known(operand uint8, i int) bool {
	return int(operand) < featureCount+i || operand >= ofReuse && operand < registers
}

// uses reports whether the program refers to an operand.
func (p program) uses(operand uint8) bool {
	return slices.ContainsFunc(p, func(in instruction) bool {
		for k, r := range [3]uint8{in.a, in.b, in.c} {
			if k < operations[in.op].arity && r == operand {
				return true
			}
		}
		return false
	})
}

// instruction computes one register from others.
type instruction struct {
	op      operation
	a, b, c uint8
}

// program scores an entry; the lowest score goes. The result is the last
// instruction's.
type program []instruction

// errProgram is wrapped by every refusal of a program.
var errProgram = errors.New("scoring program")

// check refuses what is not well typed, refers to later results, or costs too
// much.
func (p program) check(sample int) error {
	if len(p) < 1 || len(p) > instructionsMax {
		return fmt.Errorf("%w: %d instructions, want 1 to %d", errProgram, len(p), instructionsMax)
	}
	if sample < 1 || sample > sampleMax {
		return fmt.Errorf("%w: a sample of %d, want 1 to %d", errProgram, sample, sampleMax)
	}
	var truth [registers]bool
	for i, in := range p {
		if int(in.op) >= len(operations) {
			return fmt.Errorf("%w: instruction %d: operation %d is unknown", errProgram, i, in.op)
		}
		what := operations[in.op]
		for k, r := range [3]uint8{in.a, in.b, in.c} {
			if k >= what.arity {
				if r != 0 {
					return fmt.Errorf("%w: instruction %d: %s has %d operands", errProgram, i, what.name, what.arity)
				}
				continue
			}
			if !known(r, i) {
				return fmt.Errorf("%w: instruction %d: operand %d is not known yet", errProgram, i, r)
			}
			if want := in.op == opPick && k == 0; truth[r] != want {
				return fmt.Errorf("%w: instruction %d: %s wants a %s as operand %d", errProgram, i, what.name, typeName(want), k+1)
			}
		}
		truth[featureCount+i] = in.op == opLess
	}
	if truth[featureCount+len(p)-1] {
		return fmt.Errorf("%w: the last instruction gives a truth, want a number", errProgram)
	}
	cost := p.cost()
	if cost > costMax {
		return fmt.Errorf("%w: costs %d, at most %d", errProgram, cost, costMax)
	}
	if all := (cost + costOfSample) * sample; all > decisionCostMax {
		return fmt.Errorf("%w: an eviction costs %d (%d for each of %d entries), at most %d", errProgram, all, cost+costOfSample, sample, decisionCostMax)
	}
	return nil
}

func typeName(truth bool) string {
	if truth {
		return "truth"
	}
	return "number"
}

func (p program) cost() int {
	c := 0
	for _, in := range p {
		c += operations[in.op].cost
	}
	return c
}

// valueMax bounds every result, so that no infinity and no NaN can arise.
const (
	valueMax   = 1e30
	divisorMin = 1e-9
)

// run scores an entry; r holds its features. The program has passed check.
func (p program) run(r *[registers]float64) float64 {
	v := 0.0
	for i, in := range p {
		a, b := r[in.a%registers], r[in.b%registers]
		switch in.op {
		case opAdd:
			v = a + b
		case opSub:
			v = a - b
		case opMul:
			v = a * b
		case opDiv:
			if math.Abs(b) < divisorMin {
				b = divisorMin
			}
			v = a / b
		case opMin:
			v = min(a, b)
		case opMax:
			v = max(a, b)
		case opLog:
			v = log2(1 + math.Abs(a))
		case opNeg:
			v = -a
		case opLess:
			v = 0
			if a < b {
				v = 1
			}
		case opPick:
			v = r[in.c%registers]
			if a != 0 {
				v = b
			}
		}
		v = min(valueMax, max(-valueMax, v))
		r[featureCount+i] = v
	}
	return v
}

// log2 of x ≥ 1: the exponent plus a straight line through the mantissa, off
// by at most .09. Monotone, equal on every architecture, and ten times faster
// than the exact one.
func log2(x float64) float64 {
	b := math.Float64bits(x)
	return float64(int(b>>52)-1024) + math.Float64frombits(b&(1<<52-1)|1023<<52)
}

// String writes the program as a person would: "r0 = add recency gap; …".
func (p program) String() string {
	var out []string
	for i, in := range p {
		line := fmt.Sprintf("r%d = %s", i, operations[in.op].name)
		for k, r := range [3]uint8{in.a, in.b, in.c} {
			if k < operations[in.op].arity {
				line += " " + operandName(r)
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

func operandName(r uint8) string {
	switch {
	case int(r) < featureCount:
		return features[r]
	case r >= ofReuse:
		return moreFeatures[r-ofReuse]
	}
	return fmt.Sprintf("r%d", int(r)-featureCount)
}
