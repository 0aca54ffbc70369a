package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is how a trace file is written.
type Format string

// The formats.
const (
	FormatKeys   Format = "keys"   // text, one key a line: a number, or any word
	FormatU32    Format = "u32"    // little-endian uint32 keys
	FormatARC    Format = "arc"    // text, "first-block blocks ignored request" (Megiddo & Modha's traces)
	FormatOracle Format = "oracle" // libCacheSim oracleGeneral: 24-byte records, little-endian
)

// The limits of a trace file.
const (
	usesFileMax  = 1 << 24
	lineMaxBytes = 4096
	u32Bytes     = 4
	oracleBytes  = 24
)

// ErrTrace is wrapped by every refusal of a trace file.
var ErrTrace = errors.New("bad trace")

// readers decode whole traces.
var readers = map[Format]func(r *bufio.Reader, add func(Use) error) error{
	FormatKeys: readKeys, FormatU32: readU32, FormatARC: readARC, FormatOracle: readOracle,
}

// Formats lists the formats' names.
func Formats() []Format { return slices.Sorted(maps.Keys(readers)) }

// recordBytes are the formats of nothing but records.
var recordBytes = map[Format]int64{FormatU32: u32Bytes, FormatOracle: oracleBytes}

// ReadTraceFile reads a trace. A file that ends inside a record, has a line
// that is not one, is compressed, looks like the other kind of format, or holds
// more than 16,777,216 uses is refused; a file of records before any is read.
func ReadTraceFile(path string, f Format) ([]Use, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	uses, err := readFile(file, f)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return uses, nil
}

func readFile(file *os.File, f Format) ([]Use, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%w: a directory", ErrTrace)
	}
	if size := recordBytes[f]; size > 0 && info.Mode().IsRegular() {
		switch n := info.Size() / size; {
		case info.Size()%size != 0:
			if err := looksLike(bufio.NewReaderSize(file, lookBytes), f); err != nil {
				return nil, err // a better reason than a length that does not fit
			}
			return nil, fmt.Errorf("%w: ends inside record %d of %d bytes", ErrTrace, n, size)
		case n > usesFileMax:
			return nil, fmt.Errorf("%w: %d records are more than %d uses: cut the file", ErrTrace, n, usesFileMax)
		}
	}
	return ReadTrace(file, f)
}

// ReadTrace is ReadTraceFile for any reader.
func ReadTrace(r io.Reader, f Format) ([]Use, error) { return readTrace(r, f, usesFileMax) }

func readTrace(r io.Reader, f Format, most int) ([]Use, error) {
	read, ok := readers[f]
	if !ok {
		return nil, fmt.Errorf("%w: format %.40q is not one of %v", ErrTrace, f, Formats())
	}
	in := bufio.NewReaderSize(r, 1<<16)
	if err := looksLike(in, f); err != nil {
		return nil, err
	}
	var uses []Use
	err := read(in, func(u Use) error {
		if len(uses) == most {
			return fmt.Errorf("%w: more than %d uses: cut the file", ErrTrace, most)
		}
		uses = append(uses, u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(uses) == 0 {
		return nil, fmt.Errorf("%w: no use in it", ErrTrace)
	}
	return uses, nil
}

// packed are the first bytes of files that must be unpacked first.
var packed = map[string]string{"\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "BZh": "bzip2", "\xfd7zXZ": "xz", "PK\x03\x04": "zip"}

// lookBytes is how much of a file says whether it is text.
const lookBytes = 4096

// looksLike refuses a file that is plainly of another kind than its format.
// Records whose first 4 KiB are all printable do not exist in practice: every
// number in them would be above 150 million.
func looksLike(r *bufio.Reader, f Format) error {
	head, err := r.Peek(lookBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, magic := range slices.Sorted(maps.Keys(packed)) {
		if strings.HasPrefix(string(head), magic) {
			return fmt.Errorf("%w: it is compressed (%s): unpack it", ErrTrace, packed[magic])
		}
	}
	binary := slices.ContainsFunc(head, func(c byte) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' })
	switch {
	case recordBytes[f] > 0 && len(head) >= oracleBytes && !binary:
		return fmt.Errorf("%w: it is text, and %s is records of %d bytes: is it %s or %s?", ErrTrace, f, recordBytes[f], FormatKeys, FormatARC)
	case recordBytes[f] == 0 && binary:
		return fmt.Errorf("%w: it is not text, and %s is: is it %s or %s?", ErrTrace, f, FormatU32, FormatOracle)
	}
	return nil
}

// lines calls each with every line that is not empty.
func lines(r *bufio.Reader, each func(number int, line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, lineMaxBytes)
	n := 0
	for s.Scan() {
		n++
		if line := strings.TrimSpace(s.Text()); line != "" {
			if err := each(n, line); err != nil {
				return err
			}
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%w: line %d is longer than %d bytes", ErrTrace, n+1, lineMaxBytes)
	}
	return s.Err()
}

func readKeys(r *bufio.Reader, add func(Use) error) error {
	return lines(r, func(number int, line string) error {
		if n := len(strings.Fields(line)); n > 1 || !utf8.ValidString(line) {
			return fmt.Errorf("%w: line %d: %.80q is no key: want one number or word a line (four columns are format %s)", ErrTrace, number, line, FormatARC)
		}
		key, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			key = 14695981039346656037 // FNV-1a of a word
			for _, c := range []byte(line) {
				key = (key ^ uint64(c)) * 1099511628211
			}
		}
		return add(Use{key, unitBytes})
	})
}

// unitBytes is the size of an entry whose trace does not say; an ARC block.
const (
	unitBytes  = 1024
	blockBytes = 512
)

func readARC(r *bufio.Reader, add func(Use) error) error {
	return lines(r, func(number int, line string) error {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return fmt.Errorf("%w: line %d: %d columns, want 4", ErrTrace, number, len(fields))
		}
		first, err := strconv.ParseUint(fields[0], 10, 63)
		if err != nil {
			return fmt.Errorf("%w: line %d: first block %.40q is not a number", ErrTrace, number, fields[0])
		}
		blocks, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil || blocks == 0 {
			return fmt.Errorf("%w: line %d: %.40q is not a number of blocks", ErrTrace, number, fields[1])
		}
		if blocks > usesFileMax {
			return fmt.Errorf("%w: line %d: %d blocks are more than %d uses", ErrTrace, number, blocks, usesFileMax)
		}
		for i := range blocks {
			if err := add(Use{first + i, blockBytes}); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
		return nil
	})
}

// records calls each with every record of a file of nothing but records.
func records(r *bufio.Reader, size int, each func(b []byte) error) error {
	b := make([]byte, size)
	for n := 0; ; n++ {
		switch _, err := io.ReadFull(r, b); {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%w: ends inside record %d of %d bytes", ErrTrace, n, size)
		case err != nil:
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
}

func readU32(r *bufio.Reader, add func(Use) error) error {
	return records(r, u32Bytes, func(b []byte) error {
		return add(Use{uint64(binary.LittleEndian.Uint32(b)), unitBytes})
	})
}

// readOracle: u32 time, u64 object, u32 size, i64 next use, which is −1 where
// there is none. Only the object and the size are used.
func readOracle(r *bufio.Reader, add func(Use) error) error {
	n := 0
	return records(r, oracleBytes, func(b []byte) error {
		if next := int64(binary.LittleEndian.Uint64(b[16:])); next < -1 {
			return fmt.Errorf("%w: record %d: the next use is %d: not an oracleGeneral trace", ErrTrace, n, next)
		}
		n++
		return add(Use{binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint32(b[12:])})
	})
}
