package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
)

// handover takes a judged night to a repository: it signs and publishes where
// one person holds every key, and leaves a proposal where several do. In the
// first case it is also the approver of gate 6.
type handover struct {
	place   place
	channel string
	run     *factory.Run
	store   repositoryStore
	repo    *publish.Repository
	solo    bool
	domain  benchmarks.Domain // gives the entries their golden answers
}

func newHandover(ctx context.Context, f nightlyFlags, run *factory.Run, domain benchmarks.Domain) (*handover, error) {
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return nil, err
	}
	if catalog.Scope(f.channel).Rank() < catalog.ScopeStaging.Rank() {
		return nil, errNotPublished(f.channel)
	}
	ring := f.ring
	if ring == nil {
		if ring, err = p.ring(passphraseReader(false)); err != nil {
			return nil, err
		}
	}
	store, err := p.open()
	if err != nil {
		return nil, err
	}
	h := &handover{place: p, channel: f.channel, run: run, domain: domain, store: store, repo: &publish.Repository{Store: store, Keys: ring, Now: now()}}
	st, err := h.repo.Status(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("repository %s: %w", p.repository, err), store.Close())
	}
	h.solo = st.Solo
	return h, nil
}

func (h *handover) close() {
	if err := h.store.Close(); err != nil {
		return // a directory handle that was only read from
	}
}

// Approve is gate 6 where one person holds every key: the statement is signed
// with the channel's own key, read back, and kept with the run.
func (h *handover) Approve(ctx context.Context, subject artifacts.Digest, _ gates.Policy) (gates.Finding, error) {
	predicate, err := json.Marshal(map[string]string{"channel": h.channel, "run": h.run.Name})
	if err != nil {
		return gates.Finding{}, err
	}
	bundle, key, err := h.repo.Endorse(ctx, h.channel, catalog.PredicateApproval, []trust.Subject{{Name: "report", Digest: subject}}, predicate)
	if errors.Is(err, publish.ErrNoKey) {
		return gates.Finding{Outcome: gates.Inconclusive, Reason: "awaits a signature: no key of " + h.channel + " is here"}, nil
	}
	if err != nil {
		return gates.Finding{}, err
	}
	d, err := h.run.Blobs().Put(ctx, bundle)
	if err != nil {
		return gates.Finding{}, err
	}
	return gates.Finding{
		Outcome: gates.Pass,
		Reason:  fmt.Sprintf("the report is signed by key %.12s, the only approver that this repository has (bundle %s)", key, d.Short()),
	}, nil
}

// HandOver publishes what passed, or proposes it.
func (h *handover) HandOver(ctx context.Context, run *factory.Run, night gates.Night, verdicts []gates.Verdict, c factory.Candidates) (string, error) {
	if night.Outcome != gates.Pass {
		return fmt.Sprintf("nothing goes to %s: the night is %s", h.channel, night.Outcome), nil
	}
	record, err := gates.EncodeNight(night)
	if err != nil {
		return "", err
	}
	raw := artifacts.RefOf("night.json", "application/vnd.arqon.night.v1+json", record)
	if line, done, err := h.before(ctx, raw.Digest); done || err != nil {
		return line, err
	}
	p, fresh, err := h.proposal(ctx, night, verdicts, c, raw)
	if err != nil {
		return "", err
	}
	if fresh == 0 {
		return fmt.Sprintf("nothing goes to %s: no candidate passed the gates that it needs", h.channel), nil
	}
	if _, err := run.Blobs().Put(ctx, record); err != nil {
		return "", err
	}
	if !h.solo {
		prepared, err := h.repo.Propose(ctx, p)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("proposal %s: %s for %s: arqon sign --repository %s %s",
			prepared.Manifest.Short(), count(fresh, "new variant awaits signatures", "new variants await signatures"), h.channel, word(h.place.repository), prepared.Manifest.Short()), nil
	}
	published, err := h.repo.Release(ctx, p)
	if err != nil {
		return "", err
	}
	return publishedLine(published, fresh), nil
}

func publishedLine(p *publish.Published, fresh int) string {
	return fmt.Sprintf("release %d of %s is published: %s, %d of them new, manifest %s",
		p.Release.Sequence, p.Release.Channel, count(len(p.Release.Entries), "entry", "entries"), fresh, p.Manifest.Short())
}

