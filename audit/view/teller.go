package view

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

const (
	storyText   = 1000 // cells of a statement's text; whole texts are in jsonl
	storyInline = 72   // a text up to that has its outcome beside it
	storyBefore = 50   // entries at most before the head is written
	storyClock  = len("15:04:05.000")
)

// teller writes a session's story as it comes.
type teller struct {
	out     *bufio.Writer
	color   bool
	entries int
	early   []*entry // from before the session's start
	headed  bool
	day     string
	block   uint64    // number of the transaction that is open; 0 for none
	over    time.Time // when the session ended
	ended   bool
	first   time.Time
	lastAt  time.Time
	totals  storyTotals
}

func newTeller(w io.Writer, color bool) *teller {
	return &teller{out: bufio.NewWriterSize(w, 64<<10), color: color, totals: newStoryTotals()}
}

func (t *teller) put(e *entry) error {
	t.entries++
	if !t.headed {
		if e.Type == audit.Authentication && len(t.early) < storyBefore {
			t.early = append(t.early, e)
			return nil
		}
		t.begin(e)
	}
	return t.event(e)
}

// begin writes the head, and what came before it.
func (t *teller) begin(e *entry) {
	t.headed = true
	first := e
	if len(t.early) > 0 {
		first = t.early[0]
	}
	t.head(e.Record, first.Record)
	for _, early := range t.early {
		_ = t.event(early)
	}
	t.early = nil
}

// head says who it was. What the client said of itself is said to be so.
func (t *teller) head(r, first *journal.Record) {
	t.first = first.Time
	t.printf("Session %s\n", neutral(arrowless(r.Session, '→'), 64))
	line := func(label string, parts ...string) {
		var said []string
		for _, p := range parts {
			if p != "" {
				said = append(said, neutral(arrowless(p, '→'), 200))
			}
		}
		if len(said) > 0 {
			t.printf("  %-8s  %s\n", label, strings.Join(said, ", "))
		}
	}
	p := &r.Principal
	name := p.Account
	if name == "" && p.UPN == "" {
		name = who(r)
	}
	line("who", name, p.UPN, p.Kind, labelled("owner", p.Owner))
	line("account", p.SID, p.DN)
	line("from", r.Source.Address, labelled("by way of", r.Source.Via), r.Source.TLS, r.Source.Cipher)
	line("log-in", r.Method)
	line("rule", r.Rule, labelled("by", r.Group))
	backend := ""
	if r.BackendPID != 0 {
		backend = fmt.Sprintf("server process %d", r.BackendPID)
	}
	line("to", labelled("backend", r.Backend), labelled("database", r.Database), labelled("as role", r.Role), backend)
	line("claims", labelled("user", first.User), labelled("application", r.ApplicationName), labelled("reason", r.Reason))
	line("node", r.Node)
}

func labelled(label, value string) string {
	if value == "" {
		return ""
	}
	return label + " " + value
}

// event tells one entry.
func (t *teller) event(e *entry) error {
	t.lastAt = e.Time
	t.totals.add(e)
	if day := e.Time.UTC().Format(time.DateOnly); day != t.day {
		t.day = day
		t.printf("\n── %s, UTC ──\n", day)
	}
	switch {
	case isStatement(e.Record):
		t.statement(e)
	case e.Type == audit.Transaction:
		t.fate(e.Record)
	case e.Type == audit.SessionEnd:
		t.ended = true
		if t.block != 0 {
			t.close("no end of it is on record", e.Time)
		}
		t.line(e.Time, "", "session ended: "+strings.TrimSuffix(ending(e), ", "), false)
	default:
		_, loud := verdict(e.Record)
		t.line(e.Time, t.bar(), occasion(e), loud)
	}
	return nil
}

func ending(e *entry) string {
	text := strings.ReplaceAll(e.Cause, "_", " ")
	if e.Detail != "" {
		text += ", " + strings.TrimSuffix(e.Detail, ".")
	}
	if e.Duration > 0 {
		text += ", after " + elapsed(e.Duration)
	}
	return text
}

// occasion tells what is no statement.
func occasion(e *entry) string {
	parts := []string{event(e.Record)}
	if v, _ := verdict(e.Record); v != "" {
		parts[0] += " " + v
	}
	if out := outcome(e); out != "" {
		parts = append(parts, out)
	}
	if e.Type != audit.SessionStart { // the head has said it
		if n := notes(e); n != "" {
			parts = append(parts, n)
		}
	}
	if e.Incident != "" && !strings.Contains(parts[len(parts)-1], e.Incident) {
		parts = append(parts, "incident "+e.Incident)
	}
	return strings.Join(parts, ": ")
}

