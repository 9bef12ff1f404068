package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Filter chooses entries: a statement with its outcome is one, any other record is
// one by itself. All that is set must hold; the zero value lets everything pass.
// Where it says "list", several may stand with commas between, of which one must
// hold.
type Filter struct {
	Principal string // account, UPN or SID, in any case; where nobody was authenticated, the name that was claimed
	SID       string // of the account, never a claimed name
	Session   string
	Source    string // list: of addresses and CIDR networks, of the client
	Decision  string // list
	Type      string // list; empty: all but checkpoint, which only the journal itself needs
	Incident  string
	Role      string // list
	Database  string // list
	Rule      string // list: that gave the session, or that decided
	Class     string // list
	Tag       string // list
	Object    string // list: of patterns such as "orders", "sales.*", "*.tmp_?"
	SQLSTATE  string // list: of codes, or of their first two characters; that PostgreSQL answered
	Digest    string // of the text, keyed: hexadecimal, at least the first 8 digits
	Trace     string // id of a trace, 32 hexadecimal digits: that the client claimed in a comment
	Contains  string // in the text, in any case

	Since, Until time.Time // from Since on, before Until; of a statement, not of its outcome

	readings bool // those of the record are shown without being asked for
}

// Check refuses what no record can have.
func (f *Filter) Check() error {
	_, err := f.compile()
	return err
}

func (f *Filter) compile() (*matcher, error) {
	m := &matcher{
		principal: f.Principal, sid: f.SID, session: f.Session, incident: f.Incident, trace: strings.ToLower(f.Trace), digest: strings.ToLower(f.Digest),
		roles: list(f.Role), databases: list(f.Database), rules: list(f.Rule),
		contains: newNeedle(f.Contains), since: f.Since, until: f.Until, readings: f.readings,
	}
	decisions := []string{string(audit.Allowed), string(audit.Denied), string(audit.WouldDeny), string(audit.Unavailable)}
	for _, c := range []struct {
		what, given string
		known       []string
		into        *[]string
	}{
		{"decision", f.Decision, decisions, &m.decisions},
		{"type", f.Type, journal.TypeNames(), &m.types},
		{"class", f.Class, statement.ClassNames(), &m.classes},
		{"tag", f.Tag, statement.TagNames(), &m.tags},
	} {
		var err error
		if *c.into, err = known(c.what, c.given, c.known); err != nil {
			return nil, err
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return nil, fmt.Errorf("since (%s) is not before until (%s)", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	if m.trace != "" && (len(m.trace) != 32 || strings.Trim(m.trace, "0123456789abcdef") != "") {
		return nil, fmt.Errorf("%q is no id of a trace: it has 32 hexadecimal digits", f.Trace)
	}
	if m.digest != "" && (len(m.digest) < 8 || len(m.digest) > 64 || strings.Trim(m.digest, "0123456789abcdef") != "") {
		return nil, fmt.Errorf("%q is no digest of a text: it has 64 hexadecimal digits, of which the first 8 or more must be given", f.Digest)
	}
	return m, f.compilePatterns(m)
}

func (f *Filter) compilePatterns(m *matcher) error {
	for _, s := range list(f.Source) {
		p, err := ipaddr.ParseNetwork(s)
		if err != nil {
			return err
		}
		m.sources = append(m.sources, p)
	}
	for _, s := range splitPatterns(f.Object) {
		p, err := parseObject(s)
		if err != nil {
			return err
		}
		m.objects = append(m.objects, p)
	}
	for _, s := range list(f.SQLSTATE) {
		s = strings.ToUpper(s)
		if len(s) != 5 && len(s) != 2 || strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return fmt.Errorf("%q is no SQLSTATE: give five characters, or the two of a class", s)
		}
		m.sqlstates = append(m.sqlstates, s)
	}
	return nil
}

// known reads a list of names, and spells each as records do.
func known(what, given string, names []string) ([]string, error) {
	var out []string
	for _, g := range list(given) {
		i := indexFold(names, g)
		if i < 0 {
			return nil, fmt.Errorf("no such %s: %q; there are %s", what, g, strings.Join(names, ", "))
		}
		out = append(out, names[i])
	}
	return out, nil
}

func indexFold(names []string, name string) int {
	for i, n := range names {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

func list(names string) []string {
	if names == "" {
		return nil
	}
	out := strings.Split(names, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}
