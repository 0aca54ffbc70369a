package universe

import (
	"bytes"
	"fmt"
	"strings"
)

// lawNameMax bounds a law's name in bytes: it becomes a part of context names.
const lawNameMax = 32

// plainName accepts what may be a part of a context's name: lower-case letters,
// digits and dashes, no dash in front.
func plainName(s string) bool {
	if s == "" || len(s) > lawNameMax || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// LawNames are the built-in laws' names, the default first.
func LawNames() []string {
	var out []string
	for _, l := range Laws() {
		out = append(out, l.Name)
	}
	return out
}

// LawNamed is the built-in law of a name.
func LawNamed(name string) (Law, error) {
	for _, l := range Laws() {
		if l.Name == name {
			return l, nil
		}
	}
	return Law{}, fmt.Errorf("%w: no law is called %.40q; built in are %s", ErrBadLaw, name, strings.Join(LawNames(), ", "))
}

// tagDigits is how much of a law's digest its tag shows.
const tagDigits = 8

// Tag tells laws apart in the names of contexts: "" for Gray-Scott, the name of
// any other built-in law, and name and digest of one that is not built in, since
// two searches may call what they find the same.
func (l Law) Tag() string {
	text := l.Encode()
	for i, known := range Laws() {
		if known.Name == l.Name && bytes.Equal(known.Encode(), text) {
			if i == 0 {
				return ""
			}
			return l.Name
		}
	}
	return l.Name + "-" + strings.TrimPrefix(digestOf(text), digestPrefix)[:tagDigits]
}

// contextOf is the name of a scene of a law.
func contextOf(tag string, s scene) string {
	if tag == "" {
		return s.name()
	}
	return tag + "-" + s.name()
}

// ParseContext says what a context is about: which law, by its tag, and how
// wide the grid is.
func ParseContext(name string) (tag string, width int, err error) {
	for _, s := range scenes() {
		if name == s.name() {
			return "", s.width, nil
		}
		if before, ok := strings.CutSuffix(name, "-"+s.name()); ok && before != "" {
			return before, s.width, nil
		}
	}
	return "", 0, fmt.Errorf("scenario %.80q is not one of the universe's", name)
}

// LawIn reads the law out of a bundle's kernel.json, and nothing else of it.
// Every refusal wraps ErrBadKernel or ErrBadLaw.
func LawIn(header []byte) (Law, error) {
	var h kernelHeader
	if err := strictJSON(header, 2*lawBytesMax, &h); err != nil {
		return Law{}, fmt.Errorf("%s: %w: %w", kernelFile, ErrBadKernel, err)
	}
	return DecodeLaw(h.Law)
}

// HeaderFile is the name of the file of a bundle that LawIn reads.
const HeaderFile = kernelFile
