package pgparse

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

var update = flag.Bool("update", false, "write the tables and docs/classification.md anew")

const formsFile = "testdata/forms.txt"

// page is one page of the manual in testdata/forms.txt.
type page struct {
	title string
	forms []form
}

// form is one form of a statement, with its outcome as it stands in the file.
type form struct{ sql, outcome string }

// readForms returns the file's head and its pages.
func readForms(t testing.TB) (head string, pages []page) {
	t.Helper()
	source, err := os.ReadFile(formsFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		last := len(pages) - 1
		switch text := strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(text, "== "):
			pages = append(pages, page{title: text[3:]})
		case last < 0:
			head += line
		case text == "":
		case text[0] != '\t':
			pages[last].forms = append(pages[last].forms, form{sql: text})
		default:
			f := pages[last].forms
			f[len(f)-1].outcome += line
		}
	}
	return head, pages
}

func writeForms(head string, pages []page) string {
	out := strings.TrimSpace(head) + "\n"
	for _, p := range pages {
		out += "\n== " + p.title + "\n"
		for _, f := range p.forms {
			out += f.sql + "\n" + f.outcome
		}
	}
	return out
}

// The table of forms is what comes out.
func TestForms(t *testing.T) {
	head, pages := readForms(t)
	for _, p := range pages {
		for i, f := range p.forms {
			got := outcome(t, f.sql)
			if got != f.outcome && !*update {
				t.Errorf("%s: %s\n%swant\n%s", p.title, f.sql, got, f.outcome)
			}
			p.forms[i].outcome = got
		}
	}
	if *update {
		if err := os.WriteFile(formsFile, []byte(writeForms(head, pages)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outcome describes what a form is.
func outcome(t testing.TB, text string) string {
	t.Helper()
	j := Read(text)
	if j.Cause != "" {
		return fmt.Sprintf("\t%s (%s)\n", j.Class, j.Cause)
	}
	if len(j.Statements) != 1 {
		t.Fatalf("%s: %d statements", text, len(j.Statements))
	}
	s := j.Statements[0]
	out := fmt.Sprintf("\t%s | %s | %s", s.Command, s.Class, s.Tags)
	if s.Destructive != "" {
		out += " (" + s.Destructive + ")"
	}
	out = strings.TrimRight(out, " ") + "\n"
	for _, o := range s.Objects {
		out += "\t" + o.Kind + " " + qualified(o) + " " + o.Use.String() + "\n"
	}
	return out
}

func qualified(o statement.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}
