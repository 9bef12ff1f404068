package trial

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

var headings = map[Kind]string{
	Denied:     "Statements that would be denied",
	WouldDeny:  "Statements that would be denied if their rule were not in mode observe",
	NoSession:  "Sessions that would not be given",
	OtherRole:  "Sessions that would have another role",
	NowAllowed: "Statements that were denied and would run",
}

// Print writes the report as tables for people.
func (r *Report) Print(out io.Writer) error {
	var b strings.Builder
	if r.Sessions == 0 {
		b.WriteString("No session in this period.\n")
	} else {
		fmt.Fprintf(&b, "%d sessions of %d accounts with %d statements, %s to %s. Denied then and now: %d.\n",
			r.Sessions, r.Principals, r.Statements, stamp(r.From), stamp(r.To), r.Still)
	}
	if len(r.Gone) > 0 {
		fmt.Fprintf(&b, "No longer in the directory, and judged by the group on record: %s\n", plain(strings.Join(r.Gone, ", ")))
	}
	if len(r.Findings) == 0 && r.Sessions > 0 {
		b.WriteString("Nothing would be otherwise.\n")
	}
	for _, k := range kinds {
		r.printKind(&b, k)
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "\nAnd %d more of other kinds than the first %d.\n", r.More, mostFindings)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *Report) printKind(b *strings.Builder, k Kind) {
	count := 0
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COUNT\tPRINCIPAL\tRULE THEN\tRULE\tWHY\tCOMMAND\tLAST")
	for _, f := range r.Findings {
		if f.Kind != k {
			continue
		}
		count += f.Count
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Count, plain(f.Principal), f.Was, dash(f.Rule), plain(f.Why), dash(f.Command), stamp(f.Last))
		for _, e := range f.Examples {
			_, _ = fmt.Fprintf(w, "\t%s\n", e.line())
		}
	}
	if count > 0 {
		_ = w.Flush()
		fmt.Fprintf(b, "\n%s: %d\n%s", headings[k], count, table)
	}
}

func (e *Example) line() string {
	s := fmt.Sprintf("session %s, record %d", e.Session, e.Sequence)
	if e.Incident != "" {
		s += ", incident " + e.Incident
	}
	if e.Text != "" {
		s += ": " + plain(e.Text)
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// plain makes one line of s on which no terminal acts.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case journal.Acts(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
