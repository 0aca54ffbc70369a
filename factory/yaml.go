package factory

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxStudyBytes is the largest study or policy file that is read.
const maxStudyBytes = 64 << 10

// ErrStudy is wrapped by every refusal of a study or policy file.
var ErrStudy = errors.New("study refused")

// StudyError says where a study file is wrong.
type StudyError struct {
	File    string
	Line    int // from 1; 0: the file as a whole
	Column  int // from 1
	Field   string
	Message string
	Source  string // the offending line
}

func (e *StudyError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + e.Message)
	if e.Line > 0 && e.Source != "" {
		fmt.Fprintf(&b, "\n%5d | %.200s", e.Line, e.Source)
	}
	return b.String()
}

// Unwrap makes every StudyError an ErrStudy.
func (e *StudyError) Unwrap() error { return ErrStudy }

// place is where a field's value stands.
type place struct{ line, column int }

// document is one YAML file with the place of every field that was read. The
// library's own decoder is not used, because it turns "8" into 8, 1.5 into 1
// and forgets places; a study must mean exactly what it says.
type document struct {
	file   string
	lines  []string
	places map[string]place // by field: "budget.evaluations", "contexts[1].name"
}

// custom is a value with its own YAML form.
type custom interface {
	decodeYAML(d *document, n ast.Node, field string) error
}

// parseYAML reads one mapping into v (a pointer to a struct with yaml tags).
// Fields that the file does not name keep their values.
func parseYAML(file string, b []byte, v any) (d *document, err error) {
	d = &document{file: file, lines: strings.Split(string(b), "\n"), places: map[string]place{}}
	if len(b) > maxStudyBytes {
		return d, d.whole("%d bytes, at most %d are read", len(b), maxStudyBytes)
	}
	defer func() {
		if p := recover(); p != nil { // the parser's own mistake must not end a night
			err = d.whole("cannot be parsed as YAML: %v", p)
		}
	}()
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		return d, d.syntax(err)
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return d, d.whole("want one YAML document, found %d", countBodies(f))
	}
	return d, d.decode(f.Docs[0].Body, reflect.ValueOf(v).Elem(), "")
}

func countBodies(f *ast.File) int {
	n := 0
	for _, doc := range f.Docs {
		if doc.Body != nil {
			n++
		}
	}
	return n
}

func (d *document) whole(format string, args ...any) error {
	return &StudyError{File: d.file, Message: fmt.Sprintf(format, args...)}
}

func (d *document) syntax(err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		return d.refuse(placeOf(y.GetToken()), "", "%s", y.GetMessage())
	}
	return d.whole("%v", err)
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{line: t.Position.Line, column: t.Position.Column}
}

// start is the place of the first character of a value.
func start(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key.GetToken())
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return placeOf(m.Key.GetToken())
	}
	return placeOf(n.GetToken())
}

func (d *document) refuse(p place, field, format string, args ...any) error {
	e := &StudyError{File: d.file, Line: p.line, Column: p.column, Field: field, Message: fmt.Sprintf(format, args...)}
	if p.line > 0 && p.line <= len(d.lines) {
		e.Source = strings.TrimRight(d.lines[p.line-1], " \t\r")
	}
	return e
}

// refuseField refuses a field that was read, or its nearest parent that was.
func (d *document) refuseField(field, format string, args ...any) error {
	if d == nil { // made by a program, not read from a file
		return &StudyError{File: "study", Field: field, Message: fmt.Sprintf(format, args...)}
	}
	for f := field; f != ""; f = parentField(f) {
		if p, ok := d.places[f]; ok {
			return d.refuse(p, field, format, args...)
		}
	}
	return &StudyError{File: d.file, Field: field, Message: fmt.Sprintf(format, args...)}
}

func parentField(f string) string {
	i := strings.LastIndexAny(f, ".[")
	if i < 0 {
		return ""
	}
	return f[:i]
}

