package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/arqon/arqon/artifacts"
)

// The transparency log of a repository is a Merkle tree (RFC 6962) whose
// record n−1 is the file metadata/n.snapshot.json: every commit, and so every
// release, role and yank that was ever in force. Its tiles have x/mod's paths
// below log/, and log/n.checkpoint is the note that the timestamp's key signs
// over the tree of the first n records before the head may move to commit n.
//
// A client that has seen one checkpoint refuses every head whose log does not
// continue it. So whoever holds the online keys and shows two nodes different
// histories must keep them apart for ever.
const (
	// LogOrigin is the first line of every checkpoint and the name of its signer.
	LogOrigin = "github.com/arqon/arqon/log/1"

	// logTileHeight is 4 so that a refresh fetches tiles of at most 512 bytes:
	// three of them hold the proof for 4,096 commits.
	logTileHeight      = 4
	maxCheckpointBytes = 4 << 10
)

// CheckpointName is where the checkpoint of the first n commits lives.
func CheckpointName(n int64) string { return fmt.Sprintf("log/%d.checkpoint", n) }

// LostRecord stands in the log for a number under which a stranger had put
// something that is no commit.
func LostRecord(n int64) []byte { return fmt.Appendf(nil, "arqon-log/1 lost %d\n", n) }

// Log is the log as a head promises it.
type Log struct {
	Size     int64            `json:"size"`     // commits in it; 0: none seen
	Hash     string           `json:"hash"`     // of the tree, base64
	Snapshot artifacts.Digest `json:"snapshot"` // of the last commit
}

// File is a file that is to be written into a repository.
type File struct {
	Name  string
	Bytes []byte
}

// NoteKey is one ECDSA P-256 key in the terms of signed notes. It verifies,
// and signs if Key is not nil.
type NoteKey struct {
	Public *ecdsa.PublicKey
	Key    func(message []byte) ([]byte, error) // ASN.1 ECDSA over SHA-256
}

// Name implements note.Verifier and note.Signer.
func (k NoteKey) Name() string { return LogOrigin }

// KeyHash is the one that C2SP's signed-note gives ECDSA keys: the first four
// bytes of SHA-256 of the key in PKIX form.
func (k NoteKey) KeyHash() uint32 {
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return 0 // a key that was read from such a form has one
	}
	sum := sha256.Sum256(der)
	return binary.BigEndian.Uint32(sum[:])
}

// Verify implements note.Verifier.
func (k NoteKey) Verify(message, sig []byte) bool { return verify(k.Public, message, sig) }

// Sign implements note.Signer.
func (k NoteKey) Sign(message []byte) ([]byte, error) { return k.Key(message) }

// checkpoint reads the tree of n commits that a key of the timestamp role signed.
func (w *walk) checkpoint(ctx context.Context, h *Head, n int64) (tlog.Tree, error) {
	name := CheckpointName(n)
	b, err := w.fetch(ctx, name, maxCheckpointBytes)
	if err != nil {
		return tlog.Tree{}, err
	}
	var keys []note.Verifier
	for _, id := range h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs {
		public, err := checkKey(MetadataName(metadata.ROOT, h.Root.Signed.Version), id, h.Root.Signed.Keys[id])
		if err != nil {
			return tlog.Tree{}, err
		}
		keys = append(keys, NoteKey{Public: public})
	}
	tree, err := openCheckpoint(b, keys...)
	if err != nil {
		reason := Malformed
		var bad *note.InvalidSignatureError
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &bad) || errors.As(err, &unknown) {
			reason = BadSignature
		}
		return tree, refuse(reason, name, "%v", err)
	}
	if tree.N != n {
		return tree, refuse(Malformed, name, "is of %d commits", tree.N)
	}
	return tree, nil
}

// openCheckpoint accepts the one spelling of a checkpoint with one signature.
func openCheckpoint(b []byte, keys ...note.Verifier) (tlog.Tree, error) {
	n, err := note.Open(b, note.VerifierList(keys...))
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		return tlog.Tree{}, errors.New("want one signature")
	}
	sig, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil {
		return tlog.Tree{}, err
	}
	again := fmt.Appendf(nil, "%s\n— %s %s\n", n.Text, n.Sigs[0].Name, base64.StdEncoding.EncodeToString(sig))
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != LogOrigin || !bytes.Equal(again, b) {
		return tlog.Tree{}, fmt.Errorf("want the lines %s, size and hash", LogOrigin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, err
	}
	tree := tlog.Tree{N: size, Hash: hash}
	if size < 1 || checkpointText(tree) != n.Text {
		return tlog.Tree{}, errors.New("not in canonical form")
	}
	return tree, nil
}

func checkpointText(t tlog.Tree) string { return fmt.Sprintf("%s\n%d\n%s\n", LogOrigin, t.N, t.Hash) }

// logged checks that the head's snapshot is the last record of the log, and
// that the log continues the one that was seen before.
func (w *walk) logged(ctx context.Context, h *Head) error {
	n := h.Snapshot.Signed.Version
	tree, err := w.checkpoint(ctx, h, n)
	if err != nil {
		return err
	}
	snapshot := metaRef(h.Timestamp.Signed.Meta["snapshot.json"]).Digest
	h.Log = Log{Size: n, Hash: tree.Hash.String(), Snapshot: snapshot}
	if h.Log == w.log && !w.audit {
		return nil // proved before
	}
	tiles := &tiles{ctx: ctx, walk: w}
	reader := tlog.TileHashReader(tree, tiles)
	leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n-1)})
	if err != nil {
		return tiles.refusal(n, err)
	}
	if leaf[0] != tlog.RecordHash(h.snapshotBytes) {
		return refuse(NotLogged, CheckpointName(n), "commit %d in the log is not %s", n, MetadataName(metadata.SNAPSHOT, n))
	}
	return w.continues(tiles, tree)
}

