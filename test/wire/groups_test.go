package wire

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var writeDocs = flag.Bool("wire.docs", false, "write the table of scripts into docs/compatibility.md")

// group is what scripts are about, by the beginnings of their names; of raw ones by
// their file.
type group struct {
	about string
	raw   string
	names string
}

var groups = []group{
	{"requests for encryption, TLS, what is stuffed behind", "negotiation", ""},
	{"the start-up packet: lengths, layout, versions, parameters, options, replication", "startup", ""},
	{"the exchange of the password, and the first messages behind it", "password", ""},
	{"cancel requests: in clear, inside TLS, with keys of every kind; of statements, COPY, idle sessions", "cancel", "cancel"},
	{"what log-in reports, and changes of it", "", "greeting parameter-status encoding"},
	{
		"simple queries: several, empty, malformed, large; strings and comments", "",
		"simple query comments empty nul strings many rows errors explain not-in notices call unreadable server-files names ddl",
	},
	{
		"transactions, implicit and explicit, savepoints, locks", "",
		"transaction implicit begin commit savepoint deferred serialization two-phase lock deadlock",
	},
	{
		"the extended protocol: Parse, Bind, Describe, Execute, Close, their names", "",
		"parse bind describe execute close extended unnamed statement deallocate discard sql wire",
	},
	{"portals, cursors and row limits", "", "portal suspended cursor"},
	{"pipelines, errors in them, Flush and Sync", "", "pipeline flush sync write"},
	{"COPY in and out, with whatever is sent into it", "", "copy"},
	{"FunctionCall and large objects", "", "functioncall large"},
	{"notifications", "", "notify"},
	{
		"framing: lengths, unknown types, messages at the wrong time", "",
		"length unknown backend-type messages password-message",
	},
	{
		"ends: Terminate, a side that closes, sessions that are terminated or run out of time", "",
		"terminate half-closed idle statement-timeout",
	},
	{"refusals of a rule", "", "denied"},
	{"replication commands", "", "replication"},
}

// holds tells whether a script is of the group.
func (g *group) holds(s *script) bool {
	if s.raw != "" {
		return s.raw == g.raw
	}
	return slices.ContainsFunc(strings.Fields(g.names), func(name string) bool { return strings.HasPrefix(s.name, name) })
}

// groupOf returns the group with the longest beginning of a script's name.
func groupOf(s *script) (found *group) {
	longest := -1
	for i := range groups {
		g := &groups[i]
		if !g.holds(s) {
			continue
		}
		for _, name := range append(strings.Fields(g.names), "") {
			if strings.HasPrefix(s.name, name) && len(name) > longest {
				longest, found = len(name), g
			}
		}
	}
	return found
}

// TestTableOfScripts holds the table in docs/compatibility.md to the scripts.
func TestTableOfScripts(t *testing.T) {
	count := make(map[string]int)
	all := slices.Concat(readScripts(t, ""), readScripts(t, "raw"))
	for _, s := range all {
		g := groupOf(s)
		if g == nil {
			t.Errorf("%s: of no group", s.name)
			continue
		}
		count[g.about]++
	}
	var table strings.Builder
	table.WriteString("| what is asked | scripts |\n|---|---|\n")
	for i := range groups {
		fmt.Fprintf(&table, "| %s | %d |\n", groups[i].about, count[groups[i].about])
	}
	fmt.Fprintf(&table, "| **together** | **%d** |\n", len(all))

	const file, begin, end = "../../docs/compatibility.md", "<!-- wire scripts -->\n", "<!-- end of wire scripts -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	is, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if is == table.String() {
		return
	}
	if !*writeDocs {
		t.Fatalf("the table in %s is out of date: run this test with -wire.docs", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
