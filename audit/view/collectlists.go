package view

import (
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
)

// lists puts a statement on the lists that it belongs to.
func (c *collector) lists(e *entry) {
	if slices.Contains(e.Tags, "ddl") || slices.Contains(e.Class, "DDL") {
		c.list(&c.schema, e)
	}
	if slices.Contains(e.Tags, "destructive") {
		c.list(&c.destructive, e)
	}
	if slices.Contains(e.Tags, "privilege") || slices.Contains(e.Tags, "role_change") || slices.Contains(e.Class, "ROLE") {
		c.list(&c.privileges, e)
	}
}

func (c *collector) list(to *listing, e *entry) {
	l := &listed{
		at: e.Time, who: principal(e.Record), source: address(e.Source.Address), place: at(e.Role, e.Database),
		what: event(e.Record), text: fit(e.Text, reportText), incident: e.Incident, ran: awaits(e.Record),
	}
	v, loud := verdict(e.Record)
	l.verdict, l.loud = v, loud
	if e.Missing != "" {
		l.verdict += ": lacks " + e.Missing
	}
	answer := e.answer()
	switch {
	case !l.ran:
	case e.outcome == nil:
		l.came = "no outcome on record"
	case answer.Result == audit.Failed:
		l.came, l.fate = "failed, "+answer.SQLSTATE, "no effect"
	default:
		l.came = spaced(string(answer.Result))
	}
	if to.add(l) && l.ran && l.fate == "" && answer.Transaction != 0 {
		k := pendingKey{e.Session, answer.Transaction}
		c.pending[k] = append(c.pending[k], l)
	}
}

// add keeps l where there is a place, and counts it in any case.
func (s *listing) add(l *listed) (kept bool) {
	s.count++
	if l.ran {
		s.ran++
		s.doers = remember(s.doers, l.who)
	} else {
		s.refused++
		s.refusedDoers = remember(s.refusedDoers, l.who)
	}
	if len(s.events) >= maxListed {
		return false
	}
	s.events = append(s.events, l)
	return true
}

// occasion takes what is no statement.
func (c *collector) occasion(e *entry) {
	switch e.Type {
	case audit.SessionStart:
		p := c.personOf(e.Record)
		c.sessions++
		p.sessions++
		c.hour(e.Time).sessions++
	case audit.Authentication, audit.Authorization:
		if refused(e.Record) {
			c.loginFailure(e)
		}
	case audit.Connection:
		c.strangers += e.times()
	case audit.SessionEnd:
	default:
		_ = c.notable.add(&listed{
			at: e.Time, who: principal(e.Record), source: address(e.Source.Address), place: at(e.Role, e.Database),
			what: event(e.Record), text: notes(e), incident: e.Incident, ran: true,
		})
	}
}

// loginFailure counts those that did not get in, by whom, from where and why.
func (c *collector) loginFailure(e *entry) {
	n := e.times()
	p := c.personOf(e.Record)
	p.loginFails += n
	c.hour(e.Time).loginFails += n
	k := loginKey{principal(e.Record), address(e.Source.Address), e.Cause}
	r, ok := c.logins.at(k, func() *refusal {
		return &refusal{who: k.who, source: k.source, why: spaced(e.Cause), what: event(e.Record), decision: e.Decision}
	})
	if ok {
		r.count += n
		r.incident = e.Incident
		r.see(e.Time, e.last())
	}
}

func spaced(s string) string { return strings.ReplaceAll(s, "_", " ") }
