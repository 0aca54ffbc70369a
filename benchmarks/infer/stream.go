package infer

import (
	"math/rand/v2"

	"github.com/arqon/arqon/internal/seed"
)

// Stream is the traffic of a host in one context: test images in random
// order, disturbed as the context says. Equal seeds give equal traffic.
type Stream struct {
	split *Split
	rng   *rand.Rand
	hands *disturber
	count int
	image [pixels]byte
}

// NewStream starts the traffic of a context; the error names the contexts.
func NewStream(data *Data, context string, root uint64) (*Stream, error) {
	d, err := contextDisturbance(context)
	if err != nil {
		return nil, err
	}
	return &Stream{
		split: &data.Test,
		rng:   seed.Stream(seed.Root(root), "infer/stream/"+context),
		hands: newDisturber(seed.Derive(seed.Root(root), "infer/stream-disturb/"+context), d),
	}, nil
}

// Next returns a request and its true class. The image is valid until the
// next call.
func (s *Stream) Next() (image *[pixels]byte, label int) {
	at := s.rng.IntN(s.split.Len())
	s.hands.apply(&s.split.Images[at], s.count, &s.image)
	s.count++
	return &s.image, int(s.split.Labels[at])
}
