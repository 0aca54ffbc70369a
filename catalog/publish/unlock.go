package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/catalog/trust"
)

// Unlock decrypts every key that handing a night over to the channel takes, so
// that a missing key or a wrong passphrase is found out before hours of search
// and not after them: a key that signs evidence, and, where one person holds
// every key, those that approve and publish. A key service is asked for its
// public key alone.
func (r *Repository) Unlock(ctx context.Context, channel string) error {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return err
	}
	if _, err := r.Keys.first("evidence", h.Rules.EvidenceKeys); err != nil {
		return err
	}
	if !h.Rules.Solo {
		return nil
	}
	role, ok := h.Delegation(channel)
	if !ok {
		return fmt.Errorf("channel %.40q: this repository does not have it: %w", channel, ErrProposal)
	}
	_, approver := r.Keys.first(channel, role.KeyIDs)
	_, snapshot := r.Keys.first(metadata.SNAPSHOT, h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs)
	_, timestamp := r.Keys.first(metadata.TIMESTAMP, h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)
	return errors.Join(approver, snapshot, timestamp)
}
