package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	shownRows  = 200 // of tables that are sorted by size
	shownHours = 72  // more hours than that are shown as days
)

// page makes the report of what was collected.
func (c *collector) page(o *ReportOptions) *page {
	p := &page{Title: "Audit report", Remarks: c.remarks}
	p.Facts = c.facts(o)
	p.Summary = c.summary()
	p.Sections = []section{
		{"Who accessed what", "An account's use of what its statements name. A view, or a function, may reach further than its name.", []grid{c.peopleGrid(), c.accessGrid()}},
		{"Who changed the schema", "Statements that create, alter or drop what a database consists of.", []grid{
			c.schema.grid("No statement changed the schema, and none tried to."),
		}},
		{"Who ran destructive operations", "Statements that drop or truncate, that delete or update whole tables, and what contains one of these.", []grid{
			c.destructive.grid("No destructive statement ran, and none was tried."),
		}},
		{"Who changed privileges and roles", "Grants, revocations, roles and their memberships.", []grid{
			c.privileges.grid("No statement changed a privilege or a role, and none tried to."),
		}},
		{"What happened", "Hours and days without any event are left out.", []grid{c.timeline(), c.loginGrid(), c.refusalGrid(), c.notableGrid()}},
	}
	p.Foot = []string{
		"Times are UTC. A statement is allowed or denied before it reaches the database; its outcome is what the database answered, its fate what became of its transaction.",
		"Texts are shortened here. The whole record of an incident is printed by: pgcustos audit query --incident ID --format jsonl",
		"What a client says of itself, such as the name before a log-in, is marked as claimed.",
	}
	return p
}

