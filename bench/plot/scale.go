package plot

import (
	"math"
	"strconv"
)

// scale maps values to pixels.
type scale struct {
	from, to   float64 // values
	start, end float64 // pixels
	log        bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log10(v), math.Log10(from), math.Log10(to)
	}
	if to == from {
		return (s.start + s.end) / 2
	}
	return s.start + (v-from)/(to-from)*(s.end-s.start)
}

// ticks are round values, some five of them, that begin at 0; powers of ten on a
// logarithmic scale.
func (s scale) ticks() []float64 {
	var out []float64
	if s.to <= 0 || s.log && s.from <= 0 {
		return nil
	}
	if s.log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.from)-1e-9)); v <= s.to*1.0001; v *= 10 {
			out = append(out, v)
		}
		return out
	}
	for i := 0; float64(i)*s.step() <= s.to*1.0001; i++ {
		out = append(out, float64(i)*s.step())
	}
	return out
}

func (s scale) step() float64 {
	rough := s.to / 5
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, n := range []float64{1, 2, 2.5, 5, 10} {
		if n*power >= rough {
			return n * power
		}
	}
	return 10 * power
}

// vertical is a scale from the bottom to the top that holds all values.
func vertical(most float64) scale {
	s := scale{to: most, start: plotBottom, end: plotTop}
	if most <= 0 {
		s.to = 1
	}
	s.to = math.Ceil(s.to/s.step()) * s.step()
	return s
}

// axis draws the vertical axis, its lines and its name.
func (c *canvas) axis(y scale, name string) {
	for _, v := range y.ticks() {
		c.line(plotLeft, y.at(v), plotRight, y.at(v), gridStyle)
		c.text(plotLeft-8, y.at(v)+4, "end", tick(v))
	}
	c.line(plotLeft, plotBottom, plotRight, plotBottom, axisStyle)
	c.text(plotLeft-8, plotTop-10, "start", name)
}

// tick writes a value short: 10k, 1M.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	default:
		return number(v)
	}
}
