package factory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"sort"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// Candidates is what a search hands to the gates.
type Candidates struct {
	Run         string
	Baseline    benchmarks.Bundle
	List        []gates.Candidate // references first, then by context, best first
	Portfolio   gates.Portfolio
	Stop        string // why the search ended
	Evaluations int
	JournalHead string // ties the candidates to the journal that led to them
}

// Blobs keeps bundles by digest.
type Blobs interface {
	artifacts.Getter
	artifacts.Putter
}

// MakeCandidates builds the finalists of a search, and the baseline as a
// reference in every context whose limits it keeps. The variants have no ids:
// only a publish allocates them.
func MakeCandidates(ctx context.Context, run string, st Study, d benchmarks.Domain, s Search) (Candidates, error) {
	out := Candidates{
		Run: run, Stop: s.Stop, Evaluations: len(s.Trials), JournalHead: s.JournalHead,
		List: []gates.Candidate{},
	}
	builds := newBuildCache(d, buildSeed(st))
	point, err := s.Description.Space.Normalize(s.Description.Baseline)
	if err != nil {
		return out, fmt.Errorf("baseline: %w", err)
	}
	if out.Baseline, err = builds.build(ctx, point); err != nil {
		return out, fmt.Errorf("baseline: %w", err)
	}
	for c, sc := range s.Description.Scenarios {
		if limitBroken(s.Description.In(sc), s.Baseline[c].Values) {
			continue // what runs today is not allowed to serve here
		}
		out.List = append(out.List, s.reference(run, sc, point, out.Baseline))
	}
	for c, outs := range s.Finalists {
		for _, o := range outs {
			bundle, err := builds.build(ctx, o.Point)
			if err != nil {
				return out, fmt.Errorf("candidate of %s, point %s: %w", s.Description.Scenarios[c].Name, o.Point.Canonical(), err)
			}
			out.List = append(out.List, s.candidate(run, s.Description.Scenarios[c], o, bundle))
		}
	}
	names, identities := make([]string, len(s.Points)), make([]artifacts.Digest, len(s.Points))
	for i, p := range s.Points {
		for _, c := range out.List {
			if !c.Reference && names[i] == "" && bytes.Equal(c.Variant.Point, p) {
				names[i], identities[i] = c.Variant.Name, c.Variant.Identity
			}
		}
	}
	out.Portfolio = s.Portfolio(names, identities)
	return out, nil
}

func limitBroken(metrics []benchmarks.Metric, values map[string]float64) bool {
	for _, m := range metrics {
		if v, ok := values[m.Name]; ok && limitExcess(m, v) > 0 {
			return true
		}
	}
	return false
}

// variant describes a bundle; prefix begins its name.
func (s Search) variant(prefix string, p benchmarks.Point, b benchmarks.Bundle) catalog.Variant {
	v := catalog.Variant{
		Domain: s.Description.Name, Type: b.Type, Point: p.Canonical(), Artifacts: b.Refs(), Seed: b.Seed, Knobs: b.Knobs,
	}
	v.Identity = catalog.IdentityOf(v)
	v.Name = prefix + "-" + v.Identity.Hex()[:8]
	return v
}

func envelope(metrics []benchmarks.Metric, context string, b benchmarks.Bundle) catalog.Envelope {
	e := catalog.Envelope{
		Hardware: catalog.Hardware{OS: goruntime.GOOS, Arch: goruntime.GOARCH, CPUFeatures: b.Needs}, Contexts: []string{context},
	}
	for _, m := range metrics {
		if m.Limit != nil {
			if e.Limits == nil {
				e.Limits = map[string]float64{}
			}
			e.Limits[m.Name] = *m.Limit
		}
	}
	return e
}

func (s Search) reference(run string, sc benchmarks.Scenario, p benchmarks.Point, b benchmarks.Bundle) gates.Candidate {
	metrics := s.Description.In(sc)
	v := s.variant("baseline", p, b)
	v.Labels = map[string]string{"run": run, "origin": "baseline"}
	return gates.Candidate{
		Variant: v, Envelope: envelope(metrics, sc.Name, b), Context: sc.Name, Bundle: b, Reference: true,
		Claim:   gates.Claim{Metric: successOf(metrics).Name},
		Lineage: gates.Lineage{Run: run, Trial: -1, Origin: "baseline", Context: sc.Name},
	}
}

