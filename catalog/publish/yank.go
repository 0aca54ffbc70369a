package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// Yank withdraws ids from every channel at once, for ever: clients stop
// serving them at their next refresh and never believe a list without them
// again. The ids must be known; one already withdrawn stays as it is.
func (r *Repository) Yank(ctx context.Context, reason string, ids ...catalog.VariantID) error {
	if len(ids) == 0 || reason == "" {
		return errors.New("yank: want ids and a reason")
	}
	return r.retry(ctx, func() error {
		h, err := r.finish(ctx)
		if err != nil {
			return err
		}
		b, err := r.loadAt(ctx, h)
		if err != nil {
			return err
		}
		list, err := b.withdrawn(reason, ids)
		if err != nil {
			return err
		}
		return r.publishYank(ctx, b, list)
	}, nil)
}

// withdrawn returns the yank list with the ids added.
func (b *base) withdrawn(reason string, ids []catalog.VariantID) (trust.Yank, error) {
	list := trust.Yank{Schema: trust.YankSchema, Yanked: slices.Clone(b.yank.Yanked)}
	known := map[catalog.VariantID]artifacts.Digest{}
	for identity, id := range b.identities {
		known[id] = identity
	}
	for _, id := range ids {
		identity, ok := known[id]
		if !ok {
			return list, fmt.Errorf("yank: id %d is in no release: %w", id, artifacts.ErrNotFound)
		}
		if !slices.ContainsFunc(list.Yanked, func(y trust.Yanked) bool { return y.ID == id }) {
			list.Yanked = append(list.Yanked, trust.Yanked{ID: id, Identity: identity, Reason: reason})
		}
	}
	sort.Slice(list.Yanked, func(i, j int) bool { return list.Yanked[i].ID < list.Yanked[j].ID })
	return list, nil
}

func (r *Repository) publishYank(ctx context.Context, b *base, list trust.Yank) error {
	file, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if _, err := trust.DecodeYank(file); err != nil {
		return fmt.Errorf("yank: %w", err)
	}
	d, ok := b.head.Delegation(trust.RoleYank)
	if !ok {
		return fmt.Errorf("role %s: this repository does not have it: %w", trust.RoleYank, ErrNoKey)
	}
	key, err := r.Keys.first(trust.RoleYank, d.KeyIDs)
	if err != nil {
		return err
	}
	version, err := r.freeVersion(ctx, trust.RoleYank, b.roleVersion(trust.RoleYank))
	if err != nil {
		return err
	}
	role := metadata.Targets(whole(r.Now).Add(lifetimes[trust.RoleYank]))
	role.Signed.Version = version
	role.Signed.Targets[trust.YankTarget] = &metadata.TargetFiles{
		Length: int64(len(file)), Hashes: sha256Of(file), Path: trust.YankTarget,
	}
	roleBytes, err := sealed(role, key)
	if err != nil {
		return err
	}
	if err := artifacts.PutNamed(ctx, r.Store, trust.TargetName(trust.YankTarget, artifacts.DigestOf(file)), file); err != nil {
		return err
	}
	err = r.Store.Create(ctx, trust.MetadataName(trust.RoleYank, version), roleBytes)
	if errors.Is(err, artifacts.ErrExists) {
		return errRace
	}
	if err != nil {
		return err
	}
	return r.commit(ctx, b.head, trust.RoleYank, version, roleBytes)
}
