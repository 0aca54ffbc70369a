package cache

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/arqon/arqon/benchmarks"
)

// What a bundle holds.
const (
	fileName  = "policy.arqc"
	mediaType = "application/vnd.arqon.cache-policy"
)

// ErrBadPolicy is wrapped by every refusal of Open.
var ErrBadPolicy = errors.New("bad cache policy")

// part is one number of a policy: the size of a piece, in thousandths of the
// capacity unless it says otherwise.
type part struct {
	name          string
	min, max, def int
	log           bool
}

// kind is a policy that there is.
type kind struct {
	name  string
	parts []part
	make  func(capacity int, s *Strategy) policy
}

// kinds, by number. Numbers and the order of the parts are part of the file
// format: only ever add at the end.
var kinds = []kind{
	{"lru", nil, func(n int, _ *Strategy) policy { return newLRU(n) }},
	{"lfu", []part{
		{"lfu_count_max", 2, 255, 255, true},
		{"lfu_halve_every", 0, 64, 0, false}, // capacities of uses; 0: never
	}, func(n int, s *Strategy) policy { return newLFU(n, s.part(0), s.part(1)) }},
	{"sieve", nil, func(n int, _ *Strategy) policy { return newSieve(n, 1) }},
	{"s3fifo", []part{
		{"s3fifo_small", 5, 900, 100, true},
		{"s3fifo_ghost", 100, 3000, 900, true},
		{"s3fifo_threshold", 1, 3, 2, false}, // uses
	}, func(n int, s *Strategy) policy { return newS3FIFO(n, s.part(0), s.part(1), s.part(2)) }},
	{"wtinylfu", []part{
		{"wtinylfu_window", 5, 950, 10, true},
		{"wtinylfu_protected", 50, 950, 800, false},
	}, func(n int, s *Strategy) policy { return newTinyLFU(n, s.part(0), s.part(1)) }},
	{"arc", nil, func(n int, _ *Strategy) policy { return newARC(n) }},
	{"lirs", []part{
		{"lirs_queue", 2, 900, 10, true},
		{"lirs_ghost", 100, 3000, 2000, true},
	}, func(n int, s *Strategy) policy { return newLIRS(n, s.part(0), s.part(1)) }},
	{scoreName, []part{
		{"score_sample", 2, sampleMax, 16, true},
		{"score_admit", 0, 1, 0, false},
	}, func(n int, s *Strategy) policy { return newScored(n, s.part(0), s.part(1) == 1, s.program) }},
	{"twoqueue", []part{
		{"twoqueue_recent", 5, 900, 250, true},
		{"twoqueue_ghost", 100, 3000, 500, true},
	}, func(n int, s *Strategy) policy { return newTwoQueue(n, s.part(0), s.part(1)) }},
	{"climber", []part{
		{"climber_window", 1, 950, 10, true}, // where it starts
		{"climber_protected", 50, 950, 800, false},
		{"climber_step", 1, 250, 62, true},
		{"climber_every", 2, 200, 100, true},    // tenths of a capacity of uses
		{"climber_memory", 10, 2000, 100, true}, // tenths of a capacity of uses, after which the sketch is halved
		{"climber_luck", 0, 12, 0, false},       // one newcomer in 2^luck wins anyway; 0: none
	}, func(n int, s *Strategy) policy { return newClimber(n, s.climberParts()) }},
	{"sievek", []part{
		{"sievek_count_max", 2, 15, 3, true}, // uses
	}, func(n int, s *Strategy) policy { return newSieve(n, s.part(0)) }},
}

const scoreName = "score"

// Strategy is an eviction policy ready to run at any capacity. It does not
// change and may be shared.
type Strategy struct {
	kind    int
	parts   []uint16
	program program
}

func (s *Strategy) part(i int) int { return int(s.parts[i]) }

// Kind is the policy's family: "lru", "s3fifo", "score", ….
func (s *Strategy) Kind() string { return kinds[s.kind].name }

// String says what the policy is, with its parts.
func (s *Strategy) String() string {
	out := []string{s.Kind()}
	for i, p := range kinds[s.kind].parts {
		out = append(out, fmt.Sprintf("%s=%d", strings.TrimPrefix(p.name, s.Kind()+"_"), s.parts[i]))
	}
	if len(s.program) > 0 {
		out = append(out, "{"+s.program.String()+"}")
	}
	return strings.Join(out, " ")
}

// BuiltIn is what a host falls back to without a catalog: LRU.
func BuiltIn() *Strategy { return &Strategy{} }

