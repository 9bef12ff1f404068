package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// ReportFormat is a form of a report.
type ReportFormat string

// The forms of a report.
const (
	Markdown ReportFormat = "md"
	HTML     ReportFormat = "html" // one page that needs nothing else
)

// ParseReportFormat reads the name of a form.
func ParseReportFormat(s string) (ReportFormat, error) {
	switch strings.ToLower(s) {
	case "", "md", "markdown":
		return Markdown, nil
	case "html":
		return HTML, nil
	}
	return "", fmt.Errorf("no such format: %q; there are md and html", s)
}

// ReportOptions say what a report is about.
type ReportOptions struct {
	Path     string // of the journal
	Filter   Filter // Since and Until are its period
	Format   ReportFormat
	Now      time.Time // when it is made
	Warnings io.Writer // see Options
	Progress io.Writer
}

// Report answers four questions: who accessed what, who changed the schema, who ran
// destructive operations, and what happened between two times. Its lists are bounded,
// its counts are not: where a list was cut it says so. Where the journal is damaged
// the report says that too, on its first page, and the error is returned behind it.
func Report(ctx context.Context, w io.Writer, o ReportOptions) error {
	q := Options{Path: o.Path, Filter: o.Filter, Warnings: o.Warnings}
	q.Filter.readings = true
	if o.Progress != nil {
		p := newProgress(o.Progress)
		defer p.clear()
		q.Progress = p
	}
	c := newCollector()
	s, err := open(&q, o.Filter.Since, &loader{c, headText, false})
	if err != nil {
		return err
	}
	defer s.close()
	err = s.pump(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = errors.Join(err, s.join.end())
	if watch, ok := q.Progress.(*progress); ok {
		watch.clear()
	}
	for _, t := range s.reader.TornTails() {
		c.remarks = append(c.remarks, fmt.Sprintf("%s has an unfinished record at byte %d: its process died, or is writing it now.", t.File, t.Offset))
	}
	if s.reader.Empty() {
		c.remarks = append(c.remarks, "There is no journal: that nothing is in this report is no sign that nothing happened.")
	}
	var damage *journal.CorruptionError
	switch {
	case errors.As(err, &damage):
		c.remarks = append(c.remarks, "The journal is damaged, and what lies behind the damage is not in this report: "+damage.Error())
	case err != nil:
		c.remarks = append(c.remarks, "Reading the journal ended early, and the rest is not in this report: "+err.Error())
	}
	return errors.Join(err, render(w, c.page(&o), o.Format), s.warn())
}

func render(w io.Writer, p *page, format ReportFormat) error {
	if format == HTML {
		return renderHTML(w, p)
	}
	return renderMarkdown(w, p)
}

// page is a report before it has a form. What stands in it is not harmless yet.
type page struct {
	Title    string
	Facts    []fact
	Remarks  []string
	Summary  []line
	Sections []section
	Foot     []string
}

type fact struct {
	Name  string
	Value cell
}

// line is a sentence: cells side by side.
type line []cell

type section struct {
	Title, Intro string
	Tables       []grid
}

type grid struct {
	Title string
	Head  []string
	Rows  [][]cell
	Empty string // what is said where there are no rows
	More  string // what is said behind rows that were cut
}

// cell is a text with what it is.
type cell struct {
	Text string
	Kind cellKind
}

type cellKind int

const (
	plain  cellKind = iota // our own words
	name                   // of somebody or something: anybody's word
	code                   // identifiers
	sql                    // texts of statements
	number                 // aligned right
	alarm                  // our own words, to be seen
	moment                 // a time, on one line
	bar
)

func words(format string, args ...any) cell { return cell{fmt.Sprintf(format, args...), plain} }
func named(s string) cell                   { return cell{s, name} }
func coded(s string) cell                   { return cell{s, code} }
func numbered(n uint64) cell                { return cell{thousands(n), number} }

// Class is for style sheets.
func (c cell) Class() string {
	return [...]string{"", "name", "code", "sql", "number", "alarm", "time", "bar"}[c.Kind]
}

const (
	reportText = 240 // cells of a text in a report
	reportName = 100
)

// Safe is the text on one line that acts nowhere; HTML and Markdown are another
// matter.
func (c cell) Safe() string {
	if c.Kind == code {
		return fit(c.Text, reportName)
	}
	return fit(c.Text, reportText)
}
