package catalog

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// scan reads canonical JSON front to back: exactly what encoding/json writes
// for a value, and nothing else. Whatever it does not know for certain to be
// canonical, such as a string with an escape that could be written otherwise,
// it leaves to encoding/json or refuses; the caller then decides the long way.
//
// It exists because a host must hold ten thousand variants against the rules
// in less time than encoding/json takes to read them (BenchmarkDecodeManifest).
type scan struct {
	s    string // the text; strings of what is decoded are parts of it
	i    int
	keys []string // of the objects of a value that are open
	room room
}

func newScan(b []byte) *scan { return &scan{s: string(b)} }

// reset begins to read b, keeping the room.
func (r *scan) reset(b []byte) { r.s, r.i, r.keys = string(b), 0, r.keys[:0] }

func (r *scan) end() bool { return r.i == len(r.s) }

// lit steps over x if it comes next.
func (r *scan) lit(x string) bool {
	if !strings.HasPrefix(r.s[r.i:], x) {
		return false
	}
	r.i += len(x)
	return true
}

// unescaped are the bytes that stand for themselves in a string that
// encoding/json writes.
var unescaped = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = !strings.ContainsRune(`"\<>&`, rune(c))
	}
	return t
}()

func plainText(s string) bool {
	for i := range len(s) {
		if !unescaped[s[i]] {
			return false
		}
	}
	return true
}

// text reads a string.
func (r *scan) text() (string, bool) {
	if !r.lit(`"`) {
		return "", false
	}
	from := r.i
	for r.i < len(r.s) && unescaped[r.s[r.i]] {
		r.i++
	}
	if r.i < len(r.s) && r.s[r.i] == '"' {
		r.i++
		return r.s[from : r.i-1], true
	}
	return r.rareText(from)
}

// rareText reads a string with escapes or beyond ASCII; from is its first byte.
func (r *scan) rareText(from int) (string, bool) {
	for r.i < len(r.s) && r.s[r.i] != '"' {
		if r.s[r.i] == '\\' {
			r.i++
		}
		r.i++
	}
	if r.i >= len(r.s) {
		return "", false
	}
	r.i++
	literal := r.s[from-1 : r.i]
	var s string
	if err := json.Unmarshal([]byte(literal), &s); err != nil {
		return "", false
	}
	again, err := json.Marshal(s)
	return s, err == nil && string(again) == literal
}

// inNumber are the bytes that a number may be made of.
var inNumber = func() (t [256]bool) {
	for _, c := range "0123456789+-.eE" {
		t[c] = true
	}
	return t
}()

// number reads the longest run that could be a number.
func (r *scan) number() string {
	from := r.i
	for r.i < len(r.s) && inNumber[r.s[r.i]] {
		r.i++
	}
	return r.s[from:r.i]
}

// digits steps over digits and returns how many there were.
func (r *scan) digits() int {
	from := r.i
	for r.i < len(r.s) && r.s[r.i]-'0' < 10 {
		r.i++
	}
	return r.i - from
}

// anyNumber steps over a number as RFC 8259 (section 6) spells it.
func (r *scan) anyNumber() bool {
	r.lit("-")
	from := r.i
	if n := r.digits(); n == 0 || (n > 1 && r.s[from] == '0') {
		return false
	}
	if r.lit(".") && r.digits() == 0 {
		return false
	}
	if !r.lit("e") && !r.lit("E") {
		return true
	}
	if !r.lit("+") {
		r.lit("-")
	}
	return r.digits() > 0
}

// value steps over any compact JSON value of plain strings without a repeated
// key, at most depth objects and lists deep.
func (r *scan) value(depth int) bool {
	if r.end() || depth == 0 {
		return false
	}
	switch r.s[r.i] {
	case '{':
		return r.object(depth)
	case '[':
		return r.list(func() bool { return r.value(depth - 1) })
	case '"':
		s, ok := r.text()
		return ok && plainText(s)
	case 't':
		return r.lit("true")
	case 'f':
		return r.lit("false")
	case 'n':
		return r.lit("null")
	}
	return r.anyNumber()
}

