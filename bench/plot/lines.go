package plot

import (
	"fmt"
	"strings"
)

// Point is one value of a line.
type Point struct{ X, Y float64 }

// Line is a series of points, from left to right.
type Line struct {
	Name   string
	Points []Point
}

// Lines are curves over one horizontal axis.
type Lines struct {
	Title, XName, Unit string
	LogX               bool
	// Marks name places on the horizontal axis; round values where there are none.
	Marks []Mark
	Lines []Line
}

// Mark is a place on an axis and its name.
type Mark struct {
	At   float64
	Name string
}

// SVG draws them.
func (l Lines) SVG() string {
	var c canvas
	x, y := l.scales()
	c.axis(y, l.Unit)
	for _, m := range l.marks(x) {
		c.line(x.at(m.At), plotBottom, x.at(m.At), plotBottom+4, axisStyle)
		c.text(x.at(m.At), plotBottom+18, "middle", m.Name)
	}
	c.text(float64(plotLeft+plotRight)/2, plotBottom+36, "middle", l.XName)
	names := make([]string, len(l.Lines))
	for i, line := range l.Lines {
		names[i] = line.Name
		c.curve(line, x, y, color(i))
	}
	return c.image(l.Title, c.legend(names))
}

func (l Lines) scales() (x, y scale) {
	x = scale{start: plotLeft + 20, end: plotRight - 20, log: l.LogX}
	most, first := 0.0, true
	for _, line := range l.Lines {
		for _, p := range line.Points {
			if first {
				x.from, x.to, first = p.X, p.X, false
			}
			x.from, x.to, most = min(x.from, p.X), max(x.to, p.X), max(most, p.Y)
		}
	}
	return x, vertical(most)
}

func (l Lines) marks(x scale) []Mark {
	if len(l.Marks) > 0 {
		return l.Marks
	}
	var out []Mark
	for _, v := range x.ticks() {
		out = append(out, Mark{v, tick(v)})
	}
	return out
}

func (c *canvas) curve(line Line, x, y scale, color string) {
	var points []string
	for _, p := range line.Points {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(p.X), y.at(p.Y)))
		fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %s at %s</title></circle>`+"\n",
			x.at(p.X), y.at(p.Y), color, escape(line.Name), number(p.Y), tick(p.X))
	}
	fmt.Fprintf(c, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"/>`+"\n", strings.Join(points, " "), color)
}
