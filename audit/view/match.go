package view

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// matcher is a Filter made ready for millions of records.
type matcher struct {
	principal, sid               string
	session, incident, trace     string
	digest                       string // its first digits
	types, decisions             []string
	roles, databases, rules      []string
	classes, tags                []string
	sources                      []netip.Prefix
	objects                      []objectPattern
	sqlstates                    []string
	contains                     needle
	since, until                 time.Time
	readings                     bool   // they are shown without being asked for
	lastAddress                  string // the address that was judged last, and how
	lastAddressIn, lastAddressOK bool
}

// record says whether the record is chosen by what it says itself: all but what
// only an outcome can tell. What fails most often and costs least comes first.
func (m *matcher) record(r *journal.Record) bool {
	switch {
	case !m.since.IsZero() && r.Time.Before(m.since), !m.until.IsZero() && !r.Time.Before(m.until):
		return false
	case m.types == nil && m.hides(r.Type):
		return false
	case !in(m.types, string(r.Type)), !in(m.decisions, string(r.Decision)):
		return false
	case m.session != "" && !strings.EqualFold(m.session, r.Session):
		return false
	case m.principal != "" && !isPrincipal(m.principal, r):
		return false
	case m.sid != "" && !strings.EqualFold(m.sid, r.Principal.SID):
		return false
	case m.incident != "" && !strings.EqualFold(m.incident, r.Incident):
		return false
	case m.digest != "" && !strings.HasPrefix(r.TextDigest, m.digest):
		return false
	case m.trace != "" && m.trace != r.TraceID:
		return false
	case !in(m.roles, r.Role), !in(m.databases, r.Database):
		return false
	case m.rules != nil && !slices.Contains(m.rules, r.Rule) && !slices.Contains(m.rules, r.DecisionRule):
		return false
	case !anyIn(m.classes, r.Class), !anyIn(m.tags, r.Tags):
		return false
	}
	return m.from(r.Source.Address) && m.namesAny(r) && m.holds(r)
}

// hides says whether records of the type are shown only where they are asked for:
// the journal's own, every few seconds, and the readings, of which this is one.
func (m *matcher) hides(t audit.Type) bool {
	return t == audit.Checkpoint || t == audit.Reading && m.principal == "" && !m.readings
}

// needsOutcome says whether the choice rests on what came of a statement.
func (m *matcher) needsOutcome() bool { return m.sqlstates != nil }

// outcome says whether what PostgreSQL answered is chosen. r is the outcome, or
// any other record that may hold a SQLSTATE; nil where there is none.
func (m *matcher) outcome(r *journal.Record) bool {
	if m.sqlstates == nil {
		return true
	}
	return r != nil && r.SQLSTATE != "" &&
		slices.ContainsFunc(m.sqlstates, func(s string) bool { return strings.HasPrefix(r.SQLSTATE, s) })
}

// shows says whether records of the type are to be seen at all.
func (m *matcher) shows(recordType string) bool { return in(m.types, recordType) }

func (m *matcher) from(address string) bool {
	if m.sources == nil {
		return true
	}
	if m.lastAddressOK && address == m.lastAddress {
		return m.lastAddressIn
	}
	m.lastAddress, m.lastAddressOK, m.lastAddressIn = address, true, false
	if a, err := netip.ParseAddrPort(address); err == nil {
		m.lastAddressIn = within(m.sources, a)
	}
	return m.lastAddressIn
}

func within(networks []netip.Prefix, a netip.AddrPort) bool {
	ip := ipaddr.Plain(a.Addr())
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// holds says whether the text that was searched for is in the record's.
func (m *matcher) holds(r *journal.Record) bool {
	if m.contains.lower == "" {
		return true
	}
	load(r, 0)
	return m.contains.in([]byte(r.Text), nil)
}

// namesAny says whether the record names an object that is looked for, or one stands
// behind what it names.
func (m *matcher) namesAny(r *journal.Record) bool {
	return m.names(r.Objects) || slices.ContainsFunc(r.Resolved, func(o journal.Resolved) bool { return m.names([]journal.Object{o.Object}) })
}

func (m *matcher) names(objects []journal.Object) bool {
	if m.objects == nil {
		return true
	}
	return slices.ContainsFunc(objects, func(o journal.Object) bool {
		return slices.ContainsFunc(m.objects, func(p objectPattern) bool { return p.match(&o) })
	})
}

// isPrincipal compares with what the directory said, and with the claimed name
// where it said nothing: a failed log-in belongs to the account it was meant for.
// Who read the record is known by the operating system's name.
func isPrincipal(want string, r *journal.Record) bool {
	p := &r.Principal
	if p.Account != "" || p.UPN != "" || p.SID != "" {
		return strings.EqualFold(want, p.Account) || strings.EqualFold(want, p.UPN) || strings.EqualFold(want, p.SID)
	}
	if o := r.Reader; o != nil {
		return strings.EqualFold(want, o.User) || strings.EqualFold(want, o.Login)
	}
	if r.User == "" {
		return false
	}
	return strings.EqualFold(want, r.User) || strings.EqualFold(want, string(bareName([]byte(r.User))))
}

// bareName takes the domain off CORP\alice and alice@corp.example.com.
func bareName(name []byte) []byte {
	if _, after, ok := bytes.Cut(name, []byte(`\`)); ok {
		return after
	}
	before, _, _ := bytes.Cut(name, []byte("@"))
	return before
}

func in(names []string, have string) bool { return names == nil || slices.Contains(names, have) }

func anyIn(names, have []string) bool {
	return names == nil || slices.ContainsFunc(have, func(h string) bool { return slices.Contains(names, h) })
}