func (c *collector) facts(o *ReportOptions) []fact {
	from, to := "the beginning of the journal", "the end of the journal"
	if !o.Filter.Since.IsZero() {
		from = minute(o.Filter.Since)
	}
	if !o.Filter.Until.IsZero() {
		to = minute(o.Filter.Until)
	}
	facts := []fact{
		{"Period", words("from %s to %s", from, to)},
		{"Made", words("%s", minute(o.Now))},
	}
	if c.records > 0 {
		facts = append(facts, fact{"Read", words("%s events, the first at %s, the last at %s", thousands(c.records), minute(c.first), minute(c.last))})
	} else {
		facts = append(facts, fact{"Read", words("no event")})
	}
	if o.Filter.Principal != "" {
		facts = append(facts, fact{"Only of", named(o.Filter.Principal)})
	}
	if o.Filter.Database != "" {
		facts = append(facts, fact{"Only in", named(o.Filter.Database)})
	}
	return facts
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// summary says in sentences what an auditor wants to know first.
func (c *collector) summary() []line {
	var out []line
	persons, services := 0, 0
	addresses := map[string]bool{}
	for _, p := range c.people.m {
		if p.sessions > 0 && p.kind == "service" {
			services++
		} else if p.sessions > 0 {
			persons++
		}
		for _, s := range p.sources {
			addresses[s] = true
		}
	}
	out = append(out,
		line{words("%s and %s opened %s and sent %s.", count(int64(persons), "person"), count(int64(services), "service"),
			counted(c.sessions, "session"), counted(c.statements, "statement"))},
		c.ends())
	if c.unknown > 0 {
		out = append(out, line{{"Not understood:", alarm}, words(" %s, of class UNKNOWN.", counted(c.unknown, "statement"))})
	}
	if c.without > 0 {
		out = append(out, line{words("Without an outcome on record, or not yet: %s.", counted(c.without, "statement"))})
	}
	out = append(out, c.schema.sentence("changed the schema", "to change the schema"),
		c.destructive.sentence("were destructive", "to destroy"), c.privileges.sentence("changed privileges or roles", "to change privileges or roles"))
	fails := uint64(0)
	for _, l := range c.logins.m {
		fails += l.count
	}
	switch fails {
	case 0:
		out = append(out, line{words("No log-in failed.")})
	default:
		out = append(out, line{{fmt.Sprintf("%s did not lead to a session", counted(fails, "log-in")), alarm}, words("; who, from where and why is below.")})
	}
	if c.strangers > 0 {
		out = append(out, line{words("%s never came as far as a log-in.", counted(c.strangers, "connection"))})
	}
	return out
}

// ends says what came of the statements; what is zero and rare is not said.
func (c *collector) ends() line {
	text := fmt.Sprintf("Of the statements, %s completed, %s failed in the database, and %s denied",
		thousands(c.completed), thousands(c.failed), thousands(c.denied)+" "+plural(c.denied, "was", "were"))
	if c.wouldDeny > 0 {
		text += fmt.Sprintf("; %s by a rule that only observes", thousands(c.wouldDeny)+" would have been denied")
	}
	if c.refused > 0 {
		text += fmt.Sprintf("; %s for want of something else", thousands(c.refused)+" "+plural(c.refused, "was", "were")+" refused")
	}
	return line{words("%s.", text)}
}

func counted(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// sentence says how many ran, and who it was.
func (s *listing) sentence(did, try string) line {
	if s.count == 0 {
		return line{words("No statement %s, and none tried.", strings.Replace(did, "were", "was", 1))}
	}
	l := line{words("No statement that went to the database %s", strings.Replace(did, "were", "was", 1))}
	if s.ran > 0 {
		l = line{{fmt.Sprintf("%s that %s went to the database", counted(s.ran, "statement"), did), alarm}, words(", of ")}
		l = append(l, people(s.doers)...)
	}
	if s.refused > 0 {
		l = append(append(l, words("; %s %s %s stopped, of ", counted(s.refused, "attempt"), try, plural(s.refused, "was", "were"))), people(s.refusedDoers)...)
	}
	return append(l, words("."))
}

func plural(n uint64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func people(names []string) []cell {
	var out []cell
	for i, n := range names {
		switch {
		case i == maxNames:
			return append(out, words(" and others"))
		case i > 0:
			out = append(out, words(", "))
		}
		out = append(out, named(dash(n)))
	}
	return out
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// joined shows a few names in a cell.
func joined(names []string) string {
	if len(names) > maxNames {
		return strings.Join(names[:maxNames], ", ") + ", …"
	}
	return dash(strings.Join(names, ", "))
}

func (c *collector) peopleGrid() grid {
	g := grid{
		Title: "Accounts", Empty: "Nobody.",
		Head: []string{"Account", "Kind", "Sessions", "Statements", "Denied", "Failed", "Rows", "Failed log-ins", "As role", "From", "First", "Last"},
	}
	all := values(c.people.m, func(a, b *person) int {
		return cmp.Or(cmp.Compare(b.statements, a.statements), cmp.Compare(b.loginFails, a.loginFails), cmp.Compare(a.name, b.name))
	})
	for _, p := range cut(&g, all, c.people.over, "accounts") {
		g.Rows = append(g.Rows, []cell{
			named(dash(p.name)), named(dash(p.kind)), numbered(p.sessions), numbered(p.statements), numbered(p.denied), numbered(p.failed),
			numbered(uint64(p.rows)), numbered(p.loginFails), coded(joined(p.roles)), named(joined(p.sources)), clock(p.first), clock(p.last),
		})
	}
	return g
}

func clock(t time.Time) cell { return cell{t.UTC().Format("2006-01-02 15:04:05"), moment} }

func (c *collector) accessGrid() grid {
	g := grid{
		Title: "Objects", Empty: "No statement named an object.",
		Head: []string{"Account", "Database", "Object", "Read", "Written", "Changed", "Executed", "Failed", "Refused", "First", "Last"},
	}
	all := values(c.accesses.m, func(a, b *access) int {
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.name, b.name))
	})
	for _, a := range cut(&g, all, c.accesses.over, "accesses") {
		g.Rows = append(g.Rows, []cell{
			named(dash(a.who)), named(dash(a.database)), coded(a.name), numbered(uint64(a.read)), numbered(uint64(a.written)),
			numbered(uint64(a.changed)), numbered(uint64(a.executed)), numbered(uint64(a.usage.failed)), numbered(uint64(a.usage.refused)), clock(a.first), clock(a.last),
		})
	}
	return g
}

// grid lists events one by one.
func (s *listing) grid(empty string) grid {
	g := grid{Empty: empty, Head: []string{"Time", "Account", "From", "As", "Statement", "Verdict", "Outcome", "Fate", "Incident"}}
	for _, l := range s.events {
		verdict := words("%s", l.verdict)
		if l.loud {
			verdict.Kind = alarm
		}
		g.Rows = append(g.Rows, []cell{
			clock(l.at), named(dash(l.who)), named(dash(l.source)), coded(dash(l.place)),
			{l.text, sql},
			verdict, words("%s", l.came), words("%s", l.fate), coded(l.incident),
		})
	}
	if more := s.count - uint64(len(s.events)); more > 0 {
		g.More = fmt.Sprintf("and %s more", thousands(more))
	}
	return g
}

func (c *collector) loginGrid() grid {
	g := grid{
		Title: "Log-ins that led to no session", Empty: "None.",
		Head: []string{"Account", "From", "What", "Why", "Times", "First", "Last", "Last incident"},
	}
	for _, r := range cut(&g, values(c.logins.m, byCount), c.logins.over, "kinds") {
		g.Rows = append(g.Rows, []cell{
			named(dash(r.who)), named(dash(r.source)), named(r.what), named(dash(r.why)), numbered(r.count), clock(r.first), clock(r.last), coded(r.incident),
		})
	}
	return g
}

func (c *collector) refusalGrid() grid {
	g := grid{
		Title: "Statements that were denied, would have been, or were refused", Empty: "None.",
		Head: []string{"Account", "Statement", "Decision", "What was missing", "Rule", "Times", "First", "Last", "Last incident"},
	}
	for _, r := range cut(&g, values(c.refusals.m, byCount), c.refusals.over, "kinds") {
		g.Rows = append(g.Rows, []cell{
			named(dash(r.who)), coded(dash(r.what)), words("%s", spaced(string(r.decision))), named(dash(r.why)), named(dash(r.rule)),
			numbered(r.count), clock(r.first), clock(r.last), coded(r.incident),
		})
	}
	return g
}

func byCount(a, b *refusal) int {
	return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.who, b.who), a.first.Compare(b.first), cmp.Compare(a.what, b.what))
}

