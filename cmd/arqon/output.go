package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/arqon/arqon/internal/plot"
)

// printJSON writes v for machines.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// count is "1 key", "2 keys" or "12,000 keys".
func count(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return grouped(n) + " " + many
}

// grouped is a count as people read it: 36,000.
func grouped(n int) string { return plot.Grouped(float64(n)) }

// terminal looks at where a page goes: colour and width on a terminal,
// honouring NO_COLOR; ASCII where the locale has no UTF-8.
func terminal(w io.Writer) plot.Terminal {
	o := plot.Terminal{ASCII: !utf8Locale()}
	if a, ok := w.(*answer); ok {
		w = a.w
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return o
	}
	o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		o.Width = width
	}
	return o
}

func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true // nothing is said: most terminals of today read UTF-8
}
