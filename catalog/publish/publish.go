package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// Published is a release that clients see now.
type Published struct {
	Release   catalog.Release
	Manifest  artifacts.Digest
	Approvers []string // ids of the distinct keys that signed
	Again     bool     // it was published before this call
}

// Publish commits a proposal that enough distinct approvers have signed:
// ErrApprovals if not, ErrStale if its base has moved. Publishing the same
// proposal again is not an error.
func (r *Repository) Publish(ctx context.Context, manifest artifacts.Digest) (*Published, error) {
	var out *Published
	// What is stale is not tried again: the approvers' signatures fit no other base.
	err := r.retry(ctx, func() (err error) {
		out, err = r.tryPublish(ctx, manifest)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// tryPublish is Publish once: a lost race is errRace. Release calls it in a turn
// of its own; a second one inside would wait for the first.
func (r *Repository) tryPublish(ctx context.Context, manifest artifacts.Digest) (*Published, error) {
	h, err := r.finish(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.readAt(ctx, h, manifest)
	if err != nil {
		return nil, err
	}
	out := &Published{Release: p.release, Manifest: manifest}
	for _, s := range p.role.Signatures {
		out.Approvers = append(out.Approvers, s.KeyID)
	}
	if p.base.channels[p.Channel].manifest.Digest == manifest {
		out.Again = true
		return out, nil
	}
	return out, r.publish(ctx, p)
}

func (r *Repository) publish(ctx context.Context, p *pending) error {
	if err := p.fresh(); err != nil {
		return err
	}
	d, _ := p.base.head.Delegation(p.Channel)
	if err := p.base.head.Targets.VerifyDelegate(p.Channel, p.role); err != nil || len(p.role.Signatures) < d.Threshold {
		return fmt.Errorf("release %d of %s: %d of %d needed keys have signed: %w",
			p.release.Sequence, p.Channel, len(p.role.Signatures), d.Threshold, ErrApprovals)
	}
	if _, _, err := r.evidence(ctx, p); err != nil {
		return err
	}
	b, err := p.role.ToBytes(false)
	if err != nil {
		return err
	}
	target := trust.TargetName(trust.ManifestTarget(p.Channel), p.Manifest.Digest)
	if err := artifacts.PutNamed(ctx, r.Store, target, p.bytes); err != nil {
		return err
	}
	name := trust.MetadataName(p.Channel, p.RoleVersion)
	err = artifacts.PutNamed(ctx, r.Store, name, b)
	if errors.Is(err, artifacts.ErrCorrupt) {
		return fmt.Errorf("%s: the version was used by another proposal: %w", name, ErrStale)
	}
	if err != nil {
		return err
	}
	return r.commit(ctx, p.base.head, p.Channel, p.RoleVersion, b)
}

// Release proposes, signs with every key of the ring that may, and publishes:
// the whole way in one call, for a ring that reaches the threshold alone, as
// in a solo repository. It starts again when another publisher was faster.
func (r *Repository) Release(ctx context.Context, p Proposal) (*Published, error) {
	var out *Published
	err := r.retry(ctx, func() error {
		prepared, err := r.Propose(ctx, p)
		if err != nil {
			return err
		}
		for {
			rv, err := r.sign(ctx, prepared.Manifest)
			if rv != nil && len(rv.Signed) >= rv.Threshold {
				break // with this signature, or with those of an earlier attempt within the same second
			}
			if err != nil {
				return err
			}
		}
		out, err = r.tryPublish(ctx, prepared.Manifest)
		return err
	}, ErrStale)
	if err != nil {
		return nil, err
	}
	return out, nil
}
