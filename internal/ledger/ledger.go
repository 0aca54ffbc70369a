// Package ledger keeps append-only records in one file: each record carries its
// length, a CRC-32C and a sequence number, and a SHA-256 chain runs over the
// whole file, so that a crash loses at most the unsynced tail and anything
// else that happened to the file is noticed. The study journal, the gates'
// alpha ledger and the runtime's event log are all files of this kind.
//
// The package knows nothing of what a record means. It holds no clock, no
// network and no third-party code, because the runtime links it. It is not a
// database: there is no index, no deletion and one writer at a time. The chain
// detects damage and reordering; it proves who wrote the file only to somebody
// who kept a head digest elsewhere.
//
// Layout, all integers little-endian:
//
//	header   magic "ARQONLOG" | version u32 | purpose length u32 | seed u64 |
//	         base sequence u64 | previous head [32] | purpose | crc32c u32
//	record   payload length u32 | crc32c u32 | sequence u64 | kind u16 | payload
//
// A record's CRC covers its length, sequence, kind and payload and starts from
// the header's CRC, so a record cut from another file does not fit into this
// one. The chain is h₀ = SHA-256(header) and hᵢ = SHA-256(hᵢ₋₁ ‖ record).
package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Limits. A file or a record beyond them is refused, never truncated.
const (
	MaxPayloadBytes     = 16 << 20
	MaxPurposeBytes     = 255
	DefaultFileBytesMax = 1 << 30 // what an Options.BytesMax of 0 means
	maxFileBytes        = 4 << 30 // what a reader accepts at all
)

const (
	version           = 1
	headerFixedBytes  = 8 + 4 + 4 + 8 + 8 + 32
	recordFixedBytes  = 4 + 4 + 8 + 2
	flushBytes        = 64 << 10
	crcBytes          = 4
	tailWorkBytes     = 1 << 30 // bytes that the search behind a torn tail may check at most
	recordCRCFrom     = 4       // offset of the CRC within a record
	recordCoveredFrom = 8       // offset of what follows the CRC
)

var (
	magic      = [8]byte{'A', 'R', 'Q', 'O', 'N', 'L', 'O', 'G'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// The questions that a caller asks of an error.
var (
	ErrCorrupt = errors.New("ledger is corrupt")                               // damage before the tail: nothing was changed
	ErrLocked  = errors.New("locked by another process")                       // somebody else is writing
	ErrFailed  = errors.New("ledger refuses to append after a failed write")   // sticky: reopen to go on
	ErrFull    = errors.New("ledger is full")                                  // the file's cap would be passed
	ErrExists  = errors.New("ledger already exists")                           // Create found a file
	ErrForeign = errors.New("not a ledger of this version or of this purpose") // magic, version, purpose
)

// Header says what a file is for. The zero Header is valid and says nothing.
type Header struct {
	Purpose  string   // at most MaxPurposeBytes, e.g. "arqon study journal/1"
	Seed     uint64   // the root seed of what is recorded
	Base     uint64   // sequence of the first record
	Previous [32]byte // head of the segment before this one; zero for the first
}

// Record is one entry.
type Record struct {
	Seq     uint64
	Kind    uint16
	Payload []byte
	Chain   [32]byte // the chain up to and including this record
	Offset  int64    // where the record starts in the file
}

// Info is what reading a file to its end has found.
type Info struct {
	Header    Header
	Records   uint64   // how many
	Bytes     int64    // length of header and whole records
	TornBytes int64    // bytes after them that are no record: an unfinished append
	Head      [32]byte // the chain after the last record
}

// HeadHex returns the head as 64 hexadecimal digits.
func (i Info) HeadHex() string { return hex.EncodeToString(i.Head[:]) }

// appendHeader appends the wire form of h, CRC included.
func appendHeader(b []byte, h Header) []byte {
	start := len(b)
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.Purpose)))
	b = binary.LittleEndian.AppendUint64(b, h.Seed)
	b = binary.LittleEndian.AppendUint64(b, h.Base)
	b = append(b, h.Previous[:]...)
	b = append(b, h.Purpose...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// appendRecord appends the wire form of one record.
func appendRecord(b []byte, salt uint32, seq uint64, kind uint16, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[start+recordCRCFrom:], recordCRC(salt, b[start:]))
	return b
}

