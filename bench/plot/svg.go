package plot

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// The frame of every diagram, in pixels.
const (
	width      = 760
	plotLeft   = 70
	plotRight  = width - 20
	plotTop    = 48
	plotHeight = 260
	plotBottom = plotTop + plotHeight
	lineHeight = 18
)

// colors are told apart by people who do not see all of them (after Okabe and Ito).
var colors = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#777777", "#f0e442"}

func color(i int) string { return colors[i%len(colors)] }

// canvas collects the elements of an image.
type canvas struct{ strings.Builder }

func (c *canvas) line(x1, y1, x2, y2 float64, style string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`+"\n", x1, y1, x2, y2, style)
}

func (c *canvas) text(x, y float64, anchor, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, escape(s))
}

// bar is a rectangle that tells its value where a pointer rests on it.
func (c *canvas) bar(x, y, w, h float64, fill, tip string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`+"\n",
		x, y, w, h, fill, escape(tip))
}

// legend names the series below the diagram and returns the image's height.
func (c *canvas) legend(names []string) float64 {
	y := float64(plotBottom + 56)
	x := float64(plotLeft)
	for i, name := range names {
		w := 26 + 7*float64(len([]rune(name)))
		if x+w > plotRight && x > plotLeft {
			x, y = plotLeft, y+lineHeight
		}
		c.bar(x, y-9, 10, 10, color(i), name)
		c.text(x+15, y, "start", name)
		x += w
	}
	return y + 16
}

// image puts the frame around what was drawn.
func (c *canvas) image(title string, height float64) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %[1]d %.0[2]f" `+
		`font-family="sans-serif" font-size="12" fill="#222" role="img" aria-label="%s">`+"\n"+
		`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n"+
		`<text x="%d" y="24" font-size="15">%[3]s</text>`+"\n%[5]s</svg>\n",
		width, height, escape(title), plotLeft, c.String())
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

const (
	gridStyle = `stroke="#ddd"`
	axisStyle = `stroke="#444"`
)
