package config

import (
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
)

func (c *Config) readServices(root *object) {
	v, ok := root.get("services")
	if !ok {
		return
	}
	services := map[string]auth.Terms{}
	var owners []value
	for _, item := range v.items() {
		o, ok := item.object()
		if !ok {
			continue
		}
		account := auth.FoldName(o.needWord("account", "the sAMAccountName of the account that is not a person's"))
		at := o.fields["account"]
		name, err := c.handle(account)
		switch {
		case account == "":
		case strings.Contains(account, "@"), strings.Contains(account, `\`) && !c.Directory.several():
			at.errorf("%q: name a service by its sAMAccountName%s", account, map[bool]string{true: ` alone, or DOMAIN\name`, false: " alone, without the domain"}[c.Directory.several()])
		case err != nil:
			at.errorf("%v", err)
		case services[name].Owner != "":
			at.errorf("%q is declared twice: remove one", account)
		}
		services[name] = o.terms()
		if at, given := o.fields["owner"]; given {
			owners = append(owners, at)
		}
		if at, given := o.fields["rules"]; given {
			c.serviceRules = append(c.serviceRules, at.words()...)
		}
		o.done()
	}
	for _, at := range owners {
		owner, err := c.accountOf(text(at.node))
		if err != nil {
			at.errorf("%v", err)
		}
		if _, service := services[owner]; service {
			at.errorf("%q is declared as a service: a person has to answer for one", text(at.node))
		}
	}
	c.Directory.Services = services
	for name, terms := range services {
		if d := c.Directory.domainOf(name); d != nil {
			if d.Services == nil {
				d.Services = map[string]auth.Terms{}
			}
			d.Services[bareAccount(name)] = terms
		}
	}
}

// bareAccount is the account's name in any form that clients use.
func bareAccount(name string) string {
	name = auth.FoldName(name)
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		name = name[i+1:]
	}
	name, _, _ = strings.Cut(name, "@")
	return name
}

// terms reads what a service is declared with, beside its account.
func (o *object) terms() auth.Terms {
	const keep, quarantine = "warn", "quarantine"
	t := auth.Terms{
		Owner:       o.needWord("owner", "the person who answers for this account"),
		Purpose:     o.needWord("purpose", "what this account is for, in a few words"),
		Ends:        o.lastDay("expires"),
		Methods:     choices(o, "methods", auth.Password, auth.Kerberos, auth.Certificate),
		PasswordAge: o.days("password_max_age", 0, day, 3650*day),
		OwnerGone:   auth.Terminate,
		OwnerGrace:  o.days("owner_grace", 7*day, 0, 365*day),
	}
	if o.oneOf("owner_gone", quarantine, quarantine, keep) == keep {
		t.OwnerGone = auth.Keep
	}
	if v, ok := o.get("sources"); ok {
		listed(v)
		for _, item := range v.words() {
			if p, ok := item.prefix(); ok {
				t.Sources = append(t.Sources, p)
			}
		}
	}
	if v, ok := o.get("rules"); ok {
		t.Rules = listed(v)
	}
	return t
}

// lastDay reads the last day of something, and returns when that is over (UTC).
func (o *object) lastDay(key string) time.Time {
	v, ok := o.get(key)
	if !ok {
		return time.Time{}
	}
	s, ok := v.str()
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		v.errorf("%q is not a day: write it as 2027-01-31", s)
		return time.Time{}
	}
	return at.AddDate(0, 0, 1)
}

// tellKinds says whom each rule is for that does not say so itself: services, where
// one names it, and people otherwise.
func (c *Config) tellKinds() {
	for _, item := range c.serviceRules {
		name := text(item.node)
		i := slices.IndexFunc(c.Rules, func(r rules.Rule) bool { return r.Name == name })
		switch {
		case i < 0:
			item.errorf("there is no rule %q", name)
		case len(c.Rules[i].Kinds) == 0:
			c.Rules[i].Kinds = []auth.Kind{auth.Service}
		case !slices.Contains(c.Rules[i].Kinds, auth.Service):
			item.errorf("the rule %q is for people alone: give the service one of its own, with kinds: [service]", name)
		}
	}
	services := false
	for i := range c.Rules {
		if len(c.Rules[i].Kinds) == 0 {
			c.Rules[i].Kinds = []auth.Kind{auth.Person}
		}
		services = services || slices.Contains(c.Rules[i].Kinds, auth.Service)
	}
	if len(c.Directory.Services) > 0 && !services {
		c.warnf("services: no rule is for them: give one kinds: [service], or name it among the rules of a service")
	}
}
