package plot

import "fmt"

// Value is a median and what it was taken from. None is drawn where all are 0.
type Value struct{ Median, Min, Max float64 }

// Bars are groups of bars, one bar for each series in each group.
type Bars struct {
	Title, Unit string
	Groups      []string
	Series      []string
	Values      [][]Value // by series, then by group
}

// SVG draws them, each with a line from the least to the most.
func (b Bars) SVG() string {
	var c canvas
	most := 0.0
	for _, series := range b.Values {
		for _, v := range series {
			most = max(most, v.Max)
		}
	}
	y := vertical(most)
	c.axis(y, b.Unit)
	slot := float64(plotRight-plotLeft) / float64(max(1, len(b.Groups)))
	w := slot * 0.84 / float64(max(1, len(b.Series)))
	for g, name := range b.Groups {
		left := plotLeft + slot*(float64(g)+0.08)
		c.text(left+slot*0.42, plotBottom+18, "middle", name)
		for i, series := range b.Series {
			v := b.Values[i][g]
			if v == (Value{}) {
				continue
			}
			x := left + w*float64(i)
			top := y.at(v.Median)
			c.bar(x+1, top, w-2, plotBottom-top, color(i),
				fmt.Sprintf("%s, %s: %s (%s-%s)", series, name, number(v.Median), number(v.Min), number(v.Max)))
			c.line(x+w/2, y.at(v.Min), x+w/2, y.at(v.Max), axisStyle)
		}
	}
	return c.image(b.Title, c.legend(b.Series))
}
