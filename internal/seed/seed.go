// Package seed derives every random stream of Arqon from one root seed and a
// name, so that a new consumer never shifts the draws of another one and any
// decision can be replayed from (root, name).
//
// It is not for keys or anything secret.
package seed

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Root is the seed that a study or a runtime is given.
type Root uint64

// Derive returns 64 bits that depend on the root, the name and the keys and
// on nothing else: the first 8 bytes of HMAC-SHA256(root, name ‖ 0 ‖ keys).
func Derive(root Root, name string, keys ...uint64) uint64 {
	sum := digest(root, name, keys)
	return binary.LittleEndian.Uint64(sum[:8])
}

// Stream returns a PCG generator for (root, name, keys).
func Stream(root Root, name string, keys ...uint64) *rand.Rand {
	return rand.New(Source(root, name, keys...))
}

// Source is Stream's generator alone: its state can be saved with
// MarshalBinary and goes into checkpoints.
func Source(root Root, name string, keys ...uint64) *rand.PCG {
	sum := digest(root, name, keys)
	return rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16]))
}

// Coin is one fair, replayable coin for (root, name, keys): the order of a
// measured pair, for example, which must be fixed before anything is measured.
func Coin(root Root, name string, keys ...uint64) bool {
	sum := digest(root, name, keys)
	return sum[0]&1 == 1
}

func digest(root Root, name string, keys []uint64) [sha256.Size]byte {
	var key [8]byte
	binary.LittleEndian.PutUint64(key[:], uint64(root))
	mac := hmac.New(sha256.New, key[:])
	if _, err := fmt.Fprintf(mac, "%s\x00", name); err != nil {
		panic(err) // a hash never fails to write
	}
	var b [8]byte
	for _, k := range keys {
		binary.LittleEndian.PutUint64(b[:], k)
		mac.Write(b[:])
	}
	var out [sha256.Size]byte
	mac.Sum(out[:0])
	return out
}
