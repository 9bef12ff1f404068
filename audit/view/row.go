package view

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// row is one line of the table.
type row struct {
	cells [columns]string
	day   string
	note  string // beside the text: why it was denied, what the server said
	loud  bool   // something was kept from happening, or went wrong
}

// The columns of the table.
const (
	colTime = iota
	colWho
	colFrom
	colRole
	colEvent
	colVerdict
	colOutcome
	colClass
	colWhat
	columns
)

var titles = [columns]string{
	"TIME (UTC)", "WHO", "FROM", "ROLE@DATABASE", "EVENT", "VERDICT", "OUTCOME", "CLASS", "WHAT",
}

func newRow(e *entry) *row {
	r := e.Record
	w := &row{}
	w.day = r.Time.UTC().Format(time.DateOnly)
	w.cells[colTime] = r.Time.UTC().Format("15:04:05.000")
	w.cells[colWho] = who(r)
	w.cells[colFrom] = from(r.Source.Address)
	w.cells[colRole] = at(r.Role, r.Database)
	w.cells[colEvent] = event(r)
	w.cells[colVerdict], w.loud = verdict(r)
	w.cells[colOutcome] = outcome(e)
	w.cells[colClass] = strings.TrimSpace(strings.Join(r.Class, ",") + " " + strings.Join(r.Tags, ","))
	w.cells[colWhat], w.note = r.Text, notes(e)
	switch {
	case isStatement(r) && !awaits(r) && r.Incident != "",
		r.Type == audit.Authentication, r.Type == audit.Authorization:
		w.cells[colOutcome] = r.Incident
	}
	answer := e.answer()
	if answer.Type == audit.Outcome {
		w.loud = w.loud || answer.Result == audit.Failed || answer.Result == audit.Lost
	}
	return w
}

// lengthNote says how long a text is that is not all here, and why it cannot be read.
func lengthNote(r *journal.Record) string {
	switch {
	case r.TextFault != "":
		return "the text: " + r.TextFault
	case r.Withheld():
		return "text withheld"
	case r.TextLength() > int64(len(r.Text)):
		return strconv.FormatInt(r.TextLength(), 10) + " bytes of text"
	default:
		return ""
	}
}

// notes tells what else there is to the entry.
func notes(e *entry) string {
	parts := []string{note(e.Record), lengthNote(e.Record), fit(parameters(e), 80)}
	if e.outcome != nil {
		parts = append(parts, e.outcome.Message)
	}
	if e.folded != nil {
		parts = append(parts, fmt.Sprintf("×%d until %s", e.folded.count, e.folded.last.UTC().Format("15:04:05.000")))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func who(r *journal.Record) string {
	switch {
	case r.Principal.Account != "":
		return r.Principal.Account
	case r.Principal.UPN != "":
		return r.Principal.UPN
	case r.User != "":
		return fit(r.User, 24) + " (claimed)"
	case r.Reader != nil:
		return fit(localName(r.Reader), 24) + " (local)"
	}
	return "-"
}

// localName names a user of the operating system: who logged in, where that was
// somebody else.
func localName(o *audit.Reader) string {
	name := o.User
	if name == "" {
		name = "uid " + strconv.FormatUint(uint64(o.UID), 10)
	}
	if o.Login != "" && o.Login != name {
		return o.Login + " as " + name
	}
	return name
}

func from(addressPort string) string {
	if a := address(addressPort); a != "" {
		return a
	}
	return "-"
}

// address takes the port off.
func address(addressPort string) string {
	if a, err := netip.ParseAddrPort(addressPort); err == nil {
		return a.Addr().Unmap().String()
	}
	return addressPort
}

func at(role, database string) string {
	switch {
	case role == "" && database == "":
		return "-"
	case database == "":
		return role
	case role == "":
		return "@" + database
	}
	return role + "@" + database
}

func event(r *journal.Record) string {
	switch r.Type {
	case audit.Statement:
		if r.Command == "" {
			return "(unread)"
		}
		return r.Command
	case audit.Prepare:
		return strings.TrimSpace("prepare " + r.Command)
	case audit.Authentication:
		return strings.TrimSpace("log-in " + r.Method)
	case audit.SessionStart:
		return "session start"
	case audit.SessionEnd:
		return "session end"
	case audit.Outcome:
		return strings.TrimSpace("outcome " + r.Command)
	case audit.Reading, audit.Held, audit.Released:
		return r.Command
	default:
		return string(r.Type)
	}
}

func verdict(r *journal.Record) (text string, loud bool) {
	switch r.Decision {
	case audit.Allowed:
		return "allowed", false
	case audit.Denied:
		return "DENIED", true
	case audit.WouldDeny:
		return "WOULD DENY", true
	case audit.Unavailable:
		return "REFUSED", true
	}
	switch {
	case r.Decision != "":
		return string(r.Decision), true
	case r.Type == audit.Revocation:
		return "REVOKED", true
	case r.Type == audit.Authentication && r.Result == audit.Failed:
		return "FAILED", true
	case r.Type == audit.ParserDied:
		return "", true
	}
	return "", false
}

func outcome(e *entry) string {
	var parts []string
	r := e.answer()
	switch r.Result {
	case "":
	case audit.Completed:
		if r.Rows < 0 {
			parts = append(parts, "done")
		}
	case audit.Failed:
		parts = append(parts, strings.TrimSpace("ERROR "+r.SQLSTATE))
	case audit.Lost:
		parts = append(parts, "LOST")
	default:
		parts = append(parts, string(r.Result))
	}
	if r.Result == audit.Completed && e.rows() >= 0 {
		parts = append(parts, count(e.rows(), "row"))
	}
	if r.Fate != "" {
		parts = append(parts, strings.ReplaceAll(string(r.Fate), "_", " "))
	}
	if e.took() > 0 {
		parts = append(parts, elapsed(e.took()))
	}
	return strings.Join(parts, ", ")
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func elapsed(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// note tells the rest of the record, without the text.
func note(r *journal.Record) string {
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if r.Type == audit.SessionStart {
		add("rule %s", r.Rule)
		add("by group %s", r.Group)
		add("as %s (claimed)", r.ApplicationName)
		add("reason %s (claimed)", r.Reason)
	}
	add("%s", strings.ReplaceAll(r.Cause, "_", " "))
	add("%s", r.Filter)
	add("as role %s", r.CurrentRole)
	add("lacks %s", r.Missing)
	add("rule %s", r.DecisionRule)
	add("%s", r.Message)
	add("%s", r.Detail)
	add("%s", strings.ReplaceAll(strings.TrimSpace(r.Change), "\n", "; "))
	switch r.Type {
	case audit.Statement, audit.Prepare, audit.Authentication, audit.Authorization:
	case audit.Outcome:
		parts = append(parts, fmt.Sprintf("of statement %d", r.Statement))
	default:
		add("incident %s", r.Incident)
	}
	if r.Count > 1 {
		parts = append(parts, fmt.Sprintf("×%d", r.Count))
	}
	return strings.Join(parts, ", ")
}
