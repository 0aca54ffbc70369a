package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

// gainsMax bounds how many contexts one line of a proposal names.
const gainsMax = 6

// pick finds a pending proposal by the beginning of its digest; "" means the
// only one that is not stale.
func pick(ctx context.Context, repo *publish.Repository, name string) (artifacts.Digest, error) {
	all, err := repo.Pending(ctx)
	if err != nil {
		return "", err
	}
	var found []artifacts.Digest
	for _, d := range all {
		if name == "" {
			if _, err := repo.Review(ctx, d); err != nil {
				continue // stale or broken: naming it says why
			}
		} else if !strings.HasPrefix(d.Hex(), strings.TrimPrefix(name, "sha256:")) {
			continue
		}
		found = append(found, d)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name == "":
		return "", no{hinted{errors.New("no proposal is pending"), "arqon nightly leaves one"}}
	case len(found) == 0:
		return "", no{hinted{fmt.Errorf("no proposal begins with %s", name), count(len(all), "proposal is", "proposals are") + " in the repository"}}
	}
	lines := make([]string, len(found))
	for i, d := range found {
		rv, err := repo.Review(ctx, d)
		if err != nil {
			lines[i] = fmt.Sprintf("  %s: %v", d.Short(), err)
			continue
		}
		lines[i] = "  " + proposalLine(rv)
	}
	return "", hinted{fmt.Errorf("several proposals are meant:\n%s", strings.Join(lines, "\n")),
		"name one of them by the beginning of its digest; with --dry-run sign shows it whole. When one is published the others are stale"}
}

// proposalLine tells a person which proposal this is: what night made it, when,
// and what it would bring.
func proposalLine(rv *publish.Review) string {
	parts := []string{fmt.Sprintf("%s: release %d of %s, %s", rv.Manifest.Short(), rv.Release.Sequence, rv.Release.Channel, count(len(rv.Release.Entries), "entry", "entries"))}
	if fresh, gains := gainsOf(rv.Difference); fresh > 0 {
		more := ""
		if n := len(gains); n > gainsMax {
			gains, more = gains[:gainsMax], fmt.Sprintf(" and %d more", n-gainsMax)
		}
		parts = append(parts, fmt.Sprintf("%d new: %s%s", fresh, strings.Join(gains, ", "), more))
	}
	for _, n := range nightsOf(rv) {
		parts = append(parts, fmt.Sprintf("night %s of study %s", n.Run, n.Study))
	}
	parts = append(parts, "proposed "+rv.Created.UTC().Format("2006-01-02 15:04 UTC"))
	return strings.Join(parts, "; ")
}

// gainsOf counts the variants that are new and not the baseline, and says for
// each of their contexts how far the success metric was shown to move at best.
func gainsOf(d catalog.Difference) (fresh int, gains []string) {
	best := map[string]catalog.Expectation{}
	var contexts []string
	for _, c := range d.Added {
		if c.New.Reference {
			continue
		}
		fresh++
		told := map[string]bool{}
		for _, x := range c.New.Expectations { // the success metric comes first in each context
			if told[x.Context] {
				continue
			}
			told[x.Context] = true
			was, known := best[x.Context]
			if !known {
				contexts = append(contexts, x.Context)
			}
			if !known || max(x.Change, -x.Change) > max(was.Change, -was.Change) {
				best[x.Context] = x
			}
		}
	}
	for _, name := range contexts {
		x := best[name]
		if x.Scale == "difference" {
			gains = append(gains, fmt.Sprintf("%s %s %+.3f", name, x.Metric, x.Change))
		} else {
			gains = append(gains, fmt.Sprintf("%s %s %+.1f %%", name, x.Metric, 100*x.Change))
		}
	}
	return fresh, gains
}

// nightName is where a variant's gate report comes from.
type nightName struct {
	Run   string `json:"run"`
	Study string `json:"study"`
}

// nightsOf lists the nights whose reports speak for what is new, in the order
// of the release's entries. A report in words that this version does not know
// names none.
func nightsOf(rv *publish.Review) []nightName {
	out := []nightName{}
	for _, s := range rv.Reports {
		var n nightName
		if json.Unmarshal(s.Predicate, &n) != nil || n.Run == "" || slices.Contains(out, n) {
			continue
		}
		out = append(out, n)
	}
	return out
}
