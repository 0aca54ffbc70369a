package gates

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
)

// Leaf is one raw answer of the world: its name in the record and the digest
// of its JSON (of a series: of its values).
type Leaf struct {
	Name   string           `json:"name"`
	Digest artifacts.Digest `json:"digest"`
}

// Proof shows that one leaf is under a root, without the other leaves.
type Proof struct {
	Leaf  Leaf               `json:"leaf"`
	Index int                `json:"index"`
	Count int                `json:"count"`
	Path  []artifacts.Digest `json:"path"` // siblings from the leaf upwards
}

// ErrNoProof: the leaf is not where the proof puts it.
var ErrNoProof = errors.New("the proof does not lead to the root")

// Leaves lists every raw answer that the night holds, in the order of the
// record: deterministic values, item series, and one leaf a check and a pair.
func (n Night) Leaves() ([]Leaf, error) {
	var out []Leaf
	add := func(name string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("night %s: %s: %w", n.Run, name, err)
		}
		out = append(out, Leaf{Name: name, Digest: artifacts.DigestOf(b)})
		return nil
	}
	var err error
	pairs := func(name string, ps []PairRecord) {
		for _, p := range ps {
			if err == nil {
				err = add(fmt.Sprintf("%s/%d", name, p.Index), p)
			}
		}
	}
	for _, e := range n.Evals {
		if err == nil {
			err = add(e.Key, e)
		}
	}
	for _, s := range n.Series {
		out = append(out, Leaf{Name: "series/" + string(s.Digest), Digest: s.Digest})
	}
	for _, c := range n.Controls {
		pairs("pair/control/"+c.Name, c.Pairs)
	}
	for _, p := range n.Probes {
		pairs("pair/noise/"+p.Context, p.Pairs)
	}
	for _, c := range n.Candidates {
		key := c.Context + "/" + string(c.Identity)
		for i, k := range c.Checks {
			if err == nil {
				err = add(fmt.Sprintf("check/%s/%d", key, i), k)
			}
		}
		pairs("pair/"+key, c.Pairs)
		pairs("pair/"+key+anchorSuffix, c.AnchorPairs)
		if c.Canary != nil {
			pairs("canary/"+key, c.Canary.Pairs)
		}
	}
	return out, err
}

// digest fills in what names the raw answers.
func (n *Night) digest() (err error) {
	if n.RawDigest, err = n.Raw(); err != nil {
		return err
	}
	leaves, err := n.Leaves()
	if err != nil {
		return err
	}
	n.SamplesRoot, n.Samples = MerkleRoot(leaves), len(leaves)
	return nil
}

// MerkleRoot is the root over the leaves as RFC 6962 builds it (section 2.1):
// a leaf is SHA-256(0 ‖ name ‖ 0 ‖ digest), a node SHA-256(1 ‖ left ‖ right),
// and the left subtree is the largest full one. No leaves: SHA-256 of nothing.
func MerkleRoot(leaves []Leaf) artifacts.Digest {
	hashes := make([][32]byte, len(leaves))
	for i, l := range leaves {
		hashes[i] = leafHash(l)
	}
	return named(merkle(hashes))
}

func leafHash(l Leaf) [32]byte {
	return sha256.Sum256([]byte("\x00" + l.Name + "\x00" + string(l.Digest)))
}

func nodeHash(left, right [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func merkle(h [][32]byte) [32]byte {
	switch len(h) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return h[0]
	}
	k := split(len(h))
	return nodeHash(merkle(h[:k]), merkle(h[k:]))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// Prove makes the proof of leaf i.
func Prove(leaves []Leaf, i int) (Proof, error) {
	if i < 0 || i >= len(leaves) {
		return Proof{}, fmt.Errorf("leaf %d of %d: %w", i, len(leaves), ErrNoProof)
	}
	p := Proof{Leaf: leaves[i], Index: i, Count: len(leaves)}
	hashes := make([][32]byte, len(leaves))
	for k, l := range leaves {
		hashes[k] = leafHash(l)
	}
	for len(hashes) > 1 { // from the root downwards
		k := split(len(hashes))
		if i < k {
			p.Path = append(p.Path, named(merkle(hashes[k:])))
			hashes = hashes[:k]
		} else {
			p.Path = append(p.Path, named(merkle(hashes[:k])))
			hashes, i = hashes[k:], i-k
		}
	}
	for a, b := 0, len(p.Path)-1; a < b; a, b = a+1, b-1 {
		p.Path[a], p.Path[b] = p.Path[b], p.Path[a]
	}
	return p, nil
}

// Check reports whether the leaf is under the root at its place: an error
// wraps ErrNoProof.
func (p Proof) Check(root artifacts.Digest) error {
	const pathMax = 64
	if p.Index < 0 || p.Index >= p.Count || len(p.Path) > pathMax {
		return fmt.Errorf("leaf %d of %d with a path of %d: %w", p.Index, p.Count, len(p.Path), ErrNoProof)
	}
	var left []bool // whether the sibling is on the left, from the root downwards
	for i, n := p.Index, p.Count; n > 1; {
		k := split(n)
		if left = append(left, i >= k); i < k {
			n = k
		} else {
			i, n = i-k, n-k
		}
	}
	if len(left) != len(p.Path) {
		return fmt.Errorf("%s: a path of %d, want %d: %w", p.Leaf.Name, len(p.Path), len(left), ErrNoProof)
	}
	h := leafHash(p.Leaf)
	for i, d := range p.Path {
		raw, err := hex.DecodeString(d.Hex())
		if err != nil || len(raw) != sha256.Size {
			return fmt.Errorf("%s: path[%d] is not a digest: %w", p.Leaf.Name, i, ErrNoProof)
		}
		if left[len(left)-1-i] {
			h = nodeHash([32]byte(raw), h)
		} else {
			h = nodeHash(h, [32]byte(raw))
		}
	}
	if named(h) != root {
		return fmt.Errorf("%s: gives %s, the root is %s: %w", p.Leaf.Name, named(h).Short(), root.Short(), ErrNoProof)
	}
	return nil
}

func named(h [32]byte) artifacts.Digest {
	return artifacts.Digest("sha256:" + hex.EncodeToString(h[:]))
}
