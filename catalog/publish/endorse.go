package publish

import (
	"context"
	"crypto/ecdsa"
	"fmt"

	"github.com/arqon/arqon/catalog/trust"
)

// Endorse signs a statement about the subjects with the ring's first key that
// may approve for the channel, checks it the way a reader would, and returns
// the bundle and the key's id. It never approves a release: what a client
// believes is the role's metadata alone (Sign).
func (r *Repository) Endorse(ctx context.Context, channel, predicateType string, subjects []trust.Subject, predicate []byte) (bundle []byte, keyID string, err error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return nil, "", err
	}
	role, ok := h.Delegation(channel)
	if !ok {
		return nil, "", fmt.Errorf("channel %.40q: this repository does not have it: %w", channel, ErrProposal)
	}
	key, err := r.Keys.first(channel, role.KeyIDs)
	if err != nil {
		return nil, "", err
	}
	if bundle, err = SignStatement(key, predicateType, subjects, predicate); err != nil {
		return nil, "", err
	}
	public, err := h.PublicKeys([]string{key.ID})
	if err != nil {
		return nil, "", err
	}
	if _, err := trust.VerifyStatement(bundle, public...); err != nil {
		return nil, "", fmt.Errorf("our own statement: %w", err)
	}
	return bundle, key.ID, nil
}

// Approvers returns the keys that may approve for the channel. Their
// statements are what waives and adopts.
func (r *Repository) Approvers(ctx context.Context, channel string) ([]*ecdsa.PublicKey, error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return nil, err
	}
	return h.Approvers(channel)
}
