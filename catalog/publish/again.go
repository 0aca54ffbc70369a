package publish

import (
	"context"
	"fmt"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// Rollback proposes an old release's content as the channel's next release:
// the same ids, digests and evidence under a new number, because clients never
// go back. What was withdrawn since does not come back and is returned as left
// out; a withdrawn baseline is ErrProposal.
func (r *Repository) Rollback(ctx context.Context, channel string, to uint64) (Proposal, []catalog.Entry, error) {
	b, err := r.load(ctx)
	if err != nil {
		return Proposal{}, nil, err
	}
	old, err := r.past(ctx, b, channel, to)
	if err != nil {
		return Proposal{}, nil, err
	}
	if old.Sequence == b.channels[channel].release.Sequence {
		return Proposal{}, nil, fmt.Errorf("release %d of %s is the newest one: %w", to, channel, ErrProposal)
	}
	return r.carry(b, old, old.Entries)
}

// past finds a release by its number, backwards along the signed digests.
func (r *Repository) past(ctx context.Context, b *base, channel string, sequence uint64) (catalog.Release, error) {
	c, ok := b.channels[channel]
	if !ok {
		return catalog.Release{}, fmt.Errorf("channel %.40q has no release yet: %w", channel, ErrProposal)
	}
	rel := c.release
	if sequence == 0 || sequence > rel.Sequence {
		return catalog.Release{}, fmt.Errorf("release %d of %s: there are releases 1 to %d: %w", sequence, channel, rel.Sequence, ErrProposal)
	}
	for rel.Sequence > sequence {
		name := trust.TargetName(trust.ManifestTarget(channel), rel.Previous)
		m, err := r.Store.Read(ctx, name, catalog.MaxManifestBytes)
		if err != nil {
			return rel, err
		}
		if artifacts.DigestOf(m) != rel.Previous {
			return rel, fmt.Errorf("%s: %w", name, artifacts.ErrCorrupt)
		}
		before := rel.Sequence
		if rel, err = catalog.ReadRelease(ctx, m, artifacts.Blobs{Store: r.Store}); err != nil {
			return rel, fmt.Errorf("%s: %w", name, err)
		}
		if rel.Sequence+1 != before || rel.Channel != channel {
			return rel, fmt.Errorf("%s: does not precede release %d of %s: %w", name, before, channel, ErrProposal)
		}
	}
	return rel, nil
}

// carry makes a proposal of entries that were released before. Their ids
// follow from their identities.
func (r *Repository) carry(b *base, like catalog.Release, entries []catalog.Entry) (Proposal, []catalog.Entry, error) {
	p := Proposal{
		Channel: like.Channel, Domain: like.Domain, Contexts: like.Contexts, RuntimeMin: like.RuntimeMin,
		Policy: like.Policy, // no Blobs: everything is in the store already, or the release is not whole
	}
	var left []catalog.Entry
	for _, e := range entries {
		if b.isYanked(e.Variant.Identity) {
			left = append(left, e)
			continue
		}
		if e.ID == like.Baseline {
			p.Baseline = e.Variant.Identity
		}
		e.Fallback = catalog.BuiltIn
		p.Entries = append(p.Entries, e)
	}
	if p.Baseline == "" && len(entries) > 0 {
		return p, left, fmt.Errorf("the baseline %d of release %d was withdrawn: %w", like.Baseline, like.Sequence, ErrProposal)
	}
	return p, left, nil
}

func (b *base) isYanked(identity artifacts.Digest) bool {
	return slices.ContainsFunc(b.yank.Yanked, func(y trust.Yanked) bool { return y.Identity == identity })
}

// Promotion proposes what one channel serves to a wider one, under the same
// ids, digests and evidence. Without ids it is the whole release, which
// replaces the wider channel's; with ids these come beside what the wider
// channel has. What the wider channel's approvers sign is its gate of approval.
func (r *Repository) Promotion(ctx context.Context, from, to string, ids ...catalog.VariantID) (Proposal, []catalog.Entry, error) {
	if catalog.Scope(from).Rank() == 0 || catalog.Scope(from).Rank() >= catalog.Scope(to).Rank() {
		return Proposal{}, nil, fmt.Errorf("from %.40q to %.40q is no promotion: want a narrower channel first: %w", from, to, ErrProposal)
	}
	b, err := r.load(ctx)
	if err != nil {
		return Proposal{}, nil, err
	}
	source, ok := b.channels[from]
	if !ok {
		return Proposal{}, nil, fmt.Errorf("channel %s has no release yet: %w", from, ErrProposal)
	}
	if _, ok := b.head.Delegation(to); !ok {
		return Proposal{}, nil, fmt.Errorf("channel %.40q: this repository does not have it: %w", to, ErrProposal)
	}
	like := source.release
	entries := like.Entries
	if len(ids) > 0 {
		if like, entries, err = b.beside(like, b.channels[to].release, ids); err != nil {
			return Proposal{}, nil, err
		}
	}
	like.Channel = to
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Scope = catalog.Scope(to)
	}
	return r.carry(b, like, entries)
}

// beside adds the chosen entries of source to what the wider channel has; its
// first release takes the source's baseline along.
func (b *base) beside(source, wide catalog.Release, ids []catalog.VariantID) (catalog.Release, []catalog.Entry, error) {
	like := wide
	if wide.Sequence == 0 {
		like = source
		if !slices.Contains(ids, source.Baseline) {
			ids = append([]catalog.VariantID{source.Baseline}, ids...)
		}
	}
	like.Contexts = slices.Clone(like.Contexts)
	entries := slices.Clone(wide.Entries)
	for _, id := range ids {
		e, ok := source.Entry(id)
		if !ok {
			return like, nil, fmt.Errorf("id %d is not in release %d of %s: %w", id, source.Sequence, source.Channel, ErrProposal)
		}
		for _, c := range e.Envelope.Contexts {
			if !slices.Contains(like.Contexts, c) {
				like.Contexts = append(like.Contexts, c)
			}
		}
		if i := slices.IndexFunc(entries, func(x catalog.Entry) bool { return x.ID == id }); i >= 0 {
			entries[i] = e
			continue
		}
		entries = append(entries, e)
	}
	if wide.Sequence > 0 && wide.Domain != source.Domain {
		return like, nil, fmt.Errorf("domain %q: channel %s is of domain %q: %w", source.Domain, wide.Channel, wide.Domain, ErrProposal)
	}
	return like, entries, nil
}
