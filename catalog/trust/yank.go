package trust

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Yank is the list of withdrawn ids: yank/yank.json.
type Yank struct {
	Schema string   `json:"schema"`
	Yanked []Yanked `json:"yanked"`
}

// Yanked is one withdrawn id.
type Yanked struct {
	ID       catalog.VariantID `json:"id"`
	Identity artifacts.Digest  `json:"identity"`
	Reason   string            `json:"reason"`
}

// DecodeYank accepts the one spelling of a yank list.
func DecodeYank(b []byte) (Yank, error) {
	var y Yank
	if len(b) > maxYankBytes {
		return y, fmt.Errorf("yank list has %d bytes, at most %d", len(b), maxYankBytes)
	}
	if err := decodeStrict(b, &y); err != nil {
		return Yank{}, err
	}
	if y.Schema != YankSchema {
		return Yank{}, fmt.Errorf("schema %.80q: want %s", y.Schema, YankSchema)
	}
	for i, e := range y.Yanked {
		if e.ID == catalog.BuiltIn {
			return Yank{}, errors.New("id 0 is the built-in fallback and cannot be yanked")
		}
		if i > 0 && e.ID <= y.Yanked[i-1].ID {
			return Yank{}, fmt.Errorf("id %d: want ascending ids, each once", e.ID)
		}
	}
	return y, nil
}

// yank reads the yank list; empty before the first yank.
func (w *walk) yank(ctx context.Context, h *Head) (Yank, error) {
	role := h.Roles[RoleYank]
	if role == nil {
		return Yank{}, nil
	}
	ref, _ := targetRef(role.Signed.Targets[YankTarget])
	name := TargetName(YankTarget, ref.Digest)
	if ref.Size > maxYankBytes {
		return Yank{}, refuse(TooLarge, name, "%d bytes, at most %d", ref.Size, maxYankBytes)
	}
	b, err := w.known(ctx, name, ref)
	if err != nil {
		return Yank{}, err
	}
	y, err := DecodeYank(b)
	if err != nil {
		return Yank{}, refuse(Malformed, name, "%v", err)
	}
	return y, nil
}

// ReadYank reads the yank list of a verified head; empty before the first yank.
func ReadYank(ctx context.Context, store artifacts.Store, h *Head) (Yank, error) {
	w := walk{store: store}
	return w.yank(ctx, h)
}
