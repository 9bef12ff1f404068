package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
}

func TestBars(t *testing.T) {
	svg := Bars{
		Title: "a < b & c", Unit: "µs", Groups: []string{"one", "two"}, Series: []string{"x", `"y"`},
		Values: [][]Value{{{1, 1, 2}, {}}, {{3, 2, 4}, {5, 5, 5}}},
	}.SVG()
	wellFormed(t, svg)
	if strings.Contains(svg, "a < b") || strings.Count(svg, "<rect") != 1+2+3 {
		t.Errorf("got\n%s", svg)
	}
	wellFormed(t, Bars{}.SVG())
}

func TestLines(t *testing.T) {
	svg := Lines{Title: "t", LogX: true, Lines: []Line{{"a", []Point{{1, 5}, {10, 6}, {512, 7}}}, {"b", nil}}}.SVG()
	wellFormed(t, svg)
	if strings.Contains(svg, "NaN") || strings.Count(svg, "<circle") != 3 {
		t.Errorf("got\n%s", svg)
	}
	wellFormed(t, Lines{}.SVG())
}

func TestTicks(t *testing.T) {
	if got := vertical(47).ticks(); len(got) != 6 || got[5] != 50 {
		t.Errorf("ticks up to 47: %v", got)
	}
	if got := (scale{from: 1, to: 512, log: true}).ticks(); len(got) != 3 || got[2] != 100 {
		t.Errorf("ticks of a logarithmic scale: %v", got)
	}
}
