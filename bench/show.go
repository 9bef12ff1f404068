package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/bench/plot"
)

// What the documentation shows lies between these lines; the rest of the pages
// is written by hand.
const (
	beginMark = "<!-- bench: what stands here is written by make bench -->"
	endMark   = "<!-- bench: end -->"
)

// show draws the plots and puts the tables into docs/performance.md.
func (r *result) show(root string) error {
	for name, svg := range r.plots() {
		path := filepath.Join(root, "performance", name+".svg")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return between(filepath.Join(root, "performance.md"), r.markdown())
}

// between replaces what stands between the marks of a page.
func between(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(page), beginMark)
	_, tail, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return fmt.Errorf("%s has no lines %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(head+beginMark+"\n\n"+text+"\n"+endMark+tail), 0o644)
}

// plots are those for which there is something, by the names of their files.
func (r *result) plots() map[string]string {
	out := map[string]string{"cpu": r.cpuPlot()}
	if r.LatencyRate > 0 {
		out["latency"] = r.latencyPlot()
	}
	for of, name := range map[string]string{ofSessions: "sessions", ofStatements: "statements"} {
		if lines := r.curves()[of]; lines != nil {
			out[name] = growthPlot(of, lines)
		}
	}
	return out
}

func (r *result) cpuPlot() string {
	bars := plot.Bars{Title: "Processor time of the proxy per transaction", Unit: "µs", Groups: []string{"simple", "extended", "prepared", "bulk (1,000 rows)"}}
	for _, t := range r.targets() {
		var values []plot.Value
		some := false
		for _, row := range []string{"simple", "extended", "prepared", "bulk"} {
			v := plot.Value{}
			if _, ok := r.median(row, t, "cpu_us"); ok && !strings.HasSuffix(t, overTLS) {
				s := r.find(row, t).Metrics["cpu_us"]
				v, some = plot.Value{Median: s.Median, Min: s.Min, Max: s.Max}, true
			}
			values = append(values, v)
		}
		if some {
			bars.Series, bars.Values = append(bars.Series, t), append(bars.Values, values)
		}
	}
	return bars.SVG()
}

func (r *result) latencyPlot() string {
	l := plot.Lines{
		Title: fmt.Sprintf("Latency at %.0f transactions a second", r.LatencyRate), XName: "percentile", Unit: "µs",
	}
	for i, p := range percentiles {
		l.Marks = append(l.Marks, plot.Mark{At: float64(i), Name: p.name})
	}
	for _, t := range r.targets() {
		if r.find("latency", t) == nil {
			continue
		}
		line := plot.Line{Name: t}
		for i, p := range percentiles {
			v, _ := r.median("latency", t, p.name)
			line.Points = append(line.Points, plot.Point{X: float64(i), Y: v})
		}
		l.Lines = append(l.Lines, line)
	}
	return l.SVG()
}

func growthPlot(of string, curves map[string][]*point) string {
	l := plot.Lines{Title: "Processor time of the proxy per transaction, by " + of, XName: of, Unit: "µs", LogX: true}
	sizes := make(map[float64]bool)
	for _, target := range slices.Sorted(maps.Keys(curves)) {
		line := plot.Line{Name: target}
		for _, p := range curves[target] {
			line.Points = append(line.Points, plot.Point{X: p.Size, Y: p.CPU.Median})
			sizes[p.Size] = true
		}
		l.Lines = append(l.Lines, line)
	}
	for size := range sizes {
		l.Marks = append(l.Marks, plot.Mark{At: size, Name: fmt.Sprintf("%.0f", size)})
	}
	return l.SVG()
}
