package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

func (d *diff) rules(before, after *Config) {
	was, is := byName(before.Rules), byName(after.Rules)
	var keptBefore, keptAfter []string
	for i := range before.Rules {
		r := &before.Rules[i]
		if is[r.Name] == nil {
			d.addf("rule %s: removed (%s)", r.Name, gives(r))
			continue
		}
		keptBefore = append(keptBefore, r.Name)
	}
	for i := range after.Rules {
		r := &after.Rules[i]
		if was[r.Name] == nil {
			d.addf("rule %s: added, number %d of %d (%s; %s)", r.Name, i+1, len(after.Rules), gives(r), to(r))
			continue
		}
		keptAfter = append(keptAfter, r.Name)
		d.rule(was[r.Name], r)
	}
	if !slices.Equal(keptBefore, keptAfter) {
		d.addf("rules: order becomes %s", strings.Join(keptAfter, ", "))
	}
}

func byName(list []rules.Rule) map[string]*rules.Rule {
	out := make(map[string]*rules.Rule, len(list))
	for i := range list {
		out[list[i].Name] = &list[i]
	}
	return out
}

func gives(r *rules.Rule) string {
	return fmt.Sprintf("role %s on backend %s", r.Grant.Role, r.Grant.Backend)
}

func to(r *rules.Rule) string {
	return "for " + strings.Join(append(slices.Clone(r.Groups), r.Accounts...), ", ")
}

func (d *diff) rule(b, a *rules.Rule) {
	what := "rule " + a.Name
	d.set(what, "groups", b.Groups, a.Groups)
	d.set(what, "accounts", b.Accounts, a.Accounts)
	d.set(what, "databases", b.Databases, a.Databases)
	d.set(what, "sources", texts(b.Sources), texts(a.Sources))
	of(d, what+": methods", anyOf(b.Methods), anyOf(a.Methods))
	of(d, what+": assurance", anyOf(b.Assurance), anyOf(a.Assurance))
	of(d, what+": kinds", anyOf(b.Kinds), anyOf(a.Kinds))
	of(d, what+": reason", expression(b.Reason), expression(a.Reason))
	of(d, what+": justification", b.Justification, a.Justification)
	of(d, what+": backend", b.Grant.Backend, a.Grant.Backend)
	of(d, what+": role", b.Grant.Role, a.Grant.Role)
	d.set(what, "classes", b.Grant.Classes.Names(), a.Grant.Classes.Names())
	d.set(what, "tags", b.Grant.Tags.Names(), a.Grant.Tags.Names())
	d.within(what, "commands", texts(b.Grant.Commands), texts(a.Grant.Commands))
	d.set(what, "deny_commands", texts(b.Grant.DeniedCommands), texts(a.Grant.DeniedCommands))
	d.within(what, "objects", texts(b.Grant.Objects), texts(a.Grant.Objects))
	d.set(what, "deny_objects", texts(b.Grant.DeniedObjects), texts(a.Grant.DeniedObjects))
	of(d, what+": limits.statement", b.Grant.Limits.Statement, a.Grant.Limits.Statement)
	of(d, what+": limits.idle", b.Grant.Limits.Idle, a.Grant.Limits.Idle)
	of(d, what+": limits.idle_in_transaction", b.Grant.Limits.IdleInTransaction, a.Grant.Limits.IdleInTransaction)
	of(d, what+": limits.session", b.Grant.Limits.Session, a.Grant.Limits.Session)
	of(d, what+": limits.connections", b.Grant.Limits.Connections, a.Grant.Limits.Connections)
	of(d, what+": mode", b.Grant.Mode, a.Grant.Mode)
	of(d, what+": durability", b.Grant.Durability, a.Grant.Durability)
	of(d, what+": replication", b.Grant.Replication, a.Grant.Replication)
	of(d, what+": record.statement_text", b.Grant.Record.StatementText, a.Grant.Record.StatementText)
	of(d, what+": record.parameters", b.Grant.Record.Parameters, a.Grant.Record.Parameters)
	of(d, what+": record.copy", b.Grant.Record.Copy, a.Grant.Record.Copy)
	of(d, what+": changes.another_grant", b.Grant.Changes.AnotherGrant, a.Grant.Changes.AnotherGrant)
	of(d, what+": changes.locked_out", b.Grant.Changes.LockedOut, a.Grant.Changes.LockedOut)
	of(d, what+": changes.password_reset", b.Grant.Changes.PasswordReset, a.Grant.Changes.PasswordReset)
	of(d, what+": changes.directory_silent for people", b.Grant.Changes.SilentPerson, a.Grant.Changes.SilentPerson)
	of(d, what+": changes.directory_silent for services", b.Grant.Changes.SilentService, a.Grant.Changes.SilentService)
}

