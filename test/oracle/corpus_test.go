package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

const corpusDir = "../corpus"

// item is one thing to send, and what of it is known beforehand.
type item struct {
	where   string // file:line
	session int    // items with the same number share one
	steps   []string
	open    bool            // in a transaction that is rolled back
	class   statement.Class // that it has at least
	tags    statement.Tag
}

func (i *item) String() string { return strings.Join(i.steps, "\n") }

// alone marks an item that runs in no transaction.
const alone = " | alone"

// readEvasions reads a file whose items are steps, one a line, followed by an
// indented line of the classes and tags that must be found. A step that begins
// with a quote is Go's string; one that begins with ">" is a message, see message.
func readEvasions(t *testing.T, name string) []item {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(corpusDir, name))
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	var next item
	for i, line := range strings.Split(string(source), "\n") {
		where := fmt.Sprintf("%s:%d", name, i+1)
		switch {
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "== "):
		case line[0] != '\t':
			if len(next.steps) == 0 {
				next.where = where
			}
			next.steps = append(next.steps, unquote(t, where, line))
		default:
			next.class, next.tags = expectation(t, where, strings.TrimSuffix(line[1:], alone))
			next.open = !strings.HasSuffix(line, alone)
			if n := len(items); n > 0 {
				next.session = items[n-1].session
				if !next.open || !items[n-1].open {
					next.session++
				}
			}
			items = append(items, next)
			next = item{}
		}
	}
	if len(next.steps) > 0 {
		t.Fatalf("%s: the last item has no expectation", name)
	}
	return items
}

func unquote(t *testing.T, where, line string) string {
	t.Helper()
	if line[0] != '"' {
		return line
	}
	text, err := strconv.Unquote(line)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return text
}

func expectation(t *testing.T, where, line string) (class statement.Class, tags statement.Tag) {
	t.Helper()
	names, tagNames, _ := strings.Cut(line, " |")
	for name := range strings.SplitSeq(names, ",") {
		c, ok := statement.ParseClass(strings.TrimSpace(name))
		if !ok {
			t.Fatalf("%s: no class %q", where, name)
		}
		class |= c
	}
	for name := range strings.FieldsFuncSeq(tagNames, func(r rune) bool { return r == ',' || r == ' ' }) {
		tag, ok := statement.ParseTag(name)
		if !ok {
			t.Fatalf("%s: no tag %q", where, name)
		}
		tags |= tag
	}
	return class, tags
}

// readStatements reads a file of statements with lines of --- between them.
func readStatements(t *testing.T, name string, session int) []item {
	t.Helper()
	source, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	line := 1
	for part := range strings.SplitSeq(string(source), "\n---\n") {
		if text := strings.Trim(part, "\n"); text != "" {
			items = append(items, item{where: fmt.Sprintf("%s:%d", filepath.Base(name), line), session: session, steps: []string{text}})
		}
		line += strings.Count(part, "\n") + 2
	}
	return items
}
