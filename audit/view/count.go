package view

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
)

// maxGroups bounds how many groups are counted apart; what comes in others is
// counted as one.
const maxGroups = 200_000

// counter counts entries by their fields. An entry with several classes, tags or
// objects counts once for each of them; one that has none counts too.
type counter struct {
	w      io.Writer
	o      *Options
	by     []field
	groups map[string]*group
	rest   uint64 // in groups beyond maxGroups
	total  uint64

	keyBytes []byte
	values   [][]string
}

type group struct {
	values []string
	count  uint64
}

func newCounter(w io.Writer, o *Options) *counter {
	by, _ := findFields(o.By) // checked before
	return &counter{w: w, o: o, by: by, groups: map[string]*group{}, values: make([][]string, len(by))}
}

var none = []string{""}

func (c *counter) put(e *entry) error {
	if e.late || e.Type == audit.Outcome && c.o.Filter.Type == "" && c.o.Filter.SQLSTATE == "" {
		return nil // its statement was counted, or was before the time that is asked for
	}
	c.total += e.times()
	for i, f := range c.by {
		c.values[i] = f.values(e)
		if len(c.values[i]) == 0 {
			c.values[i] = none
		}
	}
	c.spread(0, make([]string, len(c.by)), e.times())
	return nil
}

// spread counts each combination of values.
func (c *counter) spread(i int, chosen []string, times uint64) {
	if i == len(c.by) {
		c.add(chosen, times)
		return
	}
	for _, v := range c.values[i] {
		chosen[i] = v
		c.spread(i+1, chosen, times)
	}
}

func (c *counter) add(values []string, times uint64) {
	c.keyBytes = c.keyBytes[:0]
	for _, v := range values {
		c.keyBytes = strconv.AppendInt(c.keyBytes, int64(len(v)), 10)
		c.keyBytes = append(append(c.keyBytes, ':'), v...)
	}
	g := c.groups[string(c.keyBytes)]
	if g == nil {
		if len(c.groups) >= maxGroups {
			c.rest += times
			return
		}
		g = &group{values: slices.Clone(values)}
		c.groups[string(c.keyBytes)] = g
	}
	g.count += times
}

func (c *counter) flush() error { return nil }

func (c *counter) end() error {
	groups := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.count, a.count), slices.Compare(a.values, b.values))
	})
	if len(c.by) == 0 && len(groups) == 0 {
		groups = append(groups, &group{})
	}
	if c.o.Limit > 0 && len(groups) > c.o.Limit {
		groups = groups[:c.o.Limit]
	}
	if c.rest > 0 && c.o.Warnings != nil {
		if _, err := fmt.Fprintf(c.o.Warnings, "more than %d groups: %d entries are in none of them\n", maxGroups, c.rest); err != nil {
			return err
		}
	}
	out := bufio.NewWriterSize(c.w, 64<<10)
	var err error
	switch c.o.Format {
	case JSONL:
		err = c.json(out, groups)
	case CSV:
		err = c.csv(out, groups)
	case Table, OCSF:
		c.table(out, groups)
	default:
		c.table(out, groups)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (c *counter) json(out *bufio.Writer, groups []*group) error {
	for _, g := range groups {
		line := make(map[string]any, len(c.by)+1)
		line["count"] = g.count
		for i, f := range c.by {
			line[f.name] = strings.ToValidUTF8(g.values[i], "\uFFFD")
		}
		if err := writeJSON(out, line); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) csv(out *bufio.Writer, groups []*group) error {
	w := csvWriter{out}
	cells := []string{"count"}
	for _, f := range c.by {
		cells = append(cells, f.name)
	}
	if err := w.line(cells); err != nil {
		return err
	}
	for _, g := range groups {
		cells = append(cells[:0], strconv.FormatUint(g.count, 10))
		cells = append(cells, g.values...)
		if err := w.line(cells); err != nil {
			return err
		}
	}
	return nil
}

const countCell = 60

func (c *counter) table(out *bufio.Writer, groups []*group) {
	rows := [][]string{{"COUNT"}}
	for _, f := range c.by {
		rows[0] = append(rows[0], strings.ToUpper(f.name))
	}
	for _, g := range groups {
		row := []string{strconv.FormatUint(g.count, 10)}
		for _, v := range g.values {
			row = append(row, dash(fit(v, countCell)))
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(c.by)+1)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	for _, row := range rows {
		line := strings.Repeat(" ", widths[0]-cells(row[0])) + row[0]
		for i, cell := range row[1:] {
			line += "  " + cell + strings.Repeat(" ", widths[i+1]-cells(cell))
		}
		_, _ = out.WriteString(strings.TrimRight(line, " ") + "\n") // bufio keeps the first error for Flush
	}
}
