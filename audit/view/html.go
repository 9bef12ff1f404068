package view

import (
	"bufio"
	_ "embed"
	"html/template"
	"io"
)

//go:embed report.html
var reportHTML string

// html/template escapes by context; Safe has taken out what acts by itself.
var reportTemplate = template.Must(template.New("report").Parse(reportHTML))

// renderHTML writes a page that needs nothing else: no script, no other file.
func renderHTML(w io.Writer, p *page) error {
	out := bufio.NewWriterSize(w, 64<<10)
	q := *p
	q.Remarks = nil
	for _, r := range p.Remarks {
		q.Remarks = append(q.Remarks, neutral(r, 1000))
	}
	if err := reportTemplate.Execute(out, &q); err != nil {
		return err
	}
	return out.Flush()
}
