package view

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// selection says which records have to be decoded for the matcher and the joiner:
// those that match by themselves, and those that the joiner waits for.
func (m *matcher) selection(j *joiner) *journal.Selection {
	plan := &pickPlan{matcher: m}
	plan.compile()
	return &journal.Selection{
		Fields: plan.fields,
		Picker: func() func(*journal.Raw) journal.Choice {
			p := &pick{plan: plan, addresses: map[string]bool{}, objects: map[string]bool{}}
			return p.choose
		},
		Confirm: j.wants,
		Awaits:  func(string) bool { return len(j.open)+len(j.passed)+len(j.prepares) > 0 },
		Span:    plan.span,
	}
}

// wants says whether a record matters that does not match by itself: it tells what
// came of an entry, or ends the waiting of one.
func (j *joiner) wants(r *journal.Reference) bool {
	if len(j.prepares) > 0 && len(j.prepares[string(r.Session)]) > 0 {
		return true
	}
	if r.Type != audit.Outcome {
		return false
	}
	k := key{r.Stream, r.Statement}
	if j.open[k] != nil {
		return true
	}
	_, ok := j.passed[k]
	return ok
}

// pickPlan is a matcher for records that are not decoded.
type pickPlan struct {
	*matcher
	fields []string
	at     map[string]int                   // place of a field, where it is looked at
	tests  []func(*pick, *journal.Raw) bool // all must hold; the cheap come first
}

func (p *pickPlan) compile() {
	p.at = map[string]int{}
	p.times()
	p.kinds()
	p.people()
	p.names()
	p.bits()
	p.contents()
}

// span says whether a record may match in a part of the journal that an index tells
// of.
func (p *pickPlan) span(s *journal.Span) bool {
	m := p.matcher
	switch {
	case !m.since.IsZero() && s.Latest.Before(m.since), !m.until.IsZero() && !s.Earliest.Before(m.until):
		return false
	case m.types != nil && !slices.ContainsFunc(m.types, func(t string) bool { return s.HasType(journal.TypeNumber(t)) }):
		return false
	case m.session != "" && !s.MayHoldSession(m.session):
		return false
	case m.principal != "" && !s.MayHoldPrincipal(m.principal), m.sid != "" && !s.MayHoldPrincipal(m.sid):
		return false
	case m.classes != nil && s.Classes&journal.ClassSet(m.classes) == 0, m.tags != nil && s.Tags&journal.TagSet(m.tags) == 0:
		return false
	}
	return true
}

// field looks at a field, and returns its place.
func (p *pickPlan) field(name string) int {
	at, ok := p.at[name]
	if !ok {
		at = len(p.fields)
		p.at[name] = at
		p.fields = append(p.fields, name)
	}
	return at
}

func (p *pickPlan) test(do func(*pick, *journal.Raw) bool) { p.tests = append(p.tests, do) }

func (p *pickPlan) times() {
	m := p.matcher
	if !m.since.IsZero() {
		since := m.since.UnixNano()
		p.test(func(_ *pick, r *journal.Raw) bool { return r.Time >= since })
	}
	if !m.until.IsZero() {
		until := m.until.UnixNano()
		p.test(func(_ *pick, r *journal.Raw) bool { return r.Time < until })
	}
}

func (p *pickPlan) kinds() {
	m := p.matcher
	if m.types == nil {
		p.test(func(_ *pick, r *journal.Raw) bool { return !m.hides(r.Type) })
	} else {
		p.test(func(_ *pick, r *journal.Raw) bool { return slices.Contains(m.types, string(r.Type)) })
	}
	if m.decisions != nil {
		p.oneOf("decision", m.decisions)
	}
}

func (p *pickPlan) people() {
	m := p.matcher
	if m.session != "" {
		p.same("session", m.session)
	}
	if m.principal != "" {
		account, upn, sid, user := p.field("account"), p.field("upn"), p.field("sid"), p.field("user")
		reader, login := p.field("reader"), p.field("reader_login")
		want := []byte(m.principal)
		p.test(func(_ *pick, r *journal.Raw) bool {
			a, u, s := r.Field(account), r.Field(upn), r.Field(sid)
			if len(a)+len(u)+len(s) > 0 {
				return bytes.EqualFold(want, a) || bytes.EqualFold(want, u) || bytes.EqualFold(want, s)
			}
			if r.Type == audit.Reading || r.Type == audit.Held || r.Type == audit.Released {
				return bytes.EqualFold(want, r.Field(reader)) || bytes.EqualFold(want, r.Field(login))
			}
			claimed := r.Field(user)
			return len(claimed) > 0 && (bytes.EqualFold(want, claimed) || bytes.EqualFold(want, bareName(claimed)))
		})
	}
	if m.sid != "" {
		p.same("sid", m.sid)
	}
	if m.incident != "" {
		p.same("incident", m.incident)
	}
	if id, err := hex.DecodeString(m.trace); err == nil && m.trace != "" {
		at := p.field("trace_id")
		p.test(func(_ *pick, r *journal.Raw) bool { return bytes.Equal(r.Field(at), id) })
	}
}

