package pgparse

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

var update = flag.Bool("update", false, "write the golden file anew")

// The golden file is the table of commands as it comes out, to be read by eye:
// change it with -update, and look at the difference.
func TestCommands(t *testing.T) {
	source, err := os.ReadFile("testdata/commands.sql")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(source)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "--") {
			describe(t, &out, line)
		}
	}
	const golden = "testdata/commands.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("line %d of %s differs; got\n%s", i+1, golden, strings.Join(got[min(i, len(got)):min(i+3, len(got))], "\n"))
		}
	}
}

func describe(t *testing.T, out *strings.Builder, text string) {
	t.Helper()
	j := Read(text)
	if j.Cause != "" || len(j.Statements) != 1 {
		t.Errorf("%s: cause %q, %d statements", text, j.Cause, len(j.Statements))
		return
	}
	s := j.Statements[0]
	fmt.Fprintf(out, "%s\n\t%s | %s | %s", text, s.Command, s.Class, s.Tags)
	if s.Destructive != "" {
		fmt.Fprintf(out, " (%s)", s.Destructive)
	}
	if e := s.Effect; e.Kind != statement.EffectNone {
		fmt.Fprintf(out, " | effect %d %s", e.Kind, e.Name)
	}
	out.WriteByte('\n')
	for _, o := range s.Objects {
		name := o.Name
		if o.Schema != "" {
			name = o.Schema + "." + o.Name
		}
		fmt.Fprintf(out, "\t%s %s %s\n", o.Kind, name, o.Use)
	}
}

// Every command of the table stands in the golden file.
func TestTableIsCovered(t *testing.T) {
	golden, err := os.ReadFile("testdata/commands.golden")
	if err != nil {
		t.Fatal(err)
	}
	for node, c := range commands {
		if !strings.Contains(c.tag, "*") && !strings.Contains(string(golden), "\t"+c.tag+" | ") {
			t.Errorf("%s (%s) is not in the golden file", c.tag, node)
		}
	}
	for of, k := range kinds {
		tag := strings.ToUpper(k.name)
		if !strings.Contains(string(golden), tag) && k.name != "default privileges" && k.name != "parameter" {
			t.Errorf("no command on %s (%s)", k.name, of)
		}
	}
}
