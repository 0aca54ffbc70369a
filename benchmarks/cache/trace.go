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

// ReadTraceFile reads a trace; a file that ends inside a record, has a line
// that is not one, or holds more than 16,777,216 uses is refused.
func ReadTraceFile(path string, f Format) ([]Use, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	uses, err := ReadTrace(file, f)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return uses, nil
}

// ReadTrace is ReadTraceFile for any reader.
func ReadTrace(r io.Reader, f Format) ([]Use, error) { return readTrace(r, f, usesFileMax) }

func readTrace(r io.Reader, f Format, most int) ([]Use, error) {
	read, ok := readers[f]
	if !ok {
		return nil, fmt.Errorf("%w: format %.40q is not one of %v", ErrTrace, f, Formats())
	}
	var uses []Use
	err := read(bufio.NewReaderSize(r, 1<<16), func(u Use) error {
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
	return lines(r, func(_ int, line string) error {
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
	return records(r, 4, func(b []byte) error {
		return add(Use{uint64(binary.LittleEndian.Uint32(b)), unitBytes})
	})
}

// readOracle: u32 time, u64 object, u32 size, i64 next use.
func readOracle(r *bufio.Reader, add func(Use) error) error {
	return records(r, oracleBytes, func(b []byte) error {
		return add(Use{binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint32(b[12:])})
	})
}
