// Package report shows a night of judging to people and to machines: as
// terminal text, as one self-contained HTML file, and as closed, versioned
// JSON. It also tells two nights apart.
//
// It renders and decides nothing: every outcome, interval and e-value is taken
// from the record as gates wrote it, and a night that a control made INVALID
// is shown as INVALID whatever its candidates look like. The package reads no
// clock and no network; the same night gives the same bytes.
package report

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// maxNightBytes is the largest record that ReadNight reads.
const maxNightBytes = 256 << 20

// ErrNoCandidate is wrapped when a night has no candidate of the name.
var ErrNoCandidate = errors.New("no such candidate in this night")

// ErrNoMetric is wrapped when no candidate was judged on the metric.
var ErrNoMetric = errors.New("no candidate was judged on this metric")

// Where says which repository a reader would publish to, so that the commands
// on the page can be copied as they are. Zero fields print a placeholder.
type Where struct {
	Repository string // path or s3:// URL
	Channel    string // "" means staging
	Embedded   bool   // arqon run does not host the domain: the user's service does
}

// WriteJSON writes the night as gates encodes it: the machine form, and the
// input of every other form.
func WriteJSON(w io.Writer, n gates.Night) error {
	b, err := gates.EncodeNight(n)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// ReadNight reads and strictly decodes the record at path.
func ReadNight(path string) (gates.Night, error) {
	f, err := os.Open(path)
	if err != nil {
		return gates.Night{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNightBytes+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return gates.Night{}, err
	}
	if len(b) > maxNightBytes {
		return gates.Night{}, fmt.Errorf("%s: more than %d bytes: not a night that arqon wrote", path, maxNightBytes)
	}
	n, err := gates.DecodeNight(b)
	if err != nil {
		return gates.Night{}, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the machine form. It is
// closed: an object holds the listed members and no others.
func Schema() []byte { return append([]byte(nil), schema...) }

// TextOptions says what a page for the terminal may use, and where the
// commands on it lead.
type TextOptions struct {
	plot.Terminal
	Where Where
}

// printer is a page with the commands' target.
type printer struct {
	*plot.Printer
	where Where
}

func newPrinter(w io.Writer, o TextOptions) *printer {
	return &printer{Printer: plot.NewPrinter(w, o.Terminal), where: o.Where}
}
