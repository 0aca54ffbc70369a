package trust

import (
	"context"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// promise is the release that a channel's role promises, read whole.
type promise struct {
	name    string // of the manifest
	ref     artifacts.Ref
	release catalog.Release
}

// promised reads and decodes the manifest of a channel and its shards.
func (w *walk) promised(ctx context.Context, h *Head, channel string) (promise, error) {
	ref, ok := h.Manifest(channel)
	if !ok {
		return promise{}, refuse(NoRelease, MetadataName(metadata.SNAPSHOT, h.Snapshot.Signed.Version), "channel %s has no release yet", channel)
	}
	p := promise{name: TargetName(ManifestTarget(channel), ref.Digest), ref: ref}
	if ref.Size > catalog.MaxManifestBytes {
		return p, refuse(TooLarge, p.name, "%d bytes, at most %d", ref.Size, catalog.MaxManifestBytes)
	}
	b, err := w.known(ctx, p.name, ref)
	if err != nil {
		return p, err
	}
	m, err := catalog.DecodeManifest(b)
	if err != nil {
		return p, refusal(p.name, err)
	}
	if m.Channel != channel {
		return p, refuse(WrongChannel, p.name, "made for channel %s, asked for %s", m.Channel, channel)
	}
	if w.now.After(m.Expires) {
		return p, refuse(Expired, p.name, "expired %s", day(m.Expires))
	}
	if p.release, err = m.Release(ctx, shards{w}); err != nil {
		return p, refusal(p.name, err)
	}
	return p, nil
}

// shards reads parts of manifests; the next release shares most of them.
type shards struct{ walk *walk }

// Get implements artifacts.Getter.
func (s shards) Get(ctx context.Context, ref artifacts.Ref) ([]byte, error) {
	return s.walk.known(ctx, artifacts.BlobName(ref.Digest), ref)
}