func (c *collector) notableGrid() grid {
	g := grid{
		Title: "Events of the proxy", Empty: "None.",
		Head: []string{"Time", "Event", "Account", "What"},
	}
	for _, l := range c.notable.events {
		g.Rows = append(g.Rows, []cell{clock(l.at), named(l.what), named(dash(l.who)), named(l.text)})
	}
	if more := c.notable.count - uint64(len(c.notable.events)); more > 0 {
		g.More = fmt.Sprintf("and %s more", thousands(more))
	}
	return g
}

// timeline counts by hours, or by days where these are many.
func (c *collector) timeline() grid {
	g := grid{
		Title: "By time", Empty: "Nothing.",
		Head: []string{"From", "Sessions", "Failed log-ins", "Statements", "Failed", "Denied", ""},
	}
	by, layout := c.hours, "2006-01-02 15:04"
	if len(by) > shownHours {
		by, layout = days(by), time.DateOnly
	}
	var times []time.Time
	most := uint64(1)
	for t, h := range by {
		times = append(times, t)
		most = max(most, h.statements)
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, t := range times {
		h := by[t]
		size := strings.Repeat("█", int((h.statements*20+most-1)/most))
		g.Rows = append(g.Rows, []cell{
			{t.Format(layout), moment}, numbered(h.sessions), numbered(h.loginFails), numbered(h.statements), numbered(h.failed), numbered(h.denied), {size, bar},
		})
	}
	return g
}

func days(hours map[time.Time]*hour) map[time.Time]*hour {
	out := map[time.Time]*hour{}
	for t, h := range hours {
		day := t.Truncate(24 * time.Hour)
		d := out[day]
		if d == nil {
			d = &hour{}
			out[day] = d
		}
		d.sessions += h.sessions
		d.loginFails += h.loginFails
		d.statements += h.statements
		d.failed += h.failed
		d.denied += h.denied
	}
	return out
}

func values[K comparable, V any](m map[K]V, order func(a, b V) int) []V {
	out := make([]V, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	slices.SortFunc(out, order)
	return out
}

// cut keeps the first rows, and says in g how many are not shown.
func cut[V any](g *grid, all []V, over uint64, what string) []V {
	if len(all) <= shownRows && over == 0 {
		return all
	}
	shown := all[:min(len(all), shownRows)]
	g.More = fmt.Sprintf("and %s more", thousands(uint64(len(all)-len(shown))))
	if over > 0 {
		g.More = fmt.Sprintf("%s; %s %s beyond the first %s are counted in the summary only", g.More, thousands(over), what, thousands(uint64(len(all))))
	}
	return shown
}