func recordCRC(salt uint32, record []byte) uint32 {
	c := crc32.Update(salt, castagnoli, record[:recordCRCFrom])
	return crc32.Update(c, castagnoli, record[recordCoveredFrom:])
}

func chain(head [32]byte, record []byte) [32]byte {
	h := sha256.New()
	h.Write(head[:])
	h.Write(record)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// decoder walks a file from its start. It never reads more than one record
// into memory at once.
type decoder struct {
	r    io.ReaderAt
	name string
	size int64
	off  int64
	salt uint32
	info Info
}

// Decode reads size bytes of r, calls visit for every record in order, and
// stops at the torn tail, which it reports in Info. name appears in errors. An
// error from visit ends the walk and is returned as it is. The payload belongs
// to the visitor.
func Decode(r io.ReaderAt, size int64, name string, visit func(Record) error) (Info, error) {
	d := &decoder{r: r, name: name, size: size}
	if size > maxFileBytes {
		return d.info, fmt.Errorf("%s: %d bytes are more than the %d allowed", name, size, int64(maxFileBytes))
	}
	if err := d.header(); err != nil {
		return d.info, err
	}
	next := d.info.Header.Base
	for d.off < size {
		rec, err := d.record(next)
		if errors.Is(err, errTorn) {
			return d.tail(next)
		}
		if err != nil {
			return d.info, err
		}
		if visit != nil {
			if err := visit(rec); err != nil {
				return d.info, err
			}
		}
		next++
	}
	return d.info, nil
}

// errTorn says that no whole record stands at the offset.
var errTorn = errors.New("torn")

func (d *decoder) header() error {
	var fixed [headerFixedBytes]byte
	if err := d.read(fixed[:], 0); err != nil {
		return fmt.Errorf("%s: shorter than a header: %w", d.name, orForeign(err))
	}
	if [8]byte(fixed[:8]) != magic {
		return fmt.Errorf("%s: does not start with %q: %w", d.name, magic[:], ErrForeign)
	}
	if v := binary.LittleEndian.Uint32(fixed[8:]); v != version {
		return fmt.Errorf("%s: version %d, this program reads %d: %w", d.name, v, version, ErrForeign)
	}
	n := binary.LittleEndian.Uint32(fixed[12:])
	if n > MaxPurposeBytes {
		return fmt.Errorf("%s: header: purpose of %d bytes: %w", d.name, n, ErrCorrupt)
	}
	full := make([]byte, headerFixedBytes+int(n)+crcBytes)
	if err := d.read(full, 0); err != nil {
		return fmt.Errorf("%s: header is cut short: %w", d.name, orCorrupt(err))
	}
	body := full[:len(full)-crcBytes]
	d.salt = binary.LittleEndian.Uint32(full[len(body):])
	if crc32.Checksum(body, castagnoli) != d.salt {
		return fmt.Errorf("%s: header: checksum differs: %w", d.name, ErrCorrupt)
	}
	d.info.Header = Header{
		Purpose:  string(body[headerFixedBytes:]),
		Seed:     binary.LittleEndian.Uint64(fixed[16:]),
		Base:     binary.LittleEndian.Uint64(fixed[24:]),
		Previous: [32]byte(fixed[32:64]),
	}
	d.info.Head = sha256.Sum256(full)
	d.off = int64(len(full))
	d.info.Bytes = d.off
	return nil
}

// record reads the record at d.off and advances, or returns errTorn.
func (d *decoder) record(want uint64) (Record, error) {
	b, err := d.recordAt(d.off)
	if err != nil {
		return Record{}, err
	}
	seq := binary.LittleEndian.Uint64(b[8:])
	if seq != want {
		return Record{}, fmt.Errorf("%s: offset %d: sequence %d where %d belongs: %w", d.name, d.off, seq, want, ErrCorrupt)
	}
	d.info.Head = chain(d.info.Head, b)
	rec := Record{
		Seq: seq, Kind: binary.LittleEndian.Uint16(b[16:]), Payload: b[recordFixedBytes:],
		Chain: d.info.Head, Offset: d.off,
	}
	d.off += int64(len(b))
	d.info.Bytes = d.off
	d.info.Records++
	return rec, nil
}

// recordAt returns the whole record at off if its CRC holds.
func (d *decoder) recordAt(off int64) ([]byte, error) {
	var fixed [recordFixedBytes]byte
	if off+recordFixedBytes > d.size {
		return nil, errTorn
	}
	if err := d.read(fixed[:], off); err != nil {
		return nil, d.readError(off, err)
	}
	n := int64(binary.LittleEndian.Uint32(fixed[:]))
	if n > MaxPayloadBytes || off+recordFixedBytes+n > d.size {
		return nil, errTorn
	}
	b := make([]byte, recordFixedBytes+n)
	if err := d.read(b, off); err != nil {
		return nil, d.readError(off, err)
	}
	if recordCRC(d.salt, b) != binary.LittleEndian.Uint32(b[recordCRCFrom:]) {
		return nil, errTorn
	}
	return b, nil
}

// tail decides between an unfinished append and damage: if a whole record of
// this file with a later sequence stands anywhere behind the bad place, the
// bad place was once good. It looks at every offset, because the damaged field
// may be the length.
func (d *decoder) tail(next uint64) (Info, error) {
	d.info.TornBytes = d.size - d.off
	if d.info.TornBytes > recordFixedBytes+MaxPayloadBytes {
		return d.info, fmt.Errorf("%s: offset %d: %d bytes without a record, more than one unfinished append leaves: %w",
			d.name, d.off, d.info.TornBytes, ErrCorrupt)
	}
	work := int64(tailWorkBytes)
	last := next + uint64(d.info.TornBytes/recordFixedBytes)
	const windowBytes = 1 << 20
	window := make([]byte, windowBytes+recordFixedBytes)
	for base := d.off + 1; base+recordFixedBytes <= d.size; base += windowBytes {
		w := window[:min(int64(len(window)), d.size-base)]
		if err := d.read(w, base); err != nil {
			return d.info, d.readError(base, err)
		}
		for i := 0; i+recordFixedBytes <= len(w) && i < windowBytes; i++ {
			seq := binary.LittleEndian.Uint64(w[i+8:])
			if seq < next || seq > last {
				continue
			}
			if work -= int64(min(binary.LittleEndian.Uint32(w[i:]), MaxPayloadBytes)); work < 0 {
				return d.info, fmt.Errorf("%s: offset %d: the tail is not an unfinished append: %w", d.name, d.off, ErrCorrupt)
			}
			if _, err := d.recordAt(base + int64(i)); err == nil {
				return d.info, fmt.Errorf("%s: offset %d: record %d is damaged but record %d at offset %d is whole: %w",
					d.name, d.off, next, seq, base+int64(i), ErrCorrupt)
			} else if !errors.Is(err, errTorn) {
				return d.info, err
			}
		}
	}
	return d.info, nil
}

func (d *decoder) read(b []byte, off int64) error {
	n, err := d.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (d *decoder) readError(off int64, err error) error {
	return fmt.Errorf("%s: offset %d: %w", d.name, off, err)
}

func orForeign(err error) error { return classify(err, ErrForeign) }
func orCorrupt(err error) error { return classify(err, ErrCorrupt) }

// classify keeps a real read error and names the end of the file.
func classify(err, end error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return end
	}
	return err
}
