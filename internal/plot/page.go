// Package plot is what every report of Arqon is drawn with: inline SVG, the
// style sheet of self-contained pages, numbers for people, and pages for a
// terminal. It knows nothing of what it draws; the rooms that own the data
// (gates/report, factory/insight) own the charts.
package plot

import (
	_ "embed"
	"html/template"
)

//go:embed style.css
var style string

// Style is the style sheet of every page: light and dark, from a phone's width
// up, nothing loaded from anywhere.
func Style() template.CSS { return template.CSS(style) }
