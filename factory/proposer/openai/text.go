package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// What a question holds at most.
const (
	bestShown    = 12
	latestShown  = 8
	refusedShown = 6
	trialsKept   = 2000

	// A text that only looks like JSON must not cost more than reading it.
	textMax  = 256 << 10
	misreads = 500 // places that look like JSON and are none
)

type metric struct {
	Name      string `json:"name"`
	Unit      string `json:"unit"`
	Direction string `json:"direction"`
}

type space struct {
	Parameters  []parameter  `json:"parameters"`
	Constraints []constraint `json:"constraints"`
}

type parameter struct {
	Name    string           `json:"name"`
	Kind    string           `json:"kind"`
	Min     float64          `json:"min"`
	Max     float64          `json:"max"`
	Scale   string           `json:"scale"`
	Choices []string         `json:"choices"`
	When    map[string][]any `json:"when"`
}

type constraint struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
}

type trial struct {
	Point  json.RawMessage    `json:"point"`
	Loss   *float64           `json:"loss"`
	Values map[string]float64 `json:"values"`
	Failed string             `json:"failed"`
}

type refusal struct {
	Point  json.RawMessage `json:"point"`
	Reason string          `json:"reason"`
}

// notebook is what the program knows of its task.
type notebook struct {
	domain, context string
	metric          metric
	space           space
	baseline        json.RawMessage
	trials          []trial
	refused         []refusal
}

func (n *notebook) note(trials []trial, refused []refusal) {
	n.trials = append(n.trials, trials...)
	if extra := len(n.trials) - trialsKept; extra > 0 {
		n.trials = slices.Clone(n.trials[extra:])
	}
	n.refused = refused
}

// instructions are the model's part.
const instructions = `You tune the knobs of a program. You are shown the knobs, what has been measured,
and you propose settings that are worth measuring next: some close to the best
ones, some that test an idea about why they are good. Answer with JSON alone, in
this form: {"points":[{"point":{"knob":value,…},"why":"a few words"}]}. Leave out a knob to keep its
default. Do not repeat a setting that has been measured.`

// question is everything the model is told.
func (n *notebook) question(points int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The program is %s, in the situation %q. %s %s is better", n.domain, n.context, n.metric.Name, n.metric.Direction)
	if n.metric.Unit != "" {
		fmt.Fprintf(&b, " (unit: %s)", n.metric.Unit)
	}
	b.WriteString(".\n\nKnobs:\n")
	for _, p := range n.space.Parameters {
		b.WriteString("- " + p.words() + "\n")
	}
	for _, c := range n.space.Constraints {
		fmt.Fprintf(&b, "Always: %s\n", c.Expr)
	}
	fmt.Fprintf(&b, "\nToday's setting, loss 0: %s\n", n.baseline)
	b.WriteString("\nLoss says how good a setting is: below 0 is better than today, −1 is the most; above 1 breaks a limit.\n")
	list := func(title string, trials []trial) {
		if len(trials) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s:\n", title)
		for _, t := range trials {
			b.WriteString(t.words() + "\n")
		}
	}
	list("The best so far, best first", n.best())
	list("The latest, in order", n.trials[max(0, len(n.trials)-latestShown):])
	for i, r := range n.refused {
		if i == 0 {
			b.WriteString("\nNot taken from your last answer:\n")
		}
		if i < refusedShown {
			fmt.Fprintf(&b, "%s: %s\n", r.Point, r.Reason)
		}
	}
	fmt.Fprintf(&b, "\nPropose %d settings.", points)
	return b.String()
}

func (p parameter) words() string {
	s := fmt.Sprintf("%s: %s", p.Name, p.Kind)
	switch p.Kind {
	case "float", "int":
		s += fmt.Sprintf(" from %v to %v", p.Min, p.Max)
		if p.Scale == "log" {
			s += ", think in factors"
		}
	case "bool":
		s += ", true or false"
	case "permutation":
		s += ", an order of " + strings.Join(p.Choices, ", ") + " as a list of strings"
	default:
		s += ", one of " + strings.Join(p.Choices, ", ")
	}
	if len(p.When) > 0 {
		when, err := json.Marshal(p.When)
		if err == nil {
			s += ", only when " + string(when)
		}
	}
	return s
}

func (t trial) words() string {
	switch {
	case t.Failed != "":
		return fmt.Sprintf("%s failed: %s", t.Point, t.Failed)
	case t.Loss == nil:
		return fmt.Sprintf("%s failed", t.Point)
	}
	values, err := json.Marshal(t.Values)
	if err != nil || len(t.Values) == 0 {
		return fmt.Sprintf("%s loss %.4f", t.Point, *t.Loss)
	}
	return fmt.Sprintf("%s loss %.4f %s", t.Point, *t.Loss, values)
}

func (n *notebook) best() []trial {
	var good []trial
	for _, t := range n.trials {
		if t.Loss != nil {
			good = append(good, t)
		}
	}
	sort.SliceStable(good, func(i, j int) bool { return *good[i].Loss < *good[j].Loss })
	return good[:min(len(good), bestShown)]
}

// pointsIn reads at most limit points out of a text: JSON wherever it stands,
// in prose or in a code fence, as {"points":[…]}, as a list, or one by one. What
// looks like a point and is none is refused by the search.
func pointsIn(text string, limit int) (out []proposed) {
	b := []byte(text[:min(len(text), textMax)])
	missed := 0
	for i := 0; i < len(b) && len(out) < limit && missed < misreads; {
		k := bytes.IndexAny(b[i:], "{[")
		if k < 0 {
			break
		}
		i += k
		dec := json.NewDecoder(bytes.NewReader(b[i:]))
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			i++
			missed++
			continue
		}
		out = append(out, pointsOf(raw)...)
		i += int(dec.InputOffset())
	}
	return out[:min(len(out), limit)]
}

func pointsOf(raw json.RawMessage) (out []proposed) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, item := range list {
			out = append(out, pointsOf(item)...)
		}
		return out
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil || len(o) == 0 {
		return nil
	}
	if points, ok := o["points"]; ok && bytes.HasPrefix(points, []byte("[")) {
		return pointsOf(points)
	}
	if point, ok := o["point"]; ok && bytes.HasPrefix(point, []byte("{")) {
		var why string
		_ = json.Unmarshal(o["why"], &why) // a reason that is no text is no reason
		return []proposed{{Point: point, Origin: why}}
	}
	return []proposed{{Point: raw}}
}
