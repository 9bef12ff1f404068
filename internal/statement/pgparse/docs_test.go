package pgparse

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	docsFile   = "../../../docs/classification.md"
	docsMarker = "<!-- From here on written by `go test ./internal/statement/pgparse -update`. -->\n"
)

// docs/classification.md shows the tables as they are.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, tables, ok := strings.Cut(string(text), docsMarker)
	if !ok {
		t.Fatalf("%s has no line %s", docsFile, docsMarker)
	}
	want := docsTables(t)
	if *update {
		if err := os.WriteFile(docsFile, []byte(head+docsMarker+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if tables != want {
		t.Error("docs/classification.md differs from the tables: run the test with -update")
	}
}

func docsTables(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	functionsTables(&out)
	out.WriteString("\n## Forms of statements\n")
	_, pages := readForms(t)
	for _, p := range pages {
		fmt.Fprintf(&out, "\n### %s\n\n| Form | Classes | Tags | Objects |\n|---|---|---|---|\n", p.title)
		for _, f := range p.forms {
			classes, tags, objects := cells(outcome(t, f.sql))
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", strings.ReplaceAll(f.sql, "|", "\\|"), classes, tags, objects)
		}
	}
	return out.String()
}

// functionsTables shows functions.txt.
func functionsTables(out *strings.Builder) {
	for line := range strings.Lines(functionText) {
		line = strings.TrimSpace(line)
		title, isTitle := strings.CutPrefix(line, "== ")
		switch {
		case isTitle && strings.HasPrefix(title, "volatile"):
			fmt.Fprintf(out, "\n## Functions: %s\n\n| Functions | What they do |\n|---|---|\n", title)
		case isTitle:
			fmt.Fprintf(out, "\n## Functions that act: %s\n\n| Functions | Classes | Tags | Argument | What they do |\n|---|---|---|---|---|\n", title)
		case line != "" && line[0] != '#':
			cells := strings.Split(line, "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			cells[0] = "`" + strings.Join(strings.Fields(cells[0]), "` `") + "`"
			fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// cells splits an outcome for a row of the table. The command tag is left out:
// it is the form's beginning.
func cells(outcome string) (classes, tags, objects string) {
	lines := strings.Split(strings.TrimSpace(outcome), "\n\t")
	first := strings.Split(lines[0], " | ")
	if len(first) < 2 {
		return lines[0], "", ""
	}
	if len(first) > 2 {
		tags = strings.ReplaceAll(first[2], ",", ", ")
	}
	return strings.ReplaceAll(strings.TrimSuffix(first[1], " |"), ",", ", "), tags, strings.Join(lines[1:], "<br>")
}
