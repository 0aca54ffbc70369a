package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// closedLists are the strings that may only be one of a few.
var closedLists = map[reflect.Type][]string{
	reflect.TypeFor[gates.Outcome]():         {"INVALID", "INCONCLUSIVE", "FAIL", "PASS"},
	reflect.TypeFor[benchmarks.Direction]():  {string(benchmarks.Lower), string(benchmarks.Higher)},
	reflect.TypeFor[benchmarks.MetricKind](): {string(benchmarks.Deterministic), string(benchmarks.Measured)},
	reflect.TypeFor[benchmarks.Role]():       {string(benchmarks.Success), string(benchmarks.GuardRole)},
	reflect.TypeFor[benchmarks.Compare]():    {string(benchmarks.Ratio), string(benchmarks.Difference)},
	reflect.TypeFor[catalog.Scope]():         {"canary", "staging", "prod"},
}

type object = map[string]any

// schemaOf derives the schema of a Go type as encoding/json writes it.
func schemaOf(t reflect.Type, defs object) object {
	if list, ok := closedLists[t]; ok {
		return object{"type": "string", "enum": list}
	}
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	case reflect.TypeFor[artifacts.Digest]():
		return object{"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
	case reflect.TypeFor[[]byte]():
		return object{"type": []string{"string", "null"}, "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint32:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Pointer:
		return object{"anyOf": []any{schemaOf(t.Elem(), defs), object{"type": "null"}}}
	case reflect.Array:
		return object{"type": "array", "minItems": t.Len(), "maxItems": t.Len(), "items": schemaOf(t.Elem(), defs)}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": schemaOf(t.Elem(), defs)}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem(), defs)}
	case reflect.Struct:
		if _, ok := defs[t.Name()]; !ok {
			defs[t.Name()] = nil // a place, so that recursion ends
			defs[t.Name()] = structSchema(t, defs)
		}
		return object{"$ref": "#/$defs/" + t.Name()}
	default:
		panic("no schema for " + t.String())
	}
}

func structSchema(t reflect.Type, defs object) object {
	properties, required := object{}, []string{}
	var collect func(reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				collect(f.Type)
				continue
			}
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			if strings.Contains(rest, "string") {
				properties[name] = object{"type": "string", "pattern": "^[0-9]+$"}
			} else {
				properties[name] = schemaOf(f.Type, defs)
			}
			if !strings.Contains(rest, "omit") {
				required = append(required, name)
			}
		}
	}
	collect(t)
	slices.Sort(required)
	return object{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

// TestSchemaMatchesRecord keeps schema.json equal to what gates writes: a field
// added there without its schema fails here.
func TestSchemaMatchesRecord(t *testing.T) {
	defs := object{}
	root := schemaOf(reflect.TypeFor[gates.Night](), defs)
	night := defs["Night"].(object)
	night["properties"].(object)["schema"] = object{"const": gates.NightSchema}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Arqon night report"
	root["description"] = "The machine form of one night of judging. Closed: an object holds the listed members and no others. e-values are natural logarithms."
	root["$defs"] = defs
	want, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Error("schema.json is not the schema of gates.Night: go test ./gates/report -update, and raise the version if old readers would misread it")
	}
}

// TestGoldenNightValidates checks the golden night, and that the check can
// fail, against the committed schema.
func TestGoldenNightValidates(t *testing.T) {
	if *update {
		t.Skip("the schema on disk is newer than the embedded one")
	}
	var root object
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	validate := func(b []byte) error {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return err
		}
		return valid(root, root, v, "$")
	}
	var buf bytes.Buffer
	if err := WriteJSON(&buf, night(t)); err != nil {
		t.Fatal(err)
	}
	if err := validate(buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	good := buf.String()
	for name, bad := range map[string]string{
		"unknown member": strings.Replace(good, `"run":`, `"more": 1, "run":`, 1),
		"newer version":  strings.Replace(good, gates.NightSchema, "arqon-night/3", 1),
		"outcome":        strings.Replace(good, `"outcome": "FAIL"`, `"outcome": "MAYBE"`, 1),
		"type":           strings.Replace(good, `"nights": 41`, `"nights": "41"`, 1),
		"integer":        strings.Replace(good, `"nights": 41`, `"nights": 41.5`, 1),
		"missing":        strings.Replace(good, `"study": "nightly",`, ``, 1),
		"digest":         strings.Replace(good, `"policy_digest": "sha256:`, `"policy_digest": "md5:`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: the test changed nothing", name)
		}
		if validate([]byte(bad)) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

// valid checks v against the few words of JSON Schema that schema.json uses.
func valid(root, s object, v any, at string) error {
	for word := range s {
		switch word {
		case "$schema", "title", "description", "$defs", "contentEncoding", "type", "enum", "const", "pattern", "anyOf", "$ref", "properties", "required", "additionalProperties", "items", "minItems", "maxItems":
		default:
			return fmt.Errorf("%s: the schema uses %q, which this test does not check", at, word)
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		def, ok := root["$defs"].(object)[strings.TrimPrefix(ref, "#/$defs/")].(object)
		if !ok {
			return fmt.Errorf("%s: %s names no definition", at, ref)
		}
		if err := valid(root, def, v, at); err != nil {
			return err
		}
	}
	if c, ok := s["const"]; ok && c != v {
		return fmt.Errorf("%s: %v, want %v", at, v, c)
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, list)
	}
	if any, ok := s["anyOf"].([]any); ok {
		var err error
		for _, a := range any {
			if err = valid(root, a.(object), v, at); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(fmt.Sprint(v)) {
		return fmt.Errorf("%s: %v does not match %s", at, v, p)
	}
	if err := validType(s["type"], v, at); err != nil {
		return err
	}
	switch v := v.(type) {
	case object:
		return validObject(root, s, v, at)
	case []any:
		if lo, ok := s["minItems"].(float64); ok && (len(v) < int(lo) || len(v) > int(s["maxItems"].(float64))) {
			return fmt.Errorf("%s: %d items", at, len(v))
		}
		if items, ok := s["items"].(object); ok {
			for i, x := range v {
				if err := valid(root, items, x, fmt.Sprintf("%s[%d]", at, i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func validObject(root, s object, v object, at string) error {
	if r, ok := s["required"].([]any); ok {
		for _, name := range r {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s: %v is missing", at, name)
			}
		}
	}
	properties, _ := s["properties"].(object)
	for name, x := range v {
		p, ok := properties[name].(object)
		if !ok {
			switch rest := s["additionalProperties"].(type) {
			case object:
				p = rest
			case bool:
				return fmt.Errorf("%s: unknown member %q", at, name)
			default:
				continue // no schema for members: the free form of a point
			}
		}
		if err := valid(root, p, x, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func validType(want, v any, at string) error {
	if want == nil {
		return nil
	}
	names, ok := want.([]any)
	if !ok {
		names = []any{want}
	}
	got := "null"
	switch v := v.(type) {
	case string:
		got = "string"
	case bool:
		got = "boolean"
	case object:
		got = "object"
	case []any:
		got = "array"
	case json.Number:
		got = "number"
		if _, err := v.Int64(); err == nil && slices.Contains(names, any("integer")) {
			got = "integer"
		}
	}
	if !slices.Contains(names, any(got)) {
		return fmt.Errorf("%s: is a %s, want %v", at, got, names)
	}
	return nil
}
