package view

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// csvWriter writes lines as RFC 4180 has them: UTF-8, CRLF, quotes where needed.
type csvWriter struct {
	out *bufio.Writer
}

// line writes a line. What a spreadsheet would take for a formula gets a quote in
// front; what acts in a terminal is spelt out, but for line feeds and tabs.
func (c *csvWriter) line(cells []string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = c.out.WriteByte(',')
		}
		cell = csvNeutral(cell)
		if strings.ContainsAny(cell, ",\"\n\t") || strings.HasPrefix(cell, " ") || strings.HasSuffix(cell, " ") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		_, _ = c.out.WriteString(cell)
	}
	_, err := c.out.WriteString("\r\n")
	return err
}

// csvNeutral makes s something that is only looked at.
func csvNeutral(s string) string {
	plain := true
	for _, r := range s {
		if r == utf8.RuneError || r != '\n' && r != '\t' && journal.Acts(r) {
			plain = false
			break
		}
	}
	formula := startsFormula(s)
	if !plain {
		s = csvSpell(strings.ReplaceAll(s, "\r\n", "\n"))
	}
	if formula {
		s = "'" + s
	}
	return s
}

func csvSpell(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r == '\n' || r == '\t' {
			b.WriteRune(r)
			continue
		}
		spell(&b, s[i:], r)
	}
	return b.String()
}

// startsFormula says whether a spreadsheet may calculate s, or cut it open (OWASP,
// CSV Injection): = + - @ TAB CR LF, the full-width forms, also behind spaces, and
// behind what is not seen.
func startsFormula(s string) bool {
	for _, r := range s {
		switch {
		case strings.ContainsRune("=+-@\t\r\n＝＋－＠", r):
			return true
		case r == ' ' || r == 0xa0 || r == 0x3000 || journal.Acts(r):
			continue
		}
		return false
	}
	return false
}

// csvEntries prints entries as CSV, with a line of titles.
type csvEntries struct {
	csvWriter
	titled bool
	cells  []string
}

func newCSV(w io.Writer) *csvEntries {
	return &csvEntries{csvWriter: csvWriter{bufio.NewWriterSize(w, 64<<10)}, cells: make([]string, len(csvColumns))}
}

func (c *csvEntries) title() error {
	if c.titled {
		return nil
	}
	c.titled = true
	for i := range csvColumns {
		c.cells[i] = csvColumns[i].name
	}
	return c.line(c.cells)
}

func (c *csvEntries) put(e *entry) error {
	if err := c.title(); err != nil {
		return err
	}
	for i := range csvColumns {
		c.cells[i] = csvColumns[i].value(e)
	}
	return c.line(c.cells)
}

func (c *csvEntries) flush() error { return c.out.Flush() }

func (c *csvEntries) end() error {
	if err := c.title(); err != nil {
		return err
	}
	return c.out.Flush()
}
