package view

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// renderMarkdown writes a page as GitHub Flavored Markdown.
func renderMarkdown(w io.Writer, p *page) error {
	out := bufio.NewWriterSize(w, 64<<10)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) } // bufio keeps the first error for Flush
	say("# %s\n\n", mdText(p.Title))
	for _, f := range p.Facts {
		say("- %s: %s\n", mdText(f.Name), mdCell(f.Value))
	}
	for _, r := range p.Remarks {
		say("\n> **Attention:** %s\n", mdText(neutral(r, 1000)))
	}
	say("\n## Summary\n\n")
	for _, l := range p.Summary {
		var parts []string
		for _, c := range l {
			parts = append(parts, mdInline(c))
		}
		say("- %s\n", strings.Join(parts, ""))
	}
	for _, s := range p.Sections {
		say("\n## %s\n\n%s\n", mdText(s.Title), mdText(s.Intro))
		for _, g := range s.Tables {
			if g.Title != "" {
				say("\n### %s\n", mdText(g.Title))
			}
			mdGrid(say, &g)
		}
	}
	say("\n---\n\n")
	for _, f := range p.Foot {
		say("%s\n\n", mdText(f))
	}
	return out.Flush()
}

func mdGrid(say func(string, ...any), g *grid) {
	if len(g.Rows) == 0 {
		say("\n%s\n", mdText(g.Empty))
		return
	}
	say("\n| ")
	for _, h := range g.Head {
		say("%s | ", mdText(h))
	}
	say("\n|")
	for i := range g.Head {
		if g.Rows[0][i].Kind == number {
			say("---:|")
		} else {
			say("---|")
		}
	}
	for _, row := range g.Rows {
		say("\n| ")
		for _, c := range row {
			say("%s | ", mdCell(c))
		}
	}
	say("\n")
	if g.More != "" {
		say("\n%s\n", mdText(g.More))
	}
}

func mdCell(c cell) string { return mdInline(cell{c.Safe(), c.Kind}) }

// mdInline writes a cell so that nothing in it is Markdown or HTML.
func mdInline(c cell) string {
	switch c.Kind {
	case code, sql:
		return mdCode(c.Safe())
	case alarm:
		if c.Text == "" {
			return ""
		}
		text := strings.TrimSpace(c.Text)
		return "**" + mdText(text) + "**" + c.Text[len(strings.TrimRight(c.Text, " ")):]
	case name:
		return mdText(c.Safe())
	case plain, number, moment, bar:
	}
	return mdText(c.Text)
}

// mdCode is a code span where that can hold s, and text otherwise: a span ends at a
// backtick, and a table's cell at a bar, whatever is before it in some renderers.
func mdCode(s string) string {
	if s == "" || s == "-" {
		return s
	}
	if strings.ContainsAny(s, "`|\\") {
		return mdText(s)
	}
	return "`" + s + "`"
}

// mdText writes what Markdown or HTML could take for their own as numbered
// entities; a colon, a dot or an @ where it could make a link (GFM, autolinks).
func mdText(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		special := strings.ContainsRune("\\`*[]<>&|~#!$", r)
		switch r {
		case '_':
			special = i == 0 || i == len(runes)-1 || !wordRune(runes[i-1]) || !wordRune(runes[i+1])
		case ':':
			special = i+1 < len(runes) && runes[i+1] == '/'
		case '@':
			special = true
		case '.':
			special = i >= 3 && strings.EqualFold(string(runes[i-3:i]), "www")
		}
		if special {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func wordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
