package plot

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Minus is the typographic minus sign; the ASCII form turns it into a hyphen.
const Minus = "\u2212"

// NBSP keeps a number and its unit on one line.
const NBSP = "\u00a0"

// Fixed prints x with the given number of decimals, with a real minus sign and
// never as "-0.00".
func Fixed(x float64, decimals int) string {
	switch {
	case math.IsNaN(x):
		return "not a number"
	case math.IsInf(x, 1):
		return "+\u221e"
	case math.IsInf(x, -1):
		return Minus + "\u221e"
	}
	s := strconv.FormatFloat(math.Abs(x), 'f', decimals, 64)
	if x < 0 && strings.Trim(s, "0.") != "" {
		return Minus + s
	}
	return s
}

// Signed is fixed with a plus sign in front of positive numbers.
func Signed(x float64, decimals int) string {
	s := Fixed(x, decimals)
	if x > 0 && strings.Trim(s, "0.") != "" && !strings.HasPrefix(s, "+") {
		return "+" + s
	}
	return s
}

// DecimalsFor keeps about three digits of a number that is read in a sentence.
func DecimalsFor(x float64) int {
	switch a := math.Abs(x); {
	case a >= 100:
		return 0
	case a >= 10:
		return 1
	default:
		return 2
	}
}

// Grouped prints a count or a large number with thin groups: 41,200.
func Grouped(x float64) string {
	s := Fixed(x, 0)
	neg := strings.HasPrefix(s, Minus)
	s = strings.TrimPrefix(s, Minus)
	if strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return Fixed(x, 0)
	}
	var b strings.Builder
	if neg {
		b.WriteString(Minus)
	}
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Compact prints a positive magnitude in few characters: 0.031, 4.2, 317,
// 41,200, 3.1e+12.
func Compact(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return Fixed(x, 0)
	case a == 0:
		return "0"
	case a >= 1e7:
		return strconv.FormatFloat(x, 'e', 1, 64)
	case a >= 1000:
		return Grouped(RoundSig(x, 3))
	case a >= 100:
		return Fixed(x, 0)
	case a >= 10:
		return Fixed(x, 1)
	case a >= 0.01:
		return strconv.FormatFloat(x, 'g', 3, 64)
	default:
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
}

// IsShare reports whether a metric is a number between 0 and 1 that people
// read as a percentage.
func IsShare(unit string) bool {
	switch unit {
	case "share", "fraction", "ratio", "probability":
		return true
	}
	return false
}

// scaled divides x by the largest step that leaves at least 1.
func scaled(x float64, steps []float64, names []string) string {
	a := math.Abs(x)
	for i, s := range steps {
		if a >= s || i == len(steps)-1 {
			return Fixed(x/s, DecimalsFor(x/s)) + NBSP + names[i]
		}
	}
	return ""
}

// Value prints a metric's value with its unit: "143 µs", "988 kB", "85.65 %".
func Value(unit string, x float64) string {
	switch {
	case math.IsNaN(x):
		return "no value"
	case x == 0 && !IsShare(unit):
		return "0" + Spaced(unit)
	case unit == "ns":
		return scaled(x, []float64{1e9, 1e6, 1e3, 1}, []string{"s", "ms", "µs", "ns"})
	case unit == "bytes" || unit == "B":
		return scaled(x, []float64{1e9, 1e6, 1e3, 1}, []string{"GB", "MB", "kB", "B"})
	case IsShare(unit):
		return Fixed(100*x, 2) + NBSP + "%"
	case math.Abs(x) >= 1e4:
		return scaled(x, []float64{1e9, 1e6, 1e3}, []string{"G", "M", "k"}) + prefixed(unit)
	}
	return Fixed(x, DecimalsFor(x)+1) + Spaced(unit)
}

// prefixed is for a unit that follows a prefix letter: "322 kMAC".
func prefixed(unit string) string {
	if unit == "1" {
		return ""
	}
	return Clean(unit, 20)
}

func Spaced(unit string) string {
	if unit == "" || unit == "1" {
		return ""
	}
	return NBSP + Clean(unit, 20)
}

// Percent prints a share as a percentage: fixed digits suit a column.
func Percent(x float64) string {
	if a := math.Abs(100 * x); a > 0 && a < .01 {
		return Compact(RoundSig(100*x, 2)) + NBSP + "%"
	}
	return Fixed(100*x, DecimalsFor(100*x)) + NBSP + "%"
}

// ShareOf prints a round share without decimals: "25 %", "0.5 %".
func ShareOf(x float64) string { return strconv.FormatFloat(100*x, 'g', 4, 64) + NBSP + "%" }

// SignedPercent is percent with its sign.
func SignedPercent(x float64) string { return Signed(100*x, DecimalsFor(100*x)) + NBSP + "%" }

// Clean makes untrusted text safe to print: control characters (terminal
// escapes), bidirectional overrides and invalid UTF-8 become visible marks,
// and very long text is cut at limit runes.
func Clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == limit {
			b.WriteRune('…')
			break
		}
		n++
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar, unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), r == '\u2028', r == '\u2029':
			b.WriteRune('\ufffd')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// asciiForm spells the few signs that the reports use in plain ASCII; every
// other rune above 0x7E becomes a question mark.
var asciiForm = map[rune]string{
	'\u2212': "-", '–': "-", '—': "-", '…': "...", '·': "-", '•': "*", '×': "x", 'µ': "u", 'μ': "u",
	'≥': ">=", '≤': "<=", '≠': "!=", '→': "->", '←': "<-", '▸': ">", '✓': "+", '✗': "x", '∞': "inf", '±': "+/-",
	'α': "alpha", 'Δ': "delta", '\u00a0': " ", '\u2009': " ", '\u202f': " ", '“': "\"", '”': "\"", '’': "'", '‘': "'",
	'─': "-", '│': "|", '┊': ":", '├': "|", '┤': "|", '●': "o", '○': "o", '█': "#", '░': ".", '▒': ":", '◆': "#", '┃': "|",
}

func toASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch f, ok := asciiForm[r]; {
		case ok:
			b.WriteString(f)
		case r > 0x7e || r < 0x20 && r != '\n':
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// RoundSig rounds to n significant digits.
func RoundSig(x float64, n int) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	m := math.Pow(10, float64(n-1)-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*m) / m
}

// Count prints "1 pair", "38 pairs", "10,000 items".
func Count(n int, one string) string {
	if n == 1 {
		return "1" + NBSP + one
	}
	return Grouped(float64(n)) + NBSP + one + "s"
}

// TickPercent labels a tick of an axis of shares: "+20 %", "−2.5 %".
func TickPercent(v float64) string {
	p := 100 * v
	if math.Abs(p-math.Round(p)) < 1e-6 {
		return Signed(p, 0) + NBSP + "%"
	}
	return Signed(p, 1) + NBSP + "%"
}