// Families are the policies of every family with their default parts, LRU
// first: what shadows recognise traffic by. Programs are not among them.
func Families() []*Strategy {
	var out []*Strategy
	for i, k := range kinds {
		if k.name == scoreName {
			continue
		}
		s := &Strategy{kind: i}
		for _, p := range k.parts {
			s.parts = append(s.parts, uint16(p.def))
		}
		out = append(out, s)
	}
	return out
}

func (s *Strategy) start(capacity int) policy { return kinds[s.kind].make(capacity, s) }

// Names of the program's parameters: op0, a0, b0, c0, op1, ….
func opName(i int) string              { return "op" + strconv.Itoa(i) }
func operandParameter(k, i int) string { return string("abc"[k]) + strconv.Itoa(i) }

// strategyOf reads a normalized point. What the space allows and the limits of
// a program do not is a bad candidate.
func strategyOf(p benchmarks.Point) (*Strategy, error) {
	name, _ := p[paramPolicy].(string)
	s := &Strategy{kind: slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })}
	if s.kind < 0 {
		return nil, fmt.Errorf("policy %q: %w", name, benchmarks.ErrBadCandidate)
	}
	for _, x := range kinds[s.kind].parts {
		v, _ := p[x.name].(int64)
		s.parts = append(s.parts, uint16(v))
	}
	if name == scoreName {
		length, _ := p[paramLength].(string)
		n, err := strconv.Atoi(length)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", paramLength, length, benchmarks.ErrBadCandidate)
		}
		for i := range n {
			op, _ := p[opName(i)].(string)
			in := instruction{op: operation(slices.IndexFunc(opChoices(), func(o string) bool { return o == op }))}
			for k, to := range []*uint8{&in.a, &in.b, &in.c} {
				v, _ := p[operandParameter(k, i)].(string)
				if at := slices.Index(operandChoices(i), v); at >= 0 {
					*to = operandNumbers(i)[at]
				}
			}
			s.program = append(s.program, in)
		}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, benchmarks.ErrBadCandidate)
	}
	return s, nil
}

func (s *Strategy) check() error {
	k := kinds[s.kind]
	for i, p := range k.parts {
		if v := s.part(i); v < p.min || v > p.max {
			return fmt.Errorf("%s is %d: want %d to %d", p.name, v, p.min, p.max)
		}
	}
	if k.name == scoreName {
		return s.program.check(s.part(0))
	}
	return nil
}

// The file: everything little-endian, nothing optional, nothing after it.
//
//	"ARQC" version(1) kind(1) part(2)… [ instructions(1) { op a b c }… ]
const (
	magic       = "ARQC"
	fileVersion = 1
	headerBytes = len(magic) + 2
)

// Encode writes the file that Open reads.
func (s *Strategy) Encode() []byte {
	b := append([]byte(magic), fileVersion, byte(s.kind))
	for _, v := range s.parts {
		b = append(b, byte(v), byte(v>>8))
	}
	if s.Kind() == scoreName {
		b = append(b, byte(len(s.program)))
		for _, in := range s.program {
			b = append(b, byte(in.op), in.a, in.b, in.c)
		}
	}
	return b
}

// Open reads a policy file, strictly: a length that does not fit, a part out
// of range or a program over its limits is an error wrapping ErrBadPolicy.
func Open(b []byte) (*Strategy, error) {
	s, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadPolicy, err)
	}
	return s, nil
}

func decode(b []byte) (*Strategy, error) {
	if len(b) < headerBytes || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("does not begin with %q", magic)
	}
	if v := b[len(magic)]; v != fileVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", v, fileVersion)
	}
	s := &Strategy{kind: int(b[len(magic)+1])}
	if s.kind >= len(kinds) {
		return nil, fmt.Errorf("policy %d is not one of the %d known", s.kind, len(kinds))
	}
	b = b[headerBytes:]
	n := len(kinds[s.kind].parts)
	if len(b) < 2*n {
		return nil, fmt.Errorf("ends inside the parts of %s", s.Kind())
	}
	for i := range n {
		s.parts = append(s.parts, uint16(b[2*i])|uint16(b[2*i+1])<<8)
	}
	b = b[2*n:]
	if s.Kind() == scoreName {
		if len(b) < 1 || len(b) < 1+4*int(b[0]) {
			return nil, errors.New("ends inside the program")
		}
		code := b[1 : 1+4*int(b[0])]
		b = b[1+len(code):]
		for c := range slices.Chunk(code, 4) {
			s.program = append(s.program, instruction{operation(c[0]), c[1], c[2], c[3]})
		}
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes after the end", len(b))
	}
	return s, s.check()
}