// place returns where a field stands; a study that was not read from a file
// has no places.
func (d *document) place(field string) (place, bool) {
	if d == nil {
		return place{}, false
	}
	p, ok := d.places[field]
	return p, ok
}

// decodePlain reads a mapping into a struct for a type with its own form.
func (d *document) decodePlain(n ast.Node, v any, field string) error {
	return d.mapping(n, reflect.ValueOf(v).Elem(), field)
}

// decode reads n into v by v's type.
func (d *document) decode(n ast.Node, v reflect.Value, field string) error {
	p := start(n)
	if field != "" {
		d.places[field] = p
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return d.refuse(p, field, "anchors, aliases, tags and merges are not read here: write the value out")
	case *ast.NullNode:
		return d.refuse(p, field, "has no value: give one or remove the key")
	}
	if v.CanAddr() {
		if c, ok := v.Addr().Interface().(custom); ok {
			return c.decodeYAML(d, n, field)
		}
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return d.duration(n, v, field)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(n, v.Elem(), field)
	case reflect.Struct:
		return d.mapping(n, v, field)
	case reflect.Map:
		return d.dictionary(n, v, field)
	case reflect.Slice:
		return d.sequence(n, v, field)
	default:
		return d.scalar(n, v, field)
	}
}

func (d *document) scalar(n ast.Node, v reflect.Value, field string) error {
	p := start(n)
	switch v.Kind() {
	case reflect.String:
		s, ok := text(n)
		if !ok {
			return d.refuse(p, field, "want text, found %s", kindOf(n))
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return d.refuse(p, field, "want true or false, found %s", kindOf(n))
		}
		v.SetBool(b.Value)
	case reflect.Float64:
		x, ok := number(n)
		if !ok {
			return d.refuse(p, field, "want a number, found %s", kindOf(n))
		}
		v.SetFloat(x)
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return d.integer(n, v, field)
	default:
		panic("factory: no YAML form for " + v.Type().String())
	}
	return nil
}

func (d *document) integer(n ast.Node, v reflect.Value, field string) error {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return d.refuse(start(n), field, "want a whole number, found %s", kindOf(n))
	}
	switch x := i.Value.(type) {
	case uint64:
		if v.Kind() == reflect.Uint64 {
			v.SetUint(x)
			return nil
		}
		if x <= math.MaxInt64 && !v.OverflowInt(int64(x)) {
			v.SetInt(int64(x))
			return nil
		}
	case int64:
		if v.Kind() == reflect.Uint64 && x >= 0 {
			v.SetUint(uint64(x))
			return nil
		}
		if v.Kind() != reflect.Uint64 && !v.OverflowInt(x) {
			v.SetInt(x)
			return nil
		}
	}
	return d.refuse(start(n), field, "%v is out of range", i.Value)
}

func (d *document) duration(n ast.Node, v reflect.Value, field string) error {
	s, ok := text(n)
	if !ok {
		return d.refuse(start(n), field, "want a duration with a unit, such as 90s or 10m, found %s", kindOf(n))
	}
	x, err := time.ParseDuration(s)
	if err != nil {
		return d.refuse(start(n), field, "%q is not a duration: write 90s, 10m or 1h30m", s)
	}
	v.SetInt(int64(x))
	return nil
}

func (d *document) sequence(n ast.Node, v reflect.Value, field string) error {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.refuse(start(n), field, "want a list, found %s", kindOf(n))
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		if err := d.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (d *document) dictionary(n ast.Node, v reflect.Value, field string) error {
	out := reflect.MakeMap(v.Type())
	err := d.entries(n, field, func(name string, key place, value ast.Node) error {
		x := reflect.New(v.Type().Elem()).Elem()
		if err := d.decode(value, x, join(field, name)); err != nil {
			return err
		}
		d.places[join(field, name)] = key
		out.SetMapIndex(reflect.ValueOf(name), x)
		return nil
	})
	v.Set(out)
	return err
}

func (d *document) mapping(n ast.Node, v reflect.Value, field string) error {
	fields := map[string]int{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
		}
	}
	return d.entries(n, field, func(name string, key place, value ast.Node) error {
		i, ok := fields[name]
		if !ok {
			return d.refuse(key, join(field, name), "unknown key; known here: %s", strings.Join(sortedKeys(fields), ", "))
		}
		return d.decode(value, v.Field(i), join(field, name))
	})
}

