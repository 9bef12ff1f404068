package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
)

// Networks broader than these need a justification.
const (
	broad4 = 16
	broad6 = 48
)

func (c *Config) readRules(root *object) {
	v, ok := root.need("rules", "who may connect as what; without a rule nobody may")
	if !ok {
		return
	}
	items := v.items()
	if v.emptyList() {
		v.errorf("has no rule: nobody could connect")
	}
	first := map[string]value{}
	for _, item := range items {
		o, ok := item.object()
		if !ok {
			continue
		}
		r := c.readRule(o)
		if at, given := o.fields["name"]; given && r.Name != "" {
			if other, twice := first[r.Name]; twice {
				at.errorf("the name %q is taken by the rule in line %d: records tell rules apart by name, choose another", r.Name, other.at.Line)
			} else {
				first[r.Name] = at
			}
		}
		r.Grant.Record.Patterns = c.Patterns
		c.Rules = append(c.Rules, r)
	}
}

func (c *Config) readRule(o *object) rules.Rule {
	r := rules.Rule{
		Name:          o.label("records and messages tell rules apart by it"),
		Groups:        c.principals(o, "groups"),
		Accounts:      c.principals(o, "accounts"),
		Databases:     o.databases(),
		Methods:       choices(o, "methods", auth.Password, auth.Kerberos, auth.Certificate),
		Assurance:     o.assurance(),
		Kinds:         choices(o, "kinds", auth.Person, auth.Service),
		Reason:        o.pattern("reason"),
		Justification: o.str("justification", ""),
	}
	if at, given := o.fields["assurance"]; given && len(r.Methods) > 0 && !slices.Contains(r.Methods, auth.Kerberos) {
		at.errorf("only a Kerberos ticket holds such SIDs, and methods leaves kerberos out: nobody could meet the rule")
	}
	if !o.has("groups", "accounts") {
		o.errorf("names neither groups nor accounts: nobody could meet it")
	}
	r.Sources = o.sources(strings.TrimSpace(r.Justification) != "")
	if v, ok := o.need("grant", "what the rule gives: backend, role and classes"); ok {
		if g, ok := v.object(); ok {
			r.Grant = c.readGrant(g)
		}
	}
	o.done()
	return r
}

var sid = regexp.MustCompile(`^[Ss]-1-[0-9]+(-[0-9]+)+$`)

// assurance reads SIDs that only a ticket holds.
func (o *object) assurance() []string {
	v, ok := o.get("assurance")
	if !ok {
		return nil
	}
	out := listed(v)
	for _, item := range v.items() {
		if s := text(item.node); !sid.MatchString(s) {
			item.errorf("%q is not a SID, such as S-1-5-65-1 for a log-on by smart card", s)
		}
	}
	for i := range out {
		out[i] = strings.ToUpper(out[i])
	}
	return out
}

// principals reads names of groups or accounts.
func (c *Config) principals(o *object, key string) []string {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	out := listed(v)
	for i, item := range v.items() {
		s := text(item.node)
		if name, err := c.handle(s); err != nil {
			item.errorf("%v", err)
		} else if i < len(out) && out[i] == s {
			out[i] = name
		}
		if strings.HasPrefix(strings.ToUpper(s), "S-1-") && !sid.MatchString(s) {
			item.errorf("%q is not a SID (S-1-5-21-…-1104)", s)
		}
		if strings.ContainsAny(s, "*?") {
			item.errorf("%q: groups and accounts are named one by one, without wildcards", s)
		}
		if key == "accounts" && strings.Contains(s, `\`) && !c.Directory.several() {
			item.errorf("%q: name an account by its sAMAccountName, UPN or SID", s)
		}
	}
	return out
}

// listed reads a list of at least one word.
func listed(v value) []string {
	if v.emptyList() {
		v.errorf("is an empty list, which nothing can meet: name at least one, or remove the key")
	}
	var out []string
	for _, item := range v.words() {
		out = append(out, text(item.node))
	}
	return out
}

func (o *object) databases() []string {
	v, ok := o.need("databases", "which databases the rule is about, \"*\" for every one")
	if !ok {
		return nil
	}
	out := listed(v)
	for _, item := range v.items() {
		s := text(item.node)
		switch {
		case len(s) > maxIdentifier:
			item.errorf("%q is longer than a database's name can be in PostgreSQL (%d bytes)", s, maxIdentifier)
		case s == "*" && len(out) > 1:
			item.errorf("\"*\" stands for every database: remove it, or the others")
		case s != "*" && strings.Contains(s, "*"):
			item.errorf("%q: databases are named whole; \"*\" alone stands for every one", s)
		}
	}
	return out
}

func (o *object) sources(justified bool) []netip.Prefix {
	v, ok := o.need("sources", "the networks that clients may come from")
	if !ok {
		return nil
	}
	if v.emptyList() {
		v.errorf("is an empty list, which nothing can meet: name a network")
	}
	var out []netip.Prefix
	for _, item := range v.words() {
		p, ok := item.prefix()
		if !ok {
			continue
		}
		limit := broad6
		if p.Addr().Is4() {
			limit = broad4
		}
		if p.Bits() < limit && !justified {
			item.errorf("%s is broader than /%d: add a justification to the rule that says why, or name smaller networks", p, limit)
		}
		out = append(out, p)
	}
	return out
}

// choices reads a list of words out of a few.
func choices[T ~string](o *object, key string, known ...T) []T {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	var out []T
	for _, s := range listed(v) {
		for _, k := range known {
			if strings.EqualFold(s, string(k)) {
				out = append(out, k)
			}
		}
	}
	for _, item := range v.items() {
		if s, names := text(item.node), names(known); !containsFold(names, s) {
			item.errorf("%q is not one of %s", s, strings.Join(names, ", "))
		}
	}
	return out
}

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// pattern reads a regular expression that has to match the whole of a text.
func (o *object) pattern(key string) *regexp.Regexp {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	s, ok := v.str()
	if !ok {
		return nil
	}
	re, err := compileWhole(s)
	if err != nil {
		v.errorf("%v", err)
		return nil
	}
	if re.MatchString("") {
		v.errorf("%q also matches an empty reason, so that none would have to be given: write .+ for any reason at all", s)
		return nil
	}
	return re
}

// compileWhole compiles an expression so that it matches whole texts only.
func compileWhole(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, fmt.Errorf("is empty: give a pattern such as '^CHG-[0-9]+$', or remove the key")
	}
	if _, err := syntax.Parse(s, syntax.Perl); err != nil {
		return nil, fmt.Errorf("%q is not a regular expression (RE2): %w", s, err)
	}
	re, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression (RE2): %w", s, err)
	}
	return re, nil
}