// statement tells a statement, and opens and closes the block of its transaction.
func (t *teller) statement(e *entry) {
	number, fate := e.answer().Transaction, e.answer().Fate
	if t.block != 0 && number != 0 && number != t.block {
		t.close("no end of it is on record", e.Time)
	}
	if t.block == 0 && number != 0 && fate == "" && e.Type == audit.Statement && e.answer().Result != "" {
		t.block = number
		t.line(e.Time, "", fmt.Sprintf("┌ transaction %d", number), false)
	}
	text, came := told(e), result(e)
	_, loud := verdict(e.Record)
	loud = loud || e.answer().Result == audit.Failed || e.answer().Result == audit.Lost
	if cells(text) <= storyInline {
		t.write(e.Time, t.bar()+text+"  → "+came, loud)
	} else {
		t.write(e.Time, t.bar()+text, loud)
		t.write(time.Time{}, t.bar()+"  → "+came, loud)
	}
	if t.block != 0 && fate != "" {
		t.close(spoken(fate), e.Time)
	}
}

func (t *teller) bar() string {
	if t.block != 0 {
		return "│ "
	}
	return ""
}

// told is the statement's text, on a line.
func told(e *entry) string {
	text := e.Text
	switch {
	case e.TextFault != "":
		text = "(" + e.TextFault + ")"
	case e.Withheld():
		text = "digest " + e.TextDigest
	case text == "":
		text = "(an empty text)"
	}
	if e.Type == audit.Prepare {
		text = "prepare: " + text
	}
	if e.Form != "" && e.Form != "verbatim" {
		text = "(" + e.Form + ") " + text
	}
	if p := parameters(e); p != "" {
		text += "  with " + p
	}
	return fit(arrowless(text, '→'), storyText)
}

// result is what came of a statement, with what was missing where it was denied.
func result(e *entry) string {
	var parts []string
	v, _ := verdict(e.Record)
	if v != "allowed" {
		why := v
		if e.Missing != "" {
			why += ": lacks " + e.Missing
		}
		if e.Cause != "" {
			why += ": " + strings.ReplaceAll(e.Cause, "_", " ")
		}
		if e.DecisionRule != "" {
			why += ", rule " + e.DecisionRule
		}
		if e.Incident != "" {
			why += ", incident " + e.Incident
		}
		parts = append(parts, why)
	}
	switch {
	case e.outcome != nil:
		parts = append(parts, outcome(e))
	case !awaits(e.Record):
	case e.Type == audit.Prepare:
		parts = append(parts, "prepared")
	default:
		parts = append(parts, "no outcome on record")
	}
	if m := e.answer().Message; m != "" {
		parts = append(parts, m)
	}
	return fit(arrowless(strings.Join(parts, ": "), '→'), storyText)
}

// fate tells what a transaction's own record says.
func (t *teller) fate(r *journal.Record) {
	if t.block != 0 {
		t.close(spoken(r.Fate), r.Time)
		return
	}
	t.line(r.Time, "", fmt.Sprintf("transaction %d %s", r.Transaction, spoken(r.Fate)), false)
}

func spoken(fate audit.Fate) string {
	if fate == audit.FateLost {
		return "fate unknown"
	}
	return strings.ReplaceAll(string(fate), "_", " ")
}

func (t *teller) close(how string, at time.Time) {
	t.line(at, "", "└ "+neutral(how, 80), how != "committed")
	t.block = 0
}

// line writes a line: text is made harmless here, whatever it went through before.
func (t *teller) line(at time.Time, bar, text string, loud bool) {
	t.write(at, bar+neutral(arrowless(text, '→'), 3*storyText), loud)
}

func (t *teller) write(at time.Time, line string, loud bool) {
	clock := strings.Repeat(" ", storyClock)
	if !at.IsZero() {
		clock = at.UTC().Format("15:04:05.000")
	}
	line = clock + "  " + line
	if loud && t.color {
		line = "\x1b[1;31m" + line + "\x1b[0m"
	}
	t.printf("%s\n", line)
}

func (t *teller) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format, args...) // bufio keeps the first error for Flush
}

func (t *teller) flush() error { return t.out.Flush() }

func (t *teller) end() error {
	if t.entries == 0 {
		return nil
	}
	if !t.headed {
		t.begin(t.early[0])
	}
	if t.block != 0 {
		t.close("no end of it is on record", t.lastAt)
	}
	if !t.ended && t.totals.started {
		t.printf("%s  (no end on record: it goes on, or its process died)\n", strings.Repeat(" ", storyClock))
	}
	t.printf("\n%s", t.totals.String())
	return t.out.Flush()
}
