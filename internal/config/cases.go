package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Case is one row of an operator's table: who sends what, and what is to be made
// of it.
type Case struct {
	File         string
	Line, Column int // of the case, from 1
	Name         string
	Identity     auth.Identity
	// Lookup is the name of an account that the directory is to be asked for in
	// the place of Identity; empty where the file gives the account's groups.
	Lookup  string
	Request auth.Request
	// Before are texts that the session has sent already.
	Before []string
	// Statement is the text in question; empty where only the session is.
	Statement string
	Expect    Expectation
}

// Expectation is what a case is to come to. What is empty is not looked at.
type Expectation struct {
	Decision            string // allowed, denied, would_deny, no_session
	Rule, Role, Missing string
}

// decisions are the words for what a case can come to.
var decisions = []string{"allowed", "denied", "would_deny", "no_session"}

// LoadCases reads a table of cases. The error is an Errors wherever the file could
// be read.
func LoadCases(path string) ([]Case, error) {
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	l := &loader{file: path, anchors: anchorsOf{}, alone: true}
	body, err := l.tree(data)
	if err != nil {
		return nil, err
	}
	var cases []Case
	if root, ok := (value{node: body, at: &token.Position{Line: 1, Column: 1}, l: l}).object(); ok {
		known := root.identities()
		if v, ok := root.need("cases", "the statements and what is expected of them"); ok {
			if v.emptyList() {
				v.errorf("has no case: nothing would be tested")
			}
			for _, item := range v.items() {
				cases = append(cases, item.readCase(known))
			}
		}
		root.done()
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return cases, nil
}

// subject is one of a table's identities.
type subject struct {
	identity auth.Identity
	lookup   bool
}

func (o *object) identities() map[string]subject {
	out := map[string]subject{}
	v, ok := o.need("identities", "the accounts of the cases, with their groups")
	if !ok {
		return out
	}
	m, ok := v.object()
	if !ok {
		return out
	}
	for _, name := range m.order {
		entry, ok := m.get(name)
		if !ok {
			continue
		}
		if e, ok := entry.object(); ok {
			out[name] = e.subject(name)
		}
	}
	return out
}

// subject reads an identity: one without groups is looked up in the directory.
func (o *object) subject(name string) subject {
	account, _, _ := strings.Cut(name, "@")
	s := subject{lookup: !o.has("groups"), identity: auth.Identity{
		Account: account, UPN: o.str("upn", ""), SID: o.str("sid", ""), DN: o.str("dn", ""), GUID: name,
		Kind: auth.Kind(o.oneOf("kind", "", string(auth.Person), string(auth.Service))),
	}}
	if s.identity.UPN == "" && account != name {
		s.identity.UPN = auth.FoldName(name)
	}
	if v, ok := o.get("groups"); ok {
		for _, item := range v.words() {
			s.identity.Groups = append(s.identity.Groups, groupNamed(text(item.node)))
		}
	}
	o.done()
	return s
}

// groupNamed makes a group of the name, DN or SID that a rule may call it by.
func groupNamed(s string) auth.Group {
	switch {
	case sid.MatchString(s):
		return auth.Group{SID: s}
	case strings.Contains(s, "="):
		return auth.Group{DN: s}
	default:
		return auth.Group{Name: s}
	}
}

func (v value) readCase(known map[string]subject) Case {
	c := Case{File: v.l.file, Line: v.at.Line, Column: v.at.Column}
	o, ok := v.object()
	if !ok {
		return c
	}
	who := o.needWord("identity", "which of the identities sends it")
	s, ok := known[who]
	if !ok && who != "" {
		o.fields["identity"].errorf("there is no identity %q; known: %s", who, strings.Join(sortedKeys(known), ", "))
	}
	c.Identity = s.identity
	if s.lookup {
		c.Lookup = who
	}
	c.Request = o.caseRequest()
	if b, ok := o.get("before"); ok {
		for _, item := range b.items() {
			if text, ok := item.longText(); ok {
				c.Before = append(c.Before, text)
			}
		}
	}
	if st, ok := o.get("statement"); ok {
		c.Statement, _ = st.longText()
	}
	c.Name = o.str("name", strings.TrimSuffix(who+": "+summary(c.Statement), ": "))
	c.Expect = o.expectation()
	o.done()
	return c
}

// longText reads a text that may have several lines.
func (v value) longText() (string, bool) {
	if k := kind(v.node); k != "a string" {
		v.errorf("expected a string, got %s", k)
		return "", false
	}
	s := text(v.node)
	if strings.TrimSpace(s) == "" {
		v.errorf("is empty: give a statement, or remove the key")
		return "", false
	}
	return s, true
}

// summary is the beginning of a text, in one line.
func summary(sql string) string {
	const most = 60
	s := strings.Join(strings.Fields(sql), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

func (o *object) caseRequest() auth.Request {
	r := auth.Request{
		Database: o.needWord("database", "the database that the client asks for"),
		Method:   auth.Method(o.oneOf("method", string(auth.Password), string(auth.Password), string(auth.Kerberos), string(auth.Certificate))),
		Role:     o.str("role", ""),
		Reason:   o.str("reason", ""),
	}
	if v, ok := o.need("source", "the address that the client comes from"); ok {
		if s, ok := v.word(); ok {
			address, err := netip.ParseAddr(s)
			if err != nil {
				v.errorf("%q is not an IP address", s)
			}
			r.Source = ipaddr.Plain(address)
		}
	}
	return r
}

// expectation reads a word, or a mapping that says more.
func (o *object) expectation() Expectation {
	v, ok := o.need("expect", "one of "+strings.Join(decisions, ", "))
	if !ok {
		return Expectation{}
	}
	if kind(v.node) != "a mapping" {
		return Expectation{Decision: v.decision()}
	}
	e, _ := v.object()
	var out Expectation
	if d, ok := e.need("decision", "one of "+strings.Join(decisions, ", ")); ok {
		out.Decision = d.decision()
	}
	out.Rule, out.Role, out.Missing = e.str("rule", ""), e.str("role", ""), e.str("missing", "")
	e.done()
	return out
}

func (v value) decision() string {
	s, ok := v.word()
	if ok && !slices.Contains(decisions, s) {
		v.errorf("%s", fmt.Sprintf("%q is not one of %s", s, strings.Join(decisions, ", ")))
	}
	return s
}