// records returns the hashes of the log's records, in order.
func (w *walk) records(ctx context.Context, h *Head) ([]tlog.Hash, error) {
	hash, err := tlog.ParseHash(h.Log.Hash)
	if err != nil {
		return nil, err
	}
	indexes := make([]int64, h.Log.Size)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	tiles := &tiles{ctx: ctx, walk: w}
	hashes, err := tlog.TileHashReader(tlog.Tree{N: h.Log.Size, Hash: hash}, tiles).ReadHashes(indexes)
	if err != nil {
		return nil, tiles.refusal(h.Log.Size, err)
	}
	return hashes, nil
}

// continues checks that the tree begins with the one that was seen before.
func (w *walk) continues(tiles *tiles, tree tlog.Tree) error {
	if w.log.Size == 0 {
		return nil
	}
	if tree.N < w.log.Size {
		return refuse(Rollback, CheckpointName(tree.N), "the log has %d commits, and %d were seen before", tree.N, w.log.Size)
	}
	old, err := tlog.TreeHash(w.log.Size, tlog.TileHashReader(tree, tiles))
	if err != nil {
		return tiles.refusal(tree.N, err)
	}
	if old.String() != w.log.Hash {
		return refuse(SplitView, CheckpointName(tree.N), "its first %d commits are not those that were seen before: two histories are shown", w.log.Size)
	}
	return nil
}

// tiles reads tiles of the log from the repository.
type tiles struct {
	ctx  context.Context
	walk *walk
	read map[string][]byte
}

// Height implements tlog.TileReader.
func (t *tiles) Height() int { return logTileHeight }

// ReadTiles implements tlog.TileReader.
func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	if t.read == nil {
		t.read = map[string][]byte{}
	}
	var out [][]byte
	for _, tile := range want {
		name := "log/" + tile.Path()
		size := tile.W * tlog.HashSize
		b, ok := t.read[name]
		if !ok {
			var err error
			if b, err = t.walk.fetch(t.ctx, name, int64(size)); err != nil {
				return nil, err
			}
			if len(b) != size {
				return nil, refuse(Malformed, name, "%d bytes instead of %d", len(b), size)
			}
			t.read[name] = b
		}
		out = append(out, b)
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader.
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// refusal names the tile that does not fit when there is but one.
func (t *tiles) refusal(n int64, err error) error {
	if ReasonOf(err) != "" {
		return err
	}
	file := CheckpointName(n)
	if len(t.read) == 1 {
		for name := range t.read {
			file = name
		}
	}
	return refuse(BadDigest, file, "the tiles of the log do not give its checkpoint: %v", err)
}

// ExtendLog returns the files that the log needs before the head may move from
// h to the snapshot n: new tiles and the checkpoint, signed with the key.
// Numbers between the two are lost.
func ExtendLog(ctx context.Context, store artifacts.Store, h *Head, n int64, snapshot []byte, key NoteKey) ([]File, error) {
	w := &walk{store: store}
	tree := tlog.Tree{}
	if h != nil {
		hash, err := tlog.ParseHash(h.Log.Hash)
		if err != nil {
			return nil, err
		}
		tree = tlog.Tree{N: h.Log.Size, Hash: hash}
	}
	old := &tiles{ctx: ctx, walk: w}
	fresh := &freshHashes{from: tlog.StoredHashCount(tree.N), old: tlog.TileHashReader(tree, old)}
	for i := tree.N; i < n; i++ {
		record := LostRecord(i + 1)
		if i == n-1 {
			record = snapshot
		}
		hashes, err := tlog.StoredHashes(i, record, fresh)
		if err != nil {
			return nil, old.refusal(tree.N, err)
		}
		fresh.hashes = append(fresh.hashes, hashes...)
	}
	hash, err := tlog.TreeHash(n, fresh)
	if err != nil {
		return nil, old.refusal(tree.N, err)
	}
	var files []File
	for _, t := range tlog.NewTiles(logTileHeight, tree.N, n) {
		b, err := tlog.ReadTileData(t, fresh)
		if err != nil {
			return nil, old.refusal(tree.N, err)
		}
		files = append(files, File{Name: "log/" + t.Path(), Bytes: b})
	}
	b, err := note.Sign(&note.Note{Text: checkpointText(tlog.Tree{N: n, Hash: hash})}, key)
	if err != nil {
		return nil, err
	}
	return append(files, File{Name: CheckpointName(n), Bytes: b}), nil
}

// freshHashes are the stored hashes of a log that is being extended: the old
// ones from its tiles, the new ones from memory.
type freshHashes struct {
	from   int64 // index of the first new one
	old    tlog.HashReader
	hashes []tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (f *freshHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var before []int64
	for i, x := range indexes {
		switch {
		case x < f.from:
			before = append(before, x)
		case x-f.from < int64(len(f.hashes)):
			out[i] = f.hashes[x-f.from]
		default:
			return nil, fmt.Errorf("hash %d is beyond the log", x)
		}
	}
	if len(before) == 0 {
		return out, nil
	}
	hashes, err := f.old.ReadHashes(before)
	if err != nil {
		return nil, err
	}
	for i, x := range indexes {
		if x < f.from {
			out[i], hashes = hashes[0], hashes[1:]
		}
	}
	return out, nil
}

// SameCheckpoint reports whether both are checkpoints of one tree by the key:
// two publishers that finish the same commit sign different bytes.
func SameCheckpoint(a, b []byte, key NoteKey) bool {
	x, errX := openCheckpoint(a, key)
	y, errY := openCheckpoint(b, key)
	return errX == nil && errY == nil && x == y
}
