package report

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// minus is the typographic minus sign; the ASCII form turns it into a hyphen.
const minus = "\u2212"

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

// fixed prints x with the given number of decimals, with a real minus sign and
// never as "-0.00".
func fixed(x float64, decimals int) string {
	switch {
	case math.IsNaN(x):
		return "not a number"
	case math.IsInf(x, 1):
		return "+\u221e"
	case math.IsInf(x, -1):
		return minus + "\u221e"
	}
	s := strconv.FormatFloat(math.Abs(x), 'f', decimals, 64)
	if x < 0 && strings.Trim(s, "0.") != "" {
		return minus + s
	}
	return s
}

// signed is fixed with a plus sign in front of positive numbers.
func signed(x float64, decimals int) string {
	s := fixed(x, decimals)
	if x > 0 && strings.Trim(s, "0.") != "" && !strings.HasPrefix(s, "+") {
		return "+" + s
	}
	return s
}

// decimalsFor keeps about three digits of a number that is read in a sentence.
func decimalsFor(x float64) int {
	switch a := math.Abs(x); {
	case a >= 100:
		return 0
	case a >= 10:
		return 1
	default:
		return 2
	}
}

// grouped prints a count or a large number with thin groups: 41,200.
func grouped(x float64) string {
	s := fixed(x, 0)
	neg := strings.HasPrefix(s, minus)
	s = strings.TrimPrefix(s, minus)
	if strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return fixed(x, 0)
	}
	var b strings.Builder
	if neg {
		b.WriteString(minus)
	}
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// compact prints a positive magnitude in few characters: 0.031, 4.2, 317,
// 41,200, 3.1e+12.
func compact(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return fixed(x, 0)
	case a == 0:
		return "0"
	case a >= 1e7:
		return strconv.FormatFloat(x, 'e', 1, 64)
	case a >= 1000:
		return grouped(roundSig(x, 3))
	case a >= 100:
		return fixed(x, 0)
	case a >= 10:
		return fixed(x, 1)
	case a >= 0.01:
		return strconv.FormatFloat(x, 'g', 3, 64)
	default:
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
}

// evalue prints exp(logE), which may be far outside float64.
func evalue(logE float64) string {
	switch {
	case math.IsNaN(logE):
		return "not a number"
	case math.IsInf(logE, -1):
		return "0"
	case math.IsInf(logE, 1):
		return "\u221e"
	}
	log10 := logE / math.Ln10
	switch {
	case log10 >= 7 || log10 < -3:
		exp := math.Floor(log10)
		mantissa := math.Pow(10, log10-exp)
		if mantissa >= 9.95 {
			mantissa, exp = 1, exp+1
		}
		return fixed(mantissa, 1) + "e" + strconv.Itoa(int(exp))
	default:
		return compact(math.Exp(logE))
	}
}

// isShare reports whether a metric is a number between 0 and 1 that people
// read as a percentage.
func isShare(unit string) bool {
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
			return fixed(x/s, decimalsFor(x/s)) + nbsp + names[i]
		}
	}
	return ""
}

// value prints a metric's value with its unit: "143 µs", "988 kB", "85.65 %".
func value(unit string, x float64) string {
	switch {
	case math.IsNaN(x):
		return "no value"
	case x == 0 && !isShare(unit):
		return "0" + spaced(unit)
	case unit == "ns":
		return scaled(x, []float64{1e9, 1e6, 1e3, 1}, []string{"s", "ms", "µs", "ns"})
	case unit == "bytes" || unit == "B":
		return scaled(x, []float64{1e9, 1e6, 1e3, 1}, []string{"GB", "MB", "kB", "B"})
	case isShare(unit):
		return fixed(100*x, 2) + nbsp + "%"
	case math.Abs(x) >= 1e4:
		return scaled(x, []float64{1e9, 1e6, 1e3}, []string{"G", "M", "k"}) + prefixed(unit)
	}
	return fixed(x, decimalsFor(x)+1) + spaced(unit)
}

// prefixed is for a unit that follows a prefix letter: "322 kMAC".
func prefixed(unit string) string {
	if unit == "1" {
		return ""
	}
	return clean(unit, 20)
}

func spaced(unit string) string {
	if unit == "" || unit == "1" {
		return ""
	}
	return nbsp + clean(unit, 20)
}

// percent prints a share as a percentage: fixed digits suit a column.
func percent(x float64) string {
	if a := math.Abs(100 * x); a > 0 && a < .01 {
		return compact(roundSig(100*x, 2)) + nbsp + "%"
	}
	return fixed(100*x, decimalsFor(100*x)) + nbsp + "%"
}

// shareOf prints a round share without decimals: "25 %", "0.5 %".
func shareOf(x float64) string { return strconv.FormatFloat(100*x, 'g', 4, 64) + nbsp + "%" }

// signedPercent is percent with its sign.
func signedPercent(x float64) string { return signed(100*x, decimalsFor(100*x)) + nbsp + "%" }

// clean makes untrusted text safe to print: control characters (terminal
// escapes), bidirectional overrides and invalid UTF-8 become visible marks,
// and very long text is cut at limit runes.
func clean(s string, limit int) string {
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