// before finds out whether this very night was handed over already, by a
// session that died before it could note it.
func (h *handover) before(ctx context.Context, night artifacts.Digest) (string, bool, error) {
	if err := h.repo.Finish(ctx); err != nil { // the head may not show yet what that session committed
		return "", false, err
	}
	st, err := h.repo.Status(ctx)
	if err != nil {
		return "", false, err
	}
	if r, ok := st.Releases[h.channel]; ok && citing(r, night) > 0 {
		files, err := catalog.EncodeManifest(r) // there is one spelling of a release
		if err != nil {
			return "", false, err
		}
		return publishedLine(&publish.Published{Release: r, Manifest: artifacts.DigestOf(files.Manifest)}, citing(r, night)), true, nil
	}
	if h.solo {
		return "", false, nil
	}
	pending, err := h.repo.Pending(ctx)
	if err != nil {
		return "", false, err
	}
	for _, d := range pending {
		if rv, err := h.repo.Review(ctx, d); err == nil && citing(rv.Release, night) > 0 {
			return fmt.Sprintf("proposal %s holds this night already: arqon sign --repository %s %s", d.Short(), word(h.place.repository), d.Short()), true, nil
		}
	}
	return "", false, nil
}

// citing counts the entries, the baseline aside, that a night has approved.
func citing(r catalog.Release, night artifacts.Digest) (fresh int) {
	for _, e := range r.Entries {
		for _, ev := range e.Evidence {
			if ev.Ref.Digest == night && !e.Reference {
				fresh++
				break
			}
		}
	}
	return fresh
}

// proposal is the next release: what passed tonight, on top of what the
// channel has. fresh counts the variants that are new and better.
func (h *handover) proposal(ctx context.Context, night gates.Night, verdicts []gates.Verdict, c factory.Candidates, raw artifacts.Ref) (p publish.Proposal, fresh int, err error) {
	scope := catalog.Scope(h.channel)
	if !h.solo && scope == catalog.ScopeProd {
		return p, 0, errNotFromANight()
	}
	entries, err := factory.Entries(verdicts, scope)
	if err != nil {
		return p, 0, err
	}
	st, err := h.repo.Status(ctx)
	if err != nil {
		return p, 0, err
	}
	var base artifacts.Digest
	for i := range entries {
		entries[i].Evidence = append(entries[i].Evidence, catalog.Evidence{Gate: "samples", Ref: raw})
		if entries[i].Reference {
			base = entries[i].Variant.Identity
			entries[i].Envelope.Contexts = incumbent(c)
		} else {
			fresh++
		}
	}
	if fresh == 0 {
		return p, 0, nil
	}
	if base == "" {
		return p, 0, hinted{errors.New("the baseline itself did not pass its gates: nothing to fall back on"), "arqon report " + h.run.Name + " says why"}
	}
	if err := asked(ctx, h.domain, entries, h.run.Blobs()); err != nil {
		return p, 0, err
	}
	made, err := origin(h.run)
	if err != nil {
		return p, 0, err
	}
	evidence, err := statements(night, entries, raw.Digest, scope, made)
	if err != nil {
		return p, 0, err
	}
	before := st.Releases[h.channel]
	entries, contexts := successor(before, night, entries, h.repo.Now)
	policy := onlinePolicy(night, entries)
	policy.Guardrails = append(policy.Guardrails, keptGuardrails(before, night)...)
	return publish.Proposal{
		Channel: h.channel, Domain: night.Domain, Contexts: contexts, Entries: entries, Baseline: base,
		Policy: policy, Evidence: evidence, Blobs: bothBlobs{h.run.Blobs(), h.store},
	}, fresh, nil
}

// incumbent lists the contexts that the baseline may go on serving: those
// whose limits it keeps. It runs there today, approved or not; where it breaks
// a limit, a host falls back to its own built-in instead.
func incumbent(c factory.Candidates) []string {
	var out []string
	for _, x := range c.List {
		if x.Reference {
			out = append(out, x.Context)
		}
	}
	return out
}

// bothBlobs reads from the run first and from the repository then: what is
// proposed is partly new and partly there.
type bothBlobs struct {
	run        *artifacts.Dir
	repository repositoryStore
}

func (b bothBlobs) Get(ctx context.Context, ref artifacts.Ref) ([]byte, error) {
	found, err := b.run.Get(ctx, ref)
	if !errors.Is(err, artifacts.ErrNotFound) {
		return found, err
	}
	found, err = artifacts.GetNamed(ctx, b.repository, trust.EvidenceName(ref), ref)
	if !errors.Is(err, artifacts.ErrNotFound) {
		return found, err
	}
	return b.repository.Get(ctx, ref)
}