func (p *pickPlan) names() {
	m := p.matcher
	if m.roles != nil {
		p.oneOf("role", m.roles)
	}
	if m.databases != nil {
		p.oneOf("database", m.databases)
	}
	if m.rules != nil {
		session, decided := p.field("rule"), p.field("decision_rule")
		p.test(func(_ *pick, r *journal.Raw) bool {
			return isOneOf(m.rules, r.Field(session)) || isOneOf(m.rules, r.Field(decided))
		})
	}
}

func (p *pickPlan) bits() {
	for _, c := range []struct {
		field string
		names []string
		set   uint64
	}{
		{"class", p.matcher.classes, journal.ClassSet(p.matcher.classes)},
		{"tags", p.matcher.tags, journal.TagSet(p.matcher.tags)},
	} {
		if c.names == nil {
			continue
		}
		at := p.field(c.field)
		p.test(func(_ *pick, r *journal.Raw) bool { return r.Number(at)&c.set != 0 })
	}
}

func (p *pickPlan) contents() {
	m := p.matcher
	if m.sqlstates != nil {
		p.answers()
	}
	if m.sources != nil {
		at := p.field("source_address")
		p.test(func(k *pick, r *journal.Raw) bool { return k.from(r.Field(at)) })
	}
	if m.objects != nil {
		p.test(func(k *pick, r *journal.Raw) bool { return r.Objects(k.names) })
	}
	if m.contains.lower != "" {
		at, blob := p.field("text"), p.field("text_blob")
		p.test(func(k *pick, r *journal.Raw) bool {
			// What is in a blob is looked at when the record is decoded.
			return len(r.Field(blob)) > 0 || m.contains.in(r.Field(at), &k.scratch)
		})
	}
	if m.digest != "" {
		at, digits := p.field("text_digest"), []byte(m.digest)
		p.test(func(k *pick, r *journal.Raw) bool {
			k.scratch = hex.AppendEncode(k.scratch[:0], r.Field(at))
			return bytes.HasPrefix(k.scratch, digits)
		})
	}
}

// answers leaves out what cannot have the SQLSTATE: a text that a client sent has
// that of its outcome, all else its own.
func (p *pickPlan) answers() {
	at := p.field("sqlstate")
	states := p.matcher.sqlstates
	p.test(func(_ *pick, r *journal.Raw) bool {
		if r.Type == audit.Statement || r.Type == audit.Prepare {
			return true
		}
		state := r.Field(at)
		for _, s := range states {
			if len(state) >= len(s) && string(state[:len(s)]) == s {
				return true
			}
		}
		return false
	})
}

// same compares in any case.
func (p *pickPlan) same(field, value string) {
	at, want := p.field(field), []byte(value)
	p.test(func(_ *pick, r *journal.Raw) bool { return bytes.EqualFold(want, r.Field(at)) })
}

func (p *pickPlan) oneOf(field string, names []string) {
	at := p.field(field)
	p.test(func(_ *pick, r *journal.Raw) bool { return isOneOf(names, r.Field(at)) })
}

func isOneOf(names []string, v []byte) bool {
	for _, n := range names {
		if string(v) == n {
			return true
		}
	}
	return false
}

// pick is a pickPlan at work, for one goroutine.
type pick struct {
	plan      *pickPlan
	addresses map[string]bool // judged already
	objects   map[string]bool
	key       []byte
	scratch   []byte
}

// maxJudged bounds how many addresses and names are kept in mind.
const maxJudged = 16 << 10

func (p *pick) choose(r *journal.Raw) journal.Choice {
	for _, test := range p.plan.tests {
		if test(p, r) {
			continue
		}
		if r.Type == audit.Outcome || r.Type == audit.SessionEnd {
			return journal.Maybe
		}
		return journal.No
	}
	return journal.Yes
}

func (p *pick) from(address []byte) bool {
	in, ok := p.addresses[string(address)]
	if !ok {
		if len(p.addresses) >= maxJudged {
			clear(p.addresses)
		}
		a, err := netip.ParseAddrPort(string(address))
		in = err == nil && within(p.plan.sources, a)
		p.addresses[string(address)] = in
	}
	return in
}

func (p *pick) names(schema, name []byte) bool {
	p.key = append(append(append(p.key[:0], schema...), 0), name...)
	in, ok := p.objects[string(p.key)]
	if !ok {
		if len(p.objects) >= maxJudged {
			clear(p.objects)
		}
		o := journal.Object{Schema: string(schema), Name: string(name)}
		in = p.plan.matcher.names([]journal.Object{o})
		p.objects[string(p.key)] = in
	}
	return in
}
