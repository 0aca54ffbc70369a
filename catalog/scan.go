package catalog

import (
	"encoding/json"
	"reflect"
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
	s string // the text; strings of what is decoded are parts of it
	i int
}

func newScan(b []byte) *scan { return &scan{s: string(b)} }

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

// number reads the longest run that could be a number.
func (r *scan) number() string {
	from := r.i
	for r.i < len(r.s) && (r.s[r.i]-'0' < 10 || strings.IndexByte("+-.eE", r.s[r.i]) >= 0) {
		r.i++
	}
	return r.s[from:r.i]
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
	n := r.number()
	return n != "" && json.Valid([]byte(n))
}

func (r *scan) object(depth int) bool {
	var keys []string
	r.i++
	if r.lit("}") {
		return true
	}
	for {
		key, ok := r.text()
		if !ok || !plainText(key) || contains(keys, key) || !r.lit(":") || !r.value(depth-1) {
			return false
		}
		keys = append(keys, key)
		if r.lit("}") {
			return true
		}
		if !r.lit(",") || len(keys) == maxList {
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

// decoder reads one value of a type into v, which is zero or has room for a
// list; false if what comes
// next is not what encoding/json writes for a value of the type.
type decoder func(r *scan, v reflect.Value) bool

// decoderOf makes the decoder of a type once. A type that a manifest does not
// use yet is a mistake of ours.
func decoderOf(t reflect.Type) decoder {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return decodeRaw
	case reflect.TypeFor[time.Time]():
		return decodeTime
	case reflect.TypeFor[map[string]string]():
		return decodeMap(func(r *scan) (string, bool) { return r.text() })
	case reflect.TypeFor[map[string]float64]():
		return decodeMap((*scan).float)
	}
	switch t.Kind() {
	case reflect.String:
		return func(r *scan, v reflect.Value) bool {
			s, ok := r.text()
			v.SetString(s)
			return ok
		}
	case reflect.Bool:
		return func(r *scan, v reflect.Value) bool {
			v.SetBool(r.lit("true"))
			return v.Bool() || r.lit("false")
		}
	case reflect.Int, reflect.Int64:
		return func(r *scan, v reflect.Value) bool {
			s := r.number()
			n, err := strconv.ParseInt(s, 10, t.Bits())
			v.SetInt(n)
			return err == nil && canonicalInteger(s)
		}
	case reflect.Uint32, reflect.Uint64:
		return func(r *scan, v reflect.Value) bool {
			s := r.number()
			n, err := strconv.ParseUint(s, 10, t.Bits())
			v.SetUint(n)
			return err == nil && canonicalInteger(s)
		}
	case reflect.Float64:
		return func(r *scan, v reflect.Value) bool {
			f, ok := r.float()
			v.SetFloat(f)
			return ok
		}
	case reflect.Pointer:
		return decodePointer(t)
	case reflect.Slice:
		return decodeSlice(t)
	case reflect.Struct:
		return decodeStruct(t)
	default:
		panic("catalog: no decoder for " + t.String())
	}
}

// canonicalInteger refuses what strconv accepts and encoding/json never
// writes: a plus, a leading zero, minus zero.
func canonicalInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits[0] != '+' && (digits[0] != '0' || s == "0")
}

func (r *scan) float() (float64, bool) {
	s := r.number()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	var buffer [32]byte
	return f, string(appendFloat(buffer[:0], f)) == s
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

func decodeRaw(r *scan, v reflect.Value) bool {
	from := r.i
	if !r.value(maxPointDepth) {
		return false
	}
	v.SetBytes([]byte(r.s[from:r.i]))
	return true
}

// decodeTime reads a time as encoding/json writes it.
func decodeTime(r *scan, v reflect.Value) bool {
	s, ok := r.text()
	if !ok {
		return false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Format(time.RFC3339Nano) != s {
		return false
	}
	v.Set(reflect.ValueOf(t))
	return true
}

// decodePointer reads what a pointer points to; nil is left out, never null.
func decodePointer(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	return func(r *scan, v reflect.Value) bool {
		v.Set(reflect.New(t.Elem()))
		return element(r, v.Elem())
	}
}

// decodeMap reads an object with ascending keys, so that none repeats.
func decodeMap[V any](value func(*scan) (V, bool)) decoder {
	return func(r *scan, v reflect.Value) bool {
		m := map[string]V{}
		last := ""
		if !r.lit("{") {
			return false
		}
		for !r.lit("}") {
			if len(m) > 0 && !r.lit(",") {
				return false
			}
			key, ok := r.text()
			if !ok || (len(m) > 0 && key <= last) || !r.lit(":") {
				return false
			}
			x, ok := value(r)
			if !ok {
				return false
			}
			m[key], last = x, key
		}
		v.Set(reflect.ValueOf(m))
		return true
	}
}

func decodeSlice(t reflect.Type) decoder {
	element, empty := decoderOf(t.Elem()), reflect.MakeSlice(t, 0, 0)
	return func(r *scan, v reflect.Value) bool {
		if v.IsNil() {
			v.Set(empty) // a list is never null
		}
		return r.list(func() bool {
			n := v.Len()
			if n == v.Cap() {
				v.Grow(max(1, n))
			}
			v.SetLen(n + 1)
			return element(r, v.Index(n))
		})
	}
}

// member is one field of a struct as it is written.
type member struct {
	index    int
	key      string // `"name":`
	optional bool   // left out when empty
	decode   decoder
}

func decodeStruct(t reflect.Type) decoder {
	var members []member
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		members = append(members, member{
			index: i, key: `"` + name + `":`, optional: options == "omitempty", decode: decoderOf(t.Field(i).Type),
		})
	}
	return func(r *scan, v reflect.Value) bool {
		if !r.lit("{") {
			return false
		}
		first := true
		for i := range members {
			m := &members[i]
			before := r.i
			if (first || r.lit(",")) && r.lit(m.key) {
				field := v.Field(m.index)
				if !m.decode(r, field) || (m.optional && isEmpty(field)) {
					return false
				}
				first = false
				continue
			}
			if !m.optional {
				return false
			}
			r.i = before
		}
		return r.lit("}")
	}
}

// isEmpty is what omitempty leaves out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
