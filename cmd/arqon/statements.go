package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
)

// statement is the predicate of a gate report: what was found about one
// variant, and the night that it belongs to.
type statement struct {
	Run        string                  `json:"run"`
	Study      string                  `json:"study"`
	Night      artifacts.Digest        `json:"night"` // of the whole record, raw data included
	Policy     artifacts.Digest        `json:"policy"`
	Alpha      gates.Alpha             `json:"alpha"`
	Candidates []gates.CandidateReport `json:"candidates"`
}

// statements are what a night has to say about each entry: our own report, and
// three standard statements for other people's tools: test results, a
// verification summary and how it was made. The report holds every
// context that the variant was judged for, refused ones included; the
// standard ones speak for the contexts in which it may serve.
func statements(night gates.Night, entries []catalog.Entry, record artifacts.Digest, scope catalog.Scope, made gates.Origin) ([]publish.Evidence, error) {
	var out []publish.Evidence
	for _, e := range entries {
		s := statement{Run: night.Run, Study: night.Study, Night: record, Policy: night.PolicyDigest, Alpha: night.Alpha}
		var carried []gates.CandidateReport
		for _, c := range night.Candidates {
			if c.Identity != e.Variant.Identity {
				continue
			}
			c.Pairs = nil // the raw pairs are in the night's record, which the entry lists too
			s.Candidates = append(s.Candidates, c)
			if gates.Carries(c, scope) {
				carried = append(carried, c)
			}
		}
		report, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		tests, err := gates.TestResult(night, carried, record, scope)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Variant.Name, err)
		}
		summary, err := gates.Summary(night, carried, record, scope, packageURL(e.Variant))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Variant.Name, err)
		}
		made.Point, made.Lineage = e.Variant.Point, e.Variant.Labels
		provenance, err := gates.Provenance(night, record, made)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Variant.Name, err)
		}
		out = append(out,
			publish.Evidence{Identity: e.Variant.Identity, Gate: "report", Predicate: report},
			publish.Evidence{Identity: e.Variant.Identity, Gate: "test-result", Type: catalog.PredicateTestResult, Predicate: tests},
			publish.Evidence{Identity: e.Variant.Identity, Gate: "verification-summary", Type: catalog.PredicateSummary, Predicate: summary},
			publish.Evidence{Identity: e.Variant.Identity, Gate: "provenance", Type: catalog.PredicateProvenance, Predicate: provenance})
	}
	return out, nil
}

// origin is what this session knows of how a run's variants were made.
func origin(run *factory.Run) (gates.Origin, error) {
	study, err := run.Study.Digest()
	if err != nil {
		return gates.Origin{}, err
	}
	tool, err := ownDigest()
	if err != nil {
		return gates.Origin{}, err
	}
	return gates.Origin{Study: study, Seed: run.Study.Seed, Tool: tool, Version: version}, nil
}

// ownDigest is of the program that runs.
func ownDigest() (artifacts.Digest, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return artifacts.ParseDigest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
}

// packageURL identifies a variant wherever it is mirrored: a generic package
// URL with the identity as its checksum.
func packageURL(v catalog.Variant) string {
	return fmt.Sprintf("pkg:generic/arqon/%s/%s?checksum=%s", url.PathEscape(v.Domain), url.PathEscape(v.Name), v.Identity)
}