// within notes the difference of two lists, of which an absent one leaves out
// nothing.
func (d *diff) within(what, key string, before, after []string) {
	if (len(before) == 0) == (len(after) == 0) {
		d.set(what, key, before, after)
		return
	}
	of(d, what+": "+key, anyOf(before), anyOf(after))
}

// anyOf prints a list whose absence asks for nothing.
func anyOf[T ~string](list []T) string {
	if len(list) == 0 {
		return "(any)"
	}
	return strings.Join(slices.Sorted(slices.Values(names(list))), ", ")
}

func expression(re *regexp.Regexp) string {
	if re == nil {
		return ""
	}
	return re.String()
}

func (d *diff) backends(before, after *Config) {
	was := map[string]*backend.Options{}
	for i := range before.Backends {
		was[before.Backends[i].Name] = &before.Backends[i]
	}
	for i := range after.Backends {
		b := &after.Backends[i]
		old, had := was[b.Name]
		if !had {
			d.addf("backend %s: added (%s)", b.Name, hostList(b))
			continue
		}
		delete(was, b.Name)
		d.backend(old, b)
		d.catalog("backend "+b.Name+": catalog", before.Catalogs[b.Name], after.Catalogs[b.Name])
		d.credentials(before, after, b.Name, sortedKeys(old.Credentials), sortedKeys(b.Credentials))
	}
	for _, name := range sortedKeys(was) {
		d.addf("backend %s: removed (%s)", name, hostList(was[name]))
	}
}

func (d *diff) backend(b, a *backend.Options) {
	what := "backend " + a.Name
	of(d, what+": hosts", hostList(b), hostList(a))
	of(d, what+": target_session_attrs", b.TargetSessionAttrs, a.TargetSessionAttrs)
	of(d, what+": tier", b.Tier, a.Tier)
	of(d, what+": connect_timeout", b.ConnectTimeout, a.ConnectTimeout)
	of(d, what+": connections", b.Connections, a.Connections)
	of(d, what+": auth", authOf(b), authOf(a))
	if b.Authority != nil && a.Authority != nil {
		of(d, what+": certificate.lifetime", b.Authority.Lifetime, a.Authority.Lifetime)
		of(d, what+": certificate.ca", backend.KeyID(b.Authority.Certificate), backend.KeyID(a.Authority.Certificate))
	}
	of(d, what+": application_name is the client's alone", b.OwnNames, a.OwnNames)
	switch {
	case (b.TLS == nil) != (a.TLS == nil):
		of(d, what+": tls", b.TLS != nil, a.TLS != nil)
	case b.TLS != nil:
		of(d, what+": tls.server_name", b.TLS.ServerName, a.TLS.ServerName)
		if !samePool(b.TLS.RootCAs, a.TLS.RootCAs) {
			d.addf("%s: tls.ca changed", what)
		}
	}
}

// catalog tells what changes in how a catalog is read; the zero value is not at all.
func (d *diff) catalog(what string, b, a catalog.Options) {
	of(d, what+".role", b.Role, a.Role)
	if b.Role != "" && a.Role != "" {
		of(d, what+".refresh", b.Refresh, a.Refresh)
		of(d, what+".memory", b.Memory, a.Memory)
	}
}

func authOf(b *backend.Options) string {
	if b.Authority != nil {
		return authCertificate
	}
	return authPassword
}

func (d *diff) credentials(before, after *Config, name string, b, a []string) {
	d.set("backend "+name, "credentials", b, a)
	for _, role := range a {
		key := credential{name, role}
		if from, had := before.origins[key]; had {
			of(d, fmt.Sprintf("backend %s: the password of role %s is read from", name, role), from, after.origins[key])
		}
	}
}

func hostList(b *backend.Options) string {
	out := make([]string, len(b.Hosts))
	for i, h := range b.Hosts {
		out[i] = fmt.Sprintf("%s:%d", h.Host, h.Port)
	}
	return strings.Join(out, ", ")
}
