package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// column of a table: a metric of a row.
type column struct{ head, row, metric string }

var costColumns = []column{
	{"simple, µs", "simple", "cpu_us"},
	{"extended, µs", "extended", "cpu_us"},
	{"prepared, µs", "prepared", "cpu_us"},
	{"bulk, ns/byte", "bulk", "cpu_ns_per_byte"},
	{"new session, µs", "log-in", "cpu_us"},
	{"COPY out, ns/byte", "copy out", "cpu_ns_per_byte"},
	{"COPY in, ns/byte", "copy in", "cpu_ns_per_byte"},
	{"idle session, KB", "idle", "kb_per_session"},
}

var speedColumns = []column{
	{"8 clients, share of direct", "simple", "share"},
	{"one client, share of direct", "one client", "share"},
	{"one client, µs", "one client", "latency_us"},
	{"bulk, MB/s", "bulk", "mb_per_s"},
	{"COPY out, MB/s", "copy out", "mb_per_s"},
	{"COPY in, MB/s", "copy in", "mb_per_s"},
}

var dumpColumns = []column{
	{"pg_dump, s", "pg_dump, s", "seconds"},
	{"of direct's time", "pg_dump, s", "share"},
	{"pg_restore, s", "pg_restore, s", "seconds"},
	{"of direct's time", "pg_restore, s", "share"},
}

var workerColumns = []column{
	{"simple, µs", "simple", "workers_us"},
	{"extended, µs", "extended", "workers_us"},
	{"prepared, µs", "prepared", "workers_us"},
	{"bulk, µs", "bulk", "workers_us"},
	{"new session, µs", "log-in", "workers_us"},
}

// markdown tells all as tables.
func (r *result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s processors (%s), kernel %s, %s, %s, %s, %s; pgcustos %s. Medians (min-max) of %d rounds.\n",
		r.Date, r.Machine["processors"], r.Machine["processor"], r.Machine["kernel"], r.Versions["go"],
		r.Versions["postgresql"], r.Versions["pgbouncer"], r.Versions["haproxy"], r.Versions["pgcustos"], r.Rounds)
	r.table(&b, "Processor time of the proxy", costColumns)
	r.table(&b, "Of pgcustos' parser workers, not counted above", workerColumns)
	r.table(&b, "Throughput", speedColumns)
	r.table(&b, "A table of two gigabytes", dumpColumns)
	r.latencyTable(&b)
	r.growthTable(&b)
	return b.String()
}

// targets lists who was measured, in the order of the first time.
func (r *result) targets() []string {
	var out []string
	for _, c := range r.Cells {
		if !slices.Contains(out, c.Target) {
			out = append(out, c.Target)
		}
	}
	return out
}

func (r *result) table(b *strings.Builder, title string, columns []column) {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return !slices.ContainsFunc(r.targets(), func(t string) bool { _, ok := r.median(c.row, t, c.metric); return ok })
	})
	if len(columns) == 0 {
		return
	}
	fmt.Fprintf(b, "\n**%s**\n\n| |", title)
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.head)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, t := range r.targets() {
		cells, any := "", false
		for _, c := range columns {
			text := ""
			if _, ok := r.median(c.row, t, c.metric); ok {
				text, any = r.find(c.row, t).Metrics[c.metric].String(), true
			}
			cells += " " + text + " |"
		}
		if any {
			fmt.Fprintf(b, "| %s |%s\n", t, cells)
		}
	}
}

// String is a median, and the least and the most where they differ.
func (s *stat) String() string {
	if len(s.Samples) < 2 {
		return short(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", short(s.Median), short(s.Min), short(s.Max))
}

func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 3:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// latencyTable shows percentiles, and what each target adds to direct's.
func (r *result) latencyTable(b *strings.Builder) {
	if r.LatencyRate == 0 {
		return
	}
	fmt.Fprintf(b, "\n**Latency at %.0f transactions a second, µs (added to direct's)**\n\n| |", r.LatencyRate)
	for _, p := range percentiles {
		fmt.Fprintf(b, " %s |", p.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(percentiles)) + "\n")
	for _, t := range r.targets() {
		if r.find("latency", t) == nil {
			continue
		}
		fmt.Fprintf(b, "| %s |", t)
		for _, p := range percentiles {
			v, _ := r.median("latency", t, p.name)
			direct, ok := r.median("latency", directName, p.name)
			if !ok || t == directName {
				fmt.Fprintf(b, " %.0f |", v)
				continue
			}
			fmt.Fprintf(b, " %.0f (%+.0f) |", v, v-direct)
		}
		b.WriteString("\n")
	}
}

// growthTable shows each curve in a row.
func (r *result) growthTable(b *strings.Builder) {
	curves := r.curves()
	if len(curves) == 0 {
		return
	}
	b.WriteString("\n**How cost grows: µs of processor time per transaction (of the parser workers)**\n\n| what grows | target | |\n|---|---|---|\n")
	for _, of := range []string{ofSessions, ofStatements, ofRules, ofGroups} {
		for _, target := range slices.Sorted(maps.Keys(curves[of])) {
			var points []string
			for _, p := range curves[of][target] {
				text := fmt.Sprintf("%.0f: %s", p.Size, short(p.CPU.Median))
				if p.Worker.Median >= 0.1 {
					text += fmt.Sprintf(" (%s)", short(p.Worker.Median))
				}
				points = append(points, text)
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", of, target, strings.Join(points, ", "))
		}
	}
}

// curves are the points by what grows, and by target.
func (r *result) curves() map[string]map[string][]*point {
	out := make(map[string]map[string][]*point)
	for _, p := range r.Growth {
		if out[p.Of] == nil {
			out[p.Of] = make(map[string][]*point)
		}
		out[p.Of][p.Target] = append(out[p.Of][p.Target], p)
	}
	return out
}
