package universe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	goruntime "runtime"

	"golang.org/x/sys/cpu"
)

// What wazero 1.12 keeps of a compiled module, for a kernel: one function, no
// source map, no exceptions. Numbers are little-endian.
//
//	"WAZEVO"  length of the version (1 byte)  version
//	functions (4): 1     where the function begins (8): 0
//	length of the code (8)  code  its CRC-32C (4)
//	source map (1): 0    tables of catch clauses (4): 0
//
// wazero itself believes the numbers in it: it allocates a slice for as many
// functions, and memory for as much code, as the file says, and a source map
// without code makes it panic. So nothing gets to wazero that readCompiled has
// not read to the end.
const (
	compiledMagic    = "WAZEVO"
	compiledBytesMax = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errCutOff = errors.New("ends in the middle")

// readCompiled checks a cache file from its first byte to its last and returns
// the machine code in it. version is what the wazero of this program calls
// itself. Whatever it accepts wazero accepts; it does not look at the code.
func readCompiled(b []byte, version string) (machineCode []byte, err error) {
	if len(b) > compiledBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d", len(b), compiledBytesMax)
	}
	r := cutter{rest: b}
	if got := string(r.take(len(compiledMagic))); got != compiledMagic {
		return nil, fmt.Errorf("begins with %q: not a cache file of wazero's compiler", got)
	}
	if got := string(r.take(int(r.number(1)))); r.err == nil && got != version {
		return nil, fmt.Errorf("compiled by wazero %.40q, this program has %q", got, version)
	}
	functions, first := r.number(4), r.number(8)
	if r.err == nil && (functions != 1 || first != 0) {
		return nil, fmt.Errorf("%d functions, the first at %d: a kernel is one, at 0", functions, first)
	}
	size := r.number(8)
	if r.err == nil && (size == 0 || size > uint64(len(r.rest))) {
		return nil, fmt.Errorf("%d bytes of code in %d bytes", size, len(r.rest))
	}
	machineCode = r.take(int(size))
	sum, maps, catches := r.number(4), r.number(1), r.number(4)
	switch {
	case r.err != nil:
		return nil, r.err
	case uint64(crc32.Checksum(machineCode, castagnoli)) != sum:
		return nil, fmt.Errorf("its code has another checksum than the %#x that it says", sum)
	case maps != 0 || catches != 0:
		return nil, errors.New("has a source map or catches exceptions: a kernel does neither")
	case len(r.rest) > 0:
		return nil, fmt.Errorf("%d bytes after its end", len(r.rest))
	}
	return machineCode, nil
}

// cutter takes bytes off the front until there are too few.
type cutter struct {
	rest []byte
	err  error
}

func (c *cutter) take(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.rest) {
		c.err = errCutOff
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

// number is a little-endian number of n bytes.
func (c *cutter) number(n int) uint64 {
	var whole [8]byte
	copy(whole[:], c.take(n))
	return binary.LittleEndian.Uint64(whole[:])
}

// compiledName is what wazero calls the cache file of a module: a digest of its
// bytes, of how it is compiled (no listener, and not stopped when a context
// ends), and of the processor's features.
func compiledName(module []byte, features uint64) string {
	const notStopped = 0
	id := sha256.Sum256(append(module[:len(module):len(module)], notStopped))
	key := sha256.Sum256(binary.LittleEndian.AppendUint64(append(id[:], compiledMagic...), features))
	return hex.EncodeToString(key[:])
}

// processorFeatures are those that decide what wazero compiles and what it
// calls the result, bit 0 first, and nothing else of a processor does: its
// platform.CpuFeatures. Other architectures have no compiler.
func processorFeatures() (names []string, bits uint64) {
	x, a := &cpu.X86, &cpu.ARM64
	by := map[string][]struct {
		name string
		have bool
	}{
		"amd64": {{"sse4.1", x.HasSSE41}, {"bmi1", x.HasBMI1}, {"abm", x.HasBMI1 && x.HasBMI2 && x.HasPOPCNT}},
		"arm64": {{"atomics", a.HasATOMICS}},
	}
	names = []string{} // "cpu": [], not null
	for i, f := range by[goruntime.GOARCH] {
		if f.have {
			names = append(names, f.name)
			bits |= 1 << i
		}
	}
	return names, bits
}