func (s Search) candidate(run string, sc benchmarks.Scenario, o Outcome, b benchmarks.Bundle) gates.Candidate {
	metrics := s.Description.In(sc)
	success := successOf(metrics)
	t := s.Trials[o.Trial]
	v := s.variant(sc.Name, o.Point, b)
	v.Labels = map[string]string{"run": run, "engine": t.Engine, "trial": fmt.Sprint(o.Trial), "origin": t.Origin, "context": sc.Name}
	e := envelope(metrics, sc.Name, b)
	e.FailureModes = s.failureModes(o)
	evaluations := 0
	for _, t := range s.Trials {
		if t.Context == sc.Name {
			evaluations++
		}
	}
	return gates.Candidate{
		Variant: v, Envelope: e, Context: sc.Name, Bundle: b,
		Claim:   gates.Claim{Metric: success.Name, Change: o.Change[success.Name], Loss: o.Loss, Evaluations: evaluations},
		Lineage: gates.Lineage{Run: run, Engine: t.Engine, Trial: o.Trial, Origin: t.Origin, Context: sc.Name},
	}
}

// failureModes says where else the point was seen to break something.
func (s Search) failureModes(o Outcome) []string {
	key := o.Point.Canonical()
	var out []string
	for r, p := range s.Points {
		if !bytes.Equal(p, key) {
			continue
		}
		for c, cell := range s.Matrix[r] {
			metrics, _ := needed(s.Description, s.Description.Scenarios[c])
			broken := brokenBy(metrics, measurement{Values: cell.Values, Change: cell.Change, Failed: cell.Failed})
			if cell.Context != "" && broken != "" {
				out = append(out, "in "+cell.Context+": "+broken)
			}
		}
	}
	return out
}

// candidatesSchema is the only schema that this version reads and writes.
const candidatesSchema = "arqon-candidates/1"

// maxCandidatesBytes is the largest candidates file that is read.
const maxCandidatesBytes = 64 << 20

// ErrCandidates is wrapped by every refusal of a candidates file.
var ErrCandidates = errors.New("candidates refused")

// candidatesFile is the JSON form: bundles by reference.
type candidatesFile struct {
	Schema      string          `json:"schema"`
	Run         string          `json:"run"`
	Stop        string          `json:"stop"`
	Evaluations int             `json:"evaluations"`
	JournalHead string          `json:"journal_head"`
	Baseline    bundleFile      `json:"baseline"`
	Candidates  []candidateFile `json:"candidates"`
	Portfolio   gates.Portfolio `json:"portfolio"`
}

type candidateFile struct {
	Context   string           `json:"context"`
	Reference bool             `json:"reference,omitempty"`
	Variant   catalog.Variant  `json:"variant"`
	Envelope  catalog.Envelope `json:"envelope"`
	Claim     gates.Claim      `json:"claim"`
	Lineage   gates.Lineage    `json:"lineage"`
	Bundle    bundleFile       `json:"bundle"`
}

type bundleFile struct {
	Type  string          `json:"type"`
	Seed  uint64          `json:"seed,string"`
	Point json.RawMessage `json:"point"`
	Files []artifacts.Ref `json:"files"`
}