func (r *scan) object(depth int) bool {
	base := len(r.keys)
	r.i++
	if r.lit("}") {
		return true
	}
	for {
		key, ok := r.text()
		if !ok || !plainText(key) || contains(r.keys[base:], key) || !r.lit(":") {
			return false
		}
		r.keys = append(r.keys, key)
		if !r.value(depth - 1) {
			return false
		}
		if r.lit("}") {
			r.keys = r.keys[:base]
			return true
		}
		if !r.lit(",") || len(r.keys)-base == maxList {
			return false
		}
	}
}

// list reads a list, each element with one.
func (r *scan) list(one func() bool) bool {
	if !r.lit("[") {
		return false
	}
	if r.lit("]") {
		return true
	}
	for {
		if !one() {
			return false
		}
		if r.lit("]") {
			return true
		}
		if !r.lit(",") {
			return false
		}
	}
}

// unsigned reads a number without a sign, a fraction or a leading zero.
func (r *scan) unsigned() (uint64, bool) {
	from := r.i
	n := r.digits()
	if n == 0 || (n > 1 && r.s[from] == '0') || (r.i < len(r.s) && inNumber[r.s[r.i]]) {
		return 0, false
	}
	u, err := strconv.ParseUint(r.s[from:r.i], 10, 64)
	return u, err == nil
}

func (r *scan) uint(u *uint64) (ok bool) {
	*u, ok = r.unsigned()
	return ok
}

func (r *scan) id(id *VariantID) bool {
	u, ok := r.unsigned()
	*id = VariantID(u)
	return ok && uint64(*id) == u
}

// integer reads a signed number; minus zero is not how it is written.
func (r *scan) integer(n *int64) bool {
	negative := r.lit("-")
	u, ok := r.unsigned()
	if *n = int64(u); negative {
		*n = -*n
		return ok && u != 0 && *n < 0
	}
	return ok && *n >= 0
}

func (r *scan) int(n *int) bool {
	var x int64
	ok := r.integer(&x)
	*n = int(x)
	return ok && int64(*n) == x
}

// float reads a finite number: the quick way, or with strconv.
func (r *scan) float(f *float64) bool {
	from := r.i
	if d, ok := r.decimal(); ok {
		if *f, ok = d.float(); ok {
			return true
		}
	}
	r.i = from
	s := r.number()
	var err error
	if *f, err = strconv.ParseFloat(s, 64); err != nil {
		return false
	}
	var buffer [32]byte
	return string(appendFloat(buffer[:0], *f)) == s
}

// decimal reads a number without an exponent, of at most 17 digits besides
// zeros in front; whole ones have at most 15.
func (r *scan) decimal() (d decimal, ok bool) {
	d.negative = r.lit("-")
	from := r.i
	for ; r.i < len(r.s) && r.s[r.i]-'0' < 10 && d.m < 1e17; r.i++ {
		d.m = 10*d.m + uint64(r.s[r.i]-'0')
	}
	if n := r.i - from; n == 0 || (n > 1 && r.s[from] == '0') {
		return d, false
	}
	if r.lit(".") {
		for ; r.i < len(r.s) && r.s[r.i]-'0' < 10 && d.m < 1e17 && d.k < maxScale; r.i++ {
			d.m = 10*d.m + uint64(r.s[r.i]-'0')
			d.k++
		}
		if d.k == 0 || r.s[r.i-1] == '0' {
			return d, false
		}
	}
	more := r.i < len(r.s) && inNumber[r.s[r.i]]
	return d, !more && d.m < 1e17 && (d.k > 0 || d.m < 1e15)
}

// appendFloat writes a finite f as encoding/json does: as ECMAScript's
// Number.toString, but minus zero keeps its sign.
func appendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if magnitude := max(f, -f); magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && (b[n-3] == '-' || b[n-3] == '+') && b[n-2] == '0' {
		b[n-2] = b[n-1] // e-09 to e-9
		b = b[:n-1]
	}
	return b
}

// time reads a time as encoding/json writes it.
func (r *scan) time(t *time.Time) bool {
	s, ok := r.text()
	if !ok {
		return false
	}
	var err error
	*t, err = time.Parse(time.RFC3339Nano, s)
	return err == nil && t.Format(time.RFC3339Nano) == s
}
