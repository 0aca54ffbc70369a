package insight

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/arqon/arqon/internal/plot"
)

//go:embed page.tmpl
var pageText string

var pageTemplate = template.Must(template.New("insight").Parse(pageText))

// contextsMax bounds the contexts of one page; the rest stays in the JSON form.
const contextsMax = 60

// HTML writes the overview as one self-contained file: no script, no font, no
// image and no address outside it. Everything from the run is escaped.
func HTML(w io.Writer, o Overview) error {
	v := pageView{
		Title: "Arqon search " + plot.Clean(o.Run, 80), Run: plot.Clean(o.Run, 80), Summary: o.summary(), Style: plot.Style(),
		Command: "arqon study show " + plot.Clean(o.Run, 80), Head: plot.Clean(o.JournalHead, 80),
		Portfolio: o.portfolioWords(),
	}
	for i, c := range o.Contexts {
		if i == contextsMax {
			v.Omitted = len(o.Contexts) - contextsMax
			break
		}
		v.Contexts = append(v.Contexts, newContextView(o, c, fmt.Sprintf("x%d", i+1)))
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

type pageView struct {
	Title, Run, Summary, Command, Head string
	Portfolio                          string
	Style                              template.CSS
	Contexts                           []contextView
	Omitted                            int
}

type contextView struct {
	ID, Name, Question, Headline, Found, Badge, BadgeClass, Differs string
	Engines                                                         []engineView
	Budget                                                          template.HTML
	Figures                                                         []figureView
	Parallel                                                        *figureView
	Map                                                             *figureView
	LineageText                                                     string
	Lineage                                                         []lineageView
	PointsTitle                                                     string
	Points                                                          [][4]string
	Notes, Noise                                                    []string
}

type engineView struct {
	Class, Name, Asked, Failed, Infeasible, Repeated, Best, At, Records string
}

type figureView struct {
	Title, Text string
	Plot        template.HTML
	Legend      []legendView
	Note        string
}

type legendView struct{ Class, Text string }

type lineageView struct{ At, Change, Origin, Knobs string }

func newContextView(o Overview, c Context, id string) contextView {
	v := contextView{
		ID: id, Name: plot.Clean(c.Name, 60), Question: c.question(), Headline: c.headline(), Found: c.foundBy(),
		Badge: "found", BadgeClass: "PASS", Notes: c.noteWords(), Noise: c.noiseWords(),
	}
	switch {
	case c.Winner == nil:
		v.Badge, v.BadgeClass = "no winner", "NONE"
	case c.Winner.At == 0:
		v.Badge, v.BadgeClass = "baseline stays", "INCONCLUSIVE"
	}
	if c.Others > 0 {
		v.Found += fmt.Sprintf("; %s beside it", plot.Count(c.Others, "candidate"))
	}
	for i, e := range c.Engines {
		v.Engines = append(v.Engines, engineRow(c, e, i))
	}
	v.Budget = budgetHTML(c, id+"-budget")
	if f := convergenceFigure(c, id+"-path"); f != nil {
		v.Figures = append(v.Figures, *f)
	}
	if f := importanceFigure(c, id+"-knobs"); f != nil {
		v.Figures = append(v.Figures, *f)
	}
	v.Parallel = parallelFigure(o, c, id+"-parallel")
	v.Map = mapFigure(c, id+"-map")
	v.PointsTitle = pointsTitle
	for _, l := range c.Points {
		v.Points = append(v.Points, l.words(c))
	}
	if w := c.Winner; w != nil {
		v.Differs = knobWords(w.Differs)
		v.LineageText = w.lineageWords()
		for _, s := range w.Lineage {
			v.Lineage = append(v.Lineage, lineageView{
				At: plot.Grouped(float64(s.At)), Change: c.changeOrNone(s.Change), Origin: plot.Clean(s.Origin, 60), Knobs: knobWords(s.Knobs),
			})
		}
	}
	return v
}

func engineRow(c Context, e Engine, i int) engineView {
	v := engineView{
		Class: curveClass(i), Name: plot.Clean(e.Name, 40), Failed: plot.Grouped(float64(e.Failed)),
		Infeasible: plot.Grouped(float64(e.Infeasible)), Repeated: plot.Grouped(float64(e.Repeated)), Best: c.changeOrNone(e.Best),
		At: "–", Records: plot.Grouped(float64(e.Records)),
	}
	v.Asked = e.askedWords()
	if e.Best != nil {
		v.At = plot.Grouped(float64(e.BestAt))
	}
	return v
}