// Encode puts the bundles into blobs and returns the candidates file: the same
// bytes for the same candidates.
func (c Candidates) Encode(ctx context.Context, blobs artifacts.Putter) ([]byte, error) {
	put := func(b benchmarks.Bundle) (bundleFile, error) {
		for _, f := range b.Files {
			if _, err := blobs.Put(ctx, f.Bytes); err != nil {
				return bundleFile{}, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		return bundleFile{Type: b.Type, Seed: b.Seed, Point: b.Point.Canonical(), Files: b.Refs()}, nil
	}
	f := candidatesFile{
		Schema: candidatesSchema, Run: c.Run, Stop: c.Stop, Evaluations: c.Evaluations, JournalHead: c.JournalHead,
		Candidates: []candidateFile{}, Portfolio: c.Portfolio,
	}
	var err error
	if f.Baseline, err = put(c.Baseline); err != nil {
		return nil, err
	}
	for _, x := range c.List {
		b, err := put(x.Bundle)
		if err != nil {
			return nil, err
		}
		f.Candidates = append(f.Candidates, candidateFile{
			Context: x.Context, Reference: x.Reference, Variant: x.Variant, Envelope: x.Envelope,
			Claim: x.Claim, Lineage: x.Lineage, Bundle: b,
		})
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// DecodeCandidates reads what Encode wrote, strictly, and fetches the bundles.
func DecodeCandidates(ctx context.Context, b []byte, space benchmarks.Space, blobs artifacts.Getter) (Candidates, error) {
	f, err := decodeCandidatesFile(b)
	if err != nil {
		return Candidates{}, fmt.Errorf("%w: %w", ErrCandidates, err)
	}
	out := Candidates{
		Run: f.Run, Stop: f.Stop, Evaluations: f.Evaluations, JournalHead: f.JournalHead,
		List: []gates.Candidate{}, Portfolio: f.Portfolio,
	}
	if out.Baseline, err = f.Baseline.load(ctx, space, blobs); err != nil {
		return Candidates{}, fmt.Errorf("baseline: %w", err)
	}
	for i, c := range f.Candidates {
		bundle, err := c.Bundle.load(ctx, space, blobs)
		if err != nil {
			return Candidates{}, fmt.Errorf("candidates[%d] (%s): %w", i, c.Variant.Name, err)
		}
		out.List = append(out.List, gates.Candidate{
			Variant: c.Variant, Envelope: c.Envelope, Context: c.Context, Claim: c.Claim, Lineage: c.Lineage,
			Bundle: bundle, Reference: c.Reference,
		})
	}
	return out, nil
}

func decodeCandidatesFile(b []byte) (candidatesFile, error) {
	var f candidatesFile
	if len(b) > maxCandidatesBytes {
		return f, fmt.Errorf("%d bytes, at most %d are read", len(b), maxCandidatesBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return f, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("data after the end")
	}
	if f.Schema != candidatesSchema {
		return f, fmt.Errorf("schema %.40q, want %q", f.Schema, candidatesSchema)
	}
	for i := range f.Candidates {
		c := &f.Candidates[i]
		c.Variant.Point = compact(c.Variant.Point) // it was indented with the file
		if c.Variant.Identity != catalog.IdentityOf(c.Variant) {
			return f, fmt.Errorf("candidates[%d].variant.identity: is not the digest of domain, point and artifacts", i)
		}
	}
	return f, nil
}

func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

func (f bundleFile) load(ctx context.Context, space benchmarks.Space, blobs artifacts.Getter) (benchmarks.Bundle, error) {
	p, err := benchmarks.DecodePoint(space, f.Point)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	b := benchmarks.Bundle{Point: p, Seed: f.Seed, Type: f.Type}
	for _, ref := range f.Files {
		raw, err := blobs.Get(ctx, ref)
		if err != nil {
			return benchmarks.Bundle{}, fmt.Errorf("%s: %w", ref.Name, err)
		}
		b.Files = append(b.Files, benchmarks.File{Name: ref.Name, MediaType: ref.MediaType, Bytes: raw})
	}
	return b, nil
}

// Entries makes the catalog entries of a scope: one for each variant that has
// a verdict for it, references first, then in the verdicts' order. A variant
// that passed in several contexts is one entry that serves them all, because
// an identity has one id. Ids count from 1 and are provisional: a publish
// allocates the real ones.
func Entries(verdicts []gates.Verdict, scope catalog.Scope) ([]catalog.Entry, error) {
	sorted := append([]gates.Verdict(nil), verdicts...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Reference && !sorted[j].Reference })
	var out []catalog.Entry
	at := map[artifacts.Digest]int{}
	for _, v := range sorted {
		e, err := v.Entry(catalog.VariantID(len(out)+1), scope)
		if errors.Is(err, gates.ErrNotPassed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if i, ok := at[e.Variant.Identity]; ok {
			out[i] = merge(out[i], e)
			continue
		}
		at[e.Variant.Identity] = len(out)
		out = append(out, e)
	}
	return out, nil
}

// merge joins two entries of one variant. A limit holds for the whole only if
// both were held to the same one.
func merge(a, b catalog.Entry) catalog.Entry {
	for _, c := range b.Envelope.Contexts {
		if !a.Serves(c) {
			a.Envelope.Contexts = append(a.Envelope.Contexts[:len(a.Envelope.Contexts):len(a.Envelope.Contexts)], c)
		}
	}
	limits := map[string]float64{}
	for m, l := range a.Envelope.Limits {
		if other, ok := b.Envelope.Limits[m]; ok && other == l {
			limits[m] = l
		}
	}
	a.Envelope.Limits = limits
	if len(limits) == 0 {
		a.Envelope.Limits = nil
	}
	for _, f := range b.Envelope.FailureModes {
		known := false
		for _, g := range a.Envelope.FailureModes {
			known = known || f == g
		}
		if !known {
			a.Envelope.FailureModes = append(a.Envelope.FailureModes[:len(a.Envelope.FailureModes):len(a.Envelope.FailureModes)], f)
		}
	}
	a.Curves = append(a.Curves[:len(a.Curves):len(a.Curves)], b.Curves...)
	a.Expectations = append(a.Expectations[:len(a.Expectations):len(a.Expectations)], b.Expectations...)
	a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], b.Evidence...)
	a.Waivers = append(a.Waivers[:len(a.Waivers):len(a.Waivers)], b.Waivers...)
	a.Reference = a.Reference && b.Reference
	return a
}
