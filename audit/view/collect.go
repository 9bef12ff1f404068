package view

import (
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// Bounds of what a report keeps; what is beyond is counted.
const (
	maxPeople   = 20_000
	maxAccesses = 50_000
	maxRefusals = 20_000
	maxListed   = 1_000 // events of a kind, one by one
	maxNames    = 6     // roles or addresses beside a name
)

// collector takes together what a report tells.
type collector struct {
	remarks     []string
	records     uint64
	first, last time.Time
	people      tally[string, *person]
	accesses    tally[accessKey, *access]
	refusals    tally[refusalKey, *refusal]
	logins      tally[loginKey, *refusal]
	schema      listing
	destructive listing
	privileges  listing
	notable     listing
	hours       map[time.Time]*hour
	pending     map[pendingKey][]*listed // changes whose transaction has not ended

	statements, completed, failed, denied, wouldDeny, refused, unknown, without uint64
	strangers, sessions                                                         uint64
}

func newCollector() *collector {
	c := &collector{hours: map[time.Time]*hour{}, pending: map[pendingKey][]*listed{}}
	c.people.limit, c.accesses.limit, c.refusals.limit, c.logins.limit = maxPeople, maxAccesses, maxRefusals, maxRefusals
	return c
}

// tally is a map that stops to grow.
type tally[K comparable, V any] struct {
	m     map[K]V
	limit int
	over  uint64 // events that found no place
}

// at returns the value at k, which it makes where there is none; false where there
// is no place.
func (t *tally[K, V]) at(k K, fresh func() V) (V, bool) {
	v, ok := t.m[k]
	if ok {
		return v, true
	}
	if len(t.m) >= t.limit {
		t.over++
		return v, false
	}
	if t.m == nil {
		t.m = map[K]V{}
	}
	v = fresh()
	t.m[k] = v
	return v, true
}

// person is an account, with what it did.
type person struct {
	name, upn, kind                                  string
	roles, sources                                   []string
	sessions, statements, denied, failed, loginFails uint64
	rows                                             int64
	span
}

// span is from when to when.
type span struct{ first, last time.Time }

func (s *span) see(from, to time.Time) {
	if s.first.IsZero() || from.Before(s.first) {
		s.first = from
	}
	if to.After(s.last) {
		s.last = to
	}
}

type accessKey struct{ who, database, object string }

// access is an account's use of an object.
type access struct {
	who, database string
	usage
	span
}

type refusalKey struct{ who, command, missing, rule, decision string }

type loginKey struct{ who, source, cause string }

// refusal is what was denied again and again, or a log-in that failed.
type refusal struct {
	who, what, why, rule, source, incident string
	decision                               audit.Decision
	count                                  uint64
	span
}

// listed is an event that is told by itself.
type listed struct {
	at                            time.Time
	who, source, place            string
	what, text                    string
	verdict, came, fate, incident string
	ran, loud                     bool
}

// listing holds the first maxListed, and counts.
type listing struct {
	events              []*listed
	count, ran, refused uint64 // ran: went to the server; refused: was kept from it
	doers, refusedDoers []string
}

type pendingKey struct {
	session string
	number  uint64
}

// hour is what happened in one hour.
type hour struct{ sessions, loginFails, statements, failed, denied uint64 }

func (c *collector) flush() error { return nil }
func (c *collector) end() error   { return nil }

func (c *collector) put(e *entry) error {
	if e.late {
		return nil
	}
	c.records += e.times()
	if c.first.IsZero() || e.Time.Before(c.first) {
		c.first = e.Time
	}
	if e.Time.After(c.last) {
		c.last = e.Time
	}
	switch e.Type {
	case audit.Statement, audit.Prepare:
		c.statement(e)
	case audit.Transaction:
	case audit.Outcome:
		return nil // of a statement from before the period
	default:
		c.occasion(e)
	}
	if a := e.answer(); a.Fate != "" {
		c.settle(pendingKey{e.Session, a.Transaction}, a.Fate)
	}
	return nil
}

// settle tells the changes of a transaction what became of them.
func (c *collector) settle(k pendingKey, fate audit.Fate) {
	for _, l := range c.pending[k] {
		l.fate = spoken(fate)
	}
	delete(c.pending, k)
}

func (c *collector) hour(at time.Time) *hour {
	k := at.UTC().Truncate(time.Hour)
	h := c.hours[k]
	if h == nil {
		h = &hour{}
		if len(c.hours) < 24*366*10 {
			c.hours[k] = h
		}
	}
	return h
}

// personOf finds the account of a record: by its SID, or by name where it has none.
func (c *collector) personOf(r *journal.Record) *person {
	k := r.Principal.SID
	if k == "" {
		k = "?" + principal(r)
	}
	p, ok := c.people.at(k, func() *person {
		return &person{name: principal(r), upn: r.Principal.UPN, kind: r.Principal.Kind}
	})
	if !ok {
		return &person{} // one that is not shown
	}
	p.see(r.Time, r.Time)
	p.roles = remember(p.roles, r.Role)
	p.sources = remember(p.sources, address(r.Source.Address))
	return p
}

// remember keeps maxNames different names, and one more to say that there are more.
func remember(names []string, name string) []string {
	if name == "" || len(names) > maxNames || slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func (c *collector) statement(e *entry) {
	if e.Type == audit.Prepare && awaits(e.Record) && e.answer().Result != audit.Failed {
		return // its execution is another entry
	}
	n := e.times()
	p := c.personOf(e.Record)
	h := c.hour(e.Time)
	c.statements += n
	p.statements += n
	h.statements += n
	p.rows += max(0, e.rows())
	if slices.Contains(e.Class, "UNKNOWN") {
		c.unknown += n
	}
	switch e.Decision {
	case audit.Denied:
		c.denied += n
		p.denied += n
		h.denied += n
	case audit.Unavailable:
		c.refused += n
	case audit.WouldDeny:
		c.wouldDeny += n
	case audit.Allowed:
	}
	if awaits(e.Record) {
		switch {
		case e.outcome == nil:
			c.without += n
		case e.outcome.Result == audit.Completed:
			c.completed += n
		case e.outcome.Result == audit.Failed:
			c.failed += n
			p.failed += n
			h.failed += n
		}
	}
	c.objects(e)
	c.lists(e)
	if e.Decision != audit.Allowed {
		c.refusal(e)
	}
}

func (c *collector) objects(e *entry) {
	who := principal(e.Record)
	objects := append(slices.Clip(e.Objects), behind(e)...)
	for i := range objects {
		o := &objects[i]
		k := accessKey{who, e.Database, objectName(o)}
		a, ok := c.accesses.at(k, func() *access {
			return &access{who: who, database: e.Database, usage: usage{name: k.object}}
		})
		if ok {
			a.add(o.Use, e, int(e.times()))
			a.see(e.Time, e.last())
		}
	}
}

// behind counts what stands behind an object like what is named: who read a table by
// a view has read it.
func behind(e *entry) []journal.Object {
	var out []journal.Object
	for i := range e.Resolved {
		if o := &e.Resolved[i]; o.Through != "name" && o.Use != "executed" {
			out = append(out, o.Object)
		}
	}
	return out
}

func (c *collector) refusal(e *entry) {
	k := refusalKey{principal(e.Record), e.Command, e.Missing, e.DecisionRule, string(e.Decision)}
	r, ok := c.refusals.at(k, func() *refusal {
		why := k.missing
		if why == "" {
			why = spaced(e.Cause)
		}
		return &refusal{who: k.who, what: k.command, why: why, rule: k.rule, decision: e.Decision}
	})
	if ok {
		r.count += e.times()
		r.incident = e.Incident
		r.see(e.Time, e.last())
	}
}
