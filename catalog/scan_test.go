package catalog

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/internal/seed"
)

// fill gives every field a value that is written: nothing is left out. seed
// makes neighbours differ.
func fill(v reflect.Value, seed *int) {
	*seed++
	switch v.Kind() {
	case reflect.String:
		v.SetString("text " + strconv.Itoa(*seed))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*seed))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*seed))
	case reflect.Float64:
		v.SetFloat(float64(*seed) + 1/3.)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), seed)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, seed)
		fill(value, seed)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{"n":` + strconv.Itoa(*seed) + `}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), seed)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*seed), 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), seed)
		}
	default:
		panic("a field of a kind that a shard does not have yet: " + v.Type().String())
	}
}

// The short way reads every field that a shard can have, and each of them may
// be left out alone as far as encoding/json leaves it out.
func TestScanKnowsEveryField(t *testing.T) {
	var full shard
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var got shard
	if !newScan(b).shard(&got) || !reflect.DeepEqual(got, full) {
		t.Fatalf("the short way does not read %s\n%+v", b, got)
	}
	zero(reflect.ValueOf(&full).Elem(), func(path string) {
		b, err := json.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		var long, short shard
		if err := decodeLong("", b, &long); err != nil {
			return // a list that is null, a point that is nothing
		}
		if !newScan(b).shard(&short) || !reflect.DeepEqual(short, long) {
			t.Errorf("without %s the short way does not read %s", path, b)
		}
	}, "")
}

// zero sets one field after the other to its zero, calls look, and sets it
// back.
func zero(v reflect.Value, look func(string), path string) {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	v.SetZero()
	look(path)
	v.Set(old)
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			zero(v.Field(i), look, path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			zero(v.Index(0), look, path+"[0]")
		}
	case reflect.Pointer:
		zero(v.Elem(), look, path)
	default:
	}
}

// A number is read as strconv reads it, and only in encoding/json's spelling.
func TestScanNumbers(t *testing.T) {
	check := func(text string) {
		t.Helper()
		var want float64
		canonical := false
		if err := json.Unmarshal([]byte(text), &want); err == nil {
			again, err := json.Marshal(want)
			canonical = err == nil && string(again) == text
		}
		var got float64
		r := newScan([]byte(text))
		if ok := r.float(&got) && r.end(); ok != canonical || (ok && math.Float64bits(got) != math.Float64bits(want)) {
			t.Errorf("float %q: %v %v, want %v %v", text, got, ok, want, canonical)
		}
		var whole int64
		integer := json.Unmarshal([]byte(text), &whole) == nil && strconv.FormatInt(whole, 10) == text
		var i int64
		r = newScan([]byte(text))
		if ok := r.integer(&i) && r.end(); ok != integer || (ok && i != whole) {
			t.Errorf("integer %q: %v %v, want %v %v", text, i, ok, whole, integer)
		}
		r = newScan([]byte(text))
		if ok := r.anyNumber() && r.end(); ok != json.Valid([]byte(text)) {
			t.Errorf("number %q: %v", text, ok)
		}
	}
	for _, text := range []string{
		"0", "-0", "00", "01", "-1", "1.", ".5", "0.5", "0.50", "1e5", "1E5", "1e+21", "1e21", "1e-7", "0.000001", "0.0000001", "-0.0", "0.0",
		"999999999999999", "1000000000000000", "99999999999999999999", "100000000000000000000", "1000000000000000000000", "0.1", "0.30000000000000004",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
		"1.7976931348623157e+308", "1e999", "5e-324", "123456789012345.6", "0.12345678901234", "0.123456789012345", "1-2", "1.2.3", "--1", "+1", "1e", "1e+",
	} {
		check(text)
	}
	rapid.Check(t, func(rt *rapid.T) {
		switch rapid.IntRange(0, 5).Draw(rt, "kind") {
		case 0:
			check(rapid.StringMatching(`-?[0-9]{1,17}(\.[0-9]{0,17})?(e[+-]?[0-9]{1,2})?`).Draw(rt, "text"))
		case 1:
			check(string(appendFloat(nil, rapid.Float64Range(-1e25, 1e25).Draw(rt, "float"))))
		case 2: // few digits, as people write them
			m, k := rapid.Int64Range(-1e15, 1e15).Draw(rt, "m"), rapid.IntRange(0, 20).Draw(rt, "k")
			check(strconv.FormatFloat(float64(m)/math.Pow10(k), 'f', -1, 64))
		case 4: // many digits, of a size that measured things have
			check(strconv.FormatFloat(rapid.Float64Range(-1e6, 1e6).Draw(rt, "measured"), 'f', -1, 64))
		case 5: // one digit more or less than the shortest, and its neighbours
			f := rapid.Float64Range(1e-3, 1e6).Draw(rt, "near")
			check(strconv.FormatFloat(f, 'f', rapid.IntRange(8, 18).Draw(rt, "places"), 64))
		case 3:
			check(strconv.FormatInt(rapid.Int64().Draw(rt, "int"), 10))
		}
	})
}

// An identity is compared as it is made.
func TestIsIdentity(t *testing.T) {
	v := Variant{Domain: "infer", Point: json.RawMessage(`{"a":1}`), Artifacts: []artifacts.Ref{{Digest: artifacts.DigestOf(nil)}}}
	v.Identity = IdentityOf(v)
	other := v
	other.Point = json.RawMessage(`{"a":2}`)
	for _, scanned := range []bool{false, true} {
		if !isIdentity(&v, scanned) || isIdentity(&other, scanned) {
			t.Errorf("scanned %v: an identity is not told from another", scanned)
		}
	}
	v.Domain = "inf\u00e9r"
	if v.Identity = IdentityOf(v); !isIdentity(&v, false) {
		t.Error("an identity with an escape is not known again")
	}
}

// Nearly every number of a size that is measured goes the quick way, or the
// figures in docs/catalog.md would not be reached.
func TestMeasuredNumbersAreQuick(t *testing.T) {
	r := seed.Stream(1, "catalog/numbers")
	slow := 0
	for range 10_000 {
		f := (r.Float64() - .3) * math.Pow(10, float64(r.IntN(7)-1))
		text := strconv.FormatFloat(f, 'f', -1, 64)
		s := newScan([]byte(text))
		d, ok := s.decimal()
		got, quick := d.float()
		if ok && quick && got != f {
			t.Fatalf("%s is read as %v", text, got)
		}
		if !ok || !quick {
			slow++
		}
	}
	if slow > 1_000 {
		t.Errorf("%d of 10,000 numbers go the slow way", slow)
	}
}
