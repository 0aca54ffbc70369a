package universe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// lawFile is a law as it is written: expressions as text, one word one node,
// "add(cell.0,mul(knob.4,const.-2.5))".
type lawFile struct {
	Name     string        `json:"name"`
	Start    Start         `json:"start"`
	Channels []channelFile `json:"channels"`
	Knobs    []knobFile    `json:"knobs"`
}

type channelFile struct {
	Name string  `json:"name"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	Next string  `json:"next"`
}

type knobFile struct {
	Name    string  `json:"name"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Default float64 `json:"default"`
	Reach   float64 `json:"reach,omitempty"`
}

// lawBytesMax bounds a law's text.
const lawBytesMax = 64 << 10

// Encode writes the law's one text form. The law must pass Check.
func (l Law) Encode() []byte {
	out := lawFile{Name: l.Name, Start: l.Start, Channels: []channelFile{}, Knobs: []knobFile{}}
	for _, c := range l.Channels {
		out.Channels = append(out.Channels, channelFile{c.Name, c.Min, c.Max, c.Next.String()})
	}
	for _, k := range l.Knobs {
		out.Knobs = append(out.Knobs, knobFile(k))
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(fmt.Sprintf("law %s passed its check and has no text: %v", l.Name, err))
	}
	return b
}

// DecodeLaw reads and checks a law. Every refusal wraps ErrBadLaw.
func DecodeLaw(b []byte) (Law, error) {
	l, err := decodeLaw(b)
	if err != nil {
		return Law{}, fmt.Errorf("%w: %w", ErrBadLaw, err)
	}
	return l, l.Check()
}

func decodeLaw(b []byte) (Law, error) {
	var in lawFile
	if err := strictJSON(b, lawBytesMax, &in); err != nil {
		return Law{}, err
	}
	l := Law{Name: in.Name, Start: in.Start}
	if len(in.Channels) > channelsMax || len(in.Knobs) > knobsMax {
		return Law{}, fmt.Errorf("%d channels and %d knobs, at most %d and %d", len(in.Channels), len(in.Knobs), channelsMax, knobsMax)
	}
	for _, c := range in.Channels {
		p := exprReader{text: c.Next, left: exprsMax}
		e, err := p.expr(depthMax)
		if err == nil && p.text != "" {
			err = fmt.Errorf("%.20q after the end", p.text)
		}
		if err != nil {
			return Law{}, fmt.Errorf("channel %.40q: %w", c.Name, err)
		}
		l.Channels = append(l.Channels, Channel{c.Name, c.Min, c.Max, e})
	}
	for _, k := range in.Knobs {
		l.Knobs = append(l.Knobs, LawKnob(k))
	}
	return l, nil
}

// strictJSON reads one value without unknown fields and nothing after it.
func strictJSON(b []byte, most int, into any) error {
	if len(b) > most {
		return fmt.Errorf("%d bytes, at most %d", len(b), most)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the end")
	}
	return nil
}

// String writes the expression as a law's text does.
func (e *Expr) String() string {
	if e == nil {
		return "nothing"
	}
	var b strings.Builder
	b.WriteString(e.Op.String())
	switch {
	case e.Op == Const:
		b.WriteString("." + strconv.FormatFloat(e.Value, 'g', -1, 64))
	case e.Op < opCount && ops[e.Op].indexed:
		b.WriteString("." + strconv.Itoa(e.Index))
	case e.Op < opCount:
		for i, operand := range []*Expr{e.A, e.B, e.C}[:ops[e.Op].arity] {
			b.WriteByte("(,,"[i])
			b.WriteString(operand.String())
		}
		b.WriteByte(')')
	}
	return b.String()
}

// exprReader reads what String wrote.
type exprReader struct {
	text string
	left int // nodes that may still come
}

func (r *exprReader) expr(depth int) (*Expr, error) {
	if r.left--; r.left < 0 || depth == 0 {
		return nil, fmt.Errorf("deeper than %d or more than %d nodes", depthMax, exprsMax)
	}
	end := strings.IndexAny(r.text, "(),")
	if end < 0 {
		end = len(r.text)
	}
	word := r.text[:end]
	r.text = r.text[end:]
	name, rest, indexed := strings.Cut(word, ".")
	e := &Expr{Op: opCount}
	for op := range opCount {
		if ops[op].name == name {
			e.Op = op
		}
	}
	if e.Op == opCount {
		return nil, fmt.Errorf("%.40q is no operation", word)
	}
	if what := ops[e.Op]; (e.Op == Const || what.indexed) != indexed {
		return nil, fmt.Errorf("%.40q: a number belongs to constants, knobs and channels", word)
	}
	var err error
	if e.Op == Const {
		e.Value, err = strconv.ParseFloat(rest, 64)
	} else if indexed {
		e.Index, err = strconv.Atoi(rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%.40q: %w", word, err)
	}
	for i, to := range []**Expr{&e.A, &e.B, &e.C}[:ops[e.Op].arity] {
		if r.text == "" || r.text[0] != "(,,"[i] {
			return nil, fmt.Errorf("%v: want %q before operand %d", e.Op, "(,,"[i], i+1)
		}
		r.text = r.text[1:]
		if *to, err = r.expr(depth - 1); err != nil {
			return nil, err
		}
	}
	if ops[e.Op].arity > 0 {
		if r.text == "" || r.text[0] != ')' {
			return nil, fmt.Errorf("%v: want ')'", e.Op)
		}
		r.text = r.text[1:]
	}
	return e, nil
}