// entries walks a mapping and refuses repeated and odd keys.
func (d *document) entries(n ast.Node, field string, visit func(name string, key place, value ast.Node) error) error {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return d.refuse(start(n), field, "want keys and values, found %s", kindOf(n))
	}
	seen := map[string]bool{}
	for _, e := range values {
		p := placeOf(e.Key.GetToken())
		s, ok := e.Key.(*ast.StringNode)
		if !ok {
			return d.refuse(p, field, "a key must be plain text, found %s", kindOf(e.Key))
		}
		if seen[s.Value] {
			return d.refuse(p, join(field, s.Value), "appears twice")
		}
		seen[s.Value] = true
		if err := visit(s.Value, p, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// raw returns the source of a value, moved to nowhere: blank lines and blanks
// stand before it, so that whoever decodes it reports true lines and columns.
func (d *document) raw(n ast.Node) []byte {
	p := start(n)
	var b strings.Builder
	b.WriteString(strings.Repeat("\n", p.line-1))
	b.WriteString(strings.Repeat(" ", p.column-1))
	for i := p.line - 1; i < len(d.lines); i++ {
		line := d.lines[i]
		if i == p.line-1 {
			line = cutRunes(line, p.column-1)
		} else if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") {
			break // the next top-level key
		}
		b.WriteString(line + "\n")
	}
	return []byte(b.String())
}

// refuseAliases looks for anchors, aliases, tags and merges in a value that
// somebody else will decode: a few aliases of aliases make a very large value.
func (d *document) refuseAliases(n ast.Node, field string) error {
	found := &aliasFinder{}
	ast.Walk(found, n)
	if found.at == nil {
		return nil
	}
	return d.refuse(placeOf(found.at.GetToken()), field, "anchors, aliases, tags and merges are not read here: write the value out")
}

type aliasFinder struct{ at ast.Node }

func (f *aliasFinder) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		if f.at == nil {
			f.at = n
		}
	}
	return f
}

// cutRunes drops the first n characters: columns count characters.
func cutRunes(s string, n int) string {
	r := []rune(s)
	return string(r[min(n, len(r)):])
}

func text(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

func number(n ast.Node) (float64, bool) {
	switch x := n.(type) {
	case *ast.FloatNode:
		return x.Value, !math.IsInf(x.Value, 0) && !math.IsNaN(x.Value)
	case *ast.IntegerNode:
		switch i := x.Value.(type) {
		case int64:
			return float64(i), true
		case uint64:
			return float64(i), true
		}
	case *ast.StringNode:
		// The library takes 1e3 for text; YAML 1.2 and every writer mean a number.
		if x.Token.Type == token.StringType && strings.HasPrefix(strings.TrimLeft(x.Value, "+-.0123456789"), "e") {
			v, err := strconv.ParseFloat(x.Value, 64)
			return v, err == nil && !math.IsInf(v, 0)
		}
	}
	return 0, false
}

// kindOf names what a node is, for people.
func kindOf(n ast.Node) string {
	switch x := n.(type) {
	case *ast.StringNode:
		return fmt.Sprintf("the text %.40q", x.Value)
	case *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return fmt.Sprintf("the whole number %v", x.Value)
	case *ast.FloatNode:
		return fmt.Sprintf("the number %v", x.Value)
	case *ast.BoolNode:
		return fmt.Sprintf("%v", x.Value)
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.NullNode:
		return "nothing"
	}
	return strings.ToLower(n.Type().String())
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
