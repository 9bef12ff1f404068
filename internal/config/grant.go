package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

func (c *Config) readGrant(o *object) auth.Grant {
	b, known := c.grantBackend(o)
	g := auth.Grant{
		Backend:        b.Name,
		Role:           o.grantRole(b, known),
		Classes:        o.classes(),
		Tags:           o.tags(),
		Commands:       o.commands("commands"),
		DeniedCommands: o.commands("deny_commands"),
		Objects:        o.patterns("objects"),
		DeniedObjects:  o.patterns("deny_objects"),
		Limits:         o.limits(b),
		Mode:           auth.Mode(o.oneOf("mode", string(auth.Enforce), string(auth.Enforce), string(auth.Observe))),
		Durability:     auth.Durability(o.oneOf("durability", string(tierDurability(b.Tier)), string(auth.DurableProcess), string(auth.DurableDisk))),
	}
	const none, database, physical = string(auth.ReplicationNone), string(auth.ReplicationDatabase), string(auth.ReplicationPhysical)
	g.Replication = auth.Replication(o.oneOf("replication", none, none, database, physical))
	g.Record = o.record()
	g.Changes = o.changes(b.Tier)
	o.done()
	return g
}

// record reads what is recorded of statements, and beside them: their texts, and
// nothing else unless it says so.
func (o *object) record() auth.Record {
	const none, digest, full = string(auth.RecordNone), string(auth.RecordDigest), string(auth.RecordFull)
	if _, ok := o.fields["record"]; !ok {
		o.known = append(o.known, "record")
		return auth.Record{StatementText: auth.TextFull, Parameters: auth.RecordNone, Copy: auth.RecordNone}
	}
	r := o.section("record")
	out := auth.Record{
		StatementText: auth.Text(r.oneOf("statement_text", string(auth.TextFull), string(auth.TextFull), string(auth.TextMasked), string(auth.TextNone))),
		Parameters:    auth.Recording(r.oneOf("parameters", none, none, digest, full)),
		Copy:          auth.Recording(r.oneOf("copy", none, none, digest)),
	}
	if out.Hides() && out.Parameters == auth.RecordFull {
		r.fields["parameters"].errorf("full records the values that statement_text: %s is to keep off the record: write digest or none", out.StatementText)
	}
	r.done()
	return out
}

// tierDurability is what a tier's records wait for unless the grant says so.
func tierDurability(tier int) auth.Durability {
	if tier <= 1 {
		return auth.DurableDisk
	}
	return auth.DurableProcess
}

func (c *Config) grantBackend(o *object) (backend.Options, bool) {
	v, ok := o.need("backend", "which of the backends the session goes to")
	if !ok {
		return backend.Options{}, false
	}
	name, ok := v.word()
	if !ok {
		return backend.Options{}, false
	}
	var all []string
	for _, b := range c.Backends {
		if b.Name == name {
			return b, true
		}
		all = append(all, b.Name)
	}
	hint := "known: " + strings.Join(all, ", ")
	if s := closest(name, all); s != "" {
		hint = fmt.Sprintf("did you mean %q?", s)
	}
	v.errorf("there is no backend %q; %s", name, hint)
	return backend.Options{}, false
}

func (o *object) grantRole(b backend.Options, known bool) string {
	v, ok := o.need("role", "the PostgreSQL role that the session logs in as")
	if !ok {
		return ""
	}
	role, ok := v.word()
	if !ok || !v.roleName(role) {
		return ""
	}
	if b.Authority != nil {
		v.certifiable(role, b.Authority)
		return role
	}
	if _, has := b.Credentials[role]; known && !has {
		v.errorf("the backend %q has no credentials for the role %q: add them under its credentials", b.Name, role)
	}
	return role
}

// certifiable lets the backend's authority sign for a role that a rule names.
func (v value) certifiable(role string, a *backend.Authority) {
	if !backend.CertifiableRole(role) {
		v.errorf("%q: with auth: certificate a role's name is of a to z, 0 to 9 and _, as pg_ident.conf takes it from the certificate", role)
		return
	}
	if !slices.Contains(a.Roles, role) {
		a.Roles = append(a.Roles, role)
	}
}

func (o *object) classes() statement.Class {
	v, ok := o.need("classes", "the kinds of statements that may be sent: "+strings.Join(statement.ClassNames(), ", "))
	if !ok {
		return 0
	}
	var out statement.Class
	for _, name := range listed(v) {
		if c, ok := statement.ParseClass(name); ok {
			out |= c
		}
	}
	for _, item := range v.items() {
		item.mustBe("class", statement.ClassNames())
	}
	return out
}

func (o *object) tags() statement.Tag {
	v, ok := o.get("tags")
	if !ok {
		return 0
	}
	var out statement.Tag
	for _, name := range listed(v) {
		if t, ok := statement.ParseTag(name); ok {
			out |= t
		}
	}
	for _, item := range v.items() {
		item.mustBe("tag", statement.TagNames())
	}
	return out
}

// mustBe complains about a name that is not one of those known.
func (v value) mustBe(what string, known []string) {
	s := text(v.node)
	if s == "" || containsFold(known, s) {
		return
	}
	if near := closest(s, known); near != "" {
		v.errorf("there is no %s %q; did you mean %q?", what, s, near)
		return
	}
	v.errorf("there is no %s %q; known: %s", what, s, strings.Join(known, ", "))
}

func (o *object) commands(key string) []auth.Command {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	listed(v)
	var out []auth.Command
	for _, item := range v.words() {
		s := text(item.node)
		c, ok := auth.NewCommand(s)
		if !ok {
			item.errorf("%q is not a command tag: write it as PostgreSQL does, such as DROP TABLE, with * at the end for all that begin so", s)
			continue
		}
		out = append(out, c)
	}
	return out
}

func (o *object) patterns(key string) []auth.Pattern {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	listed(v)
	var out []auth.Pattern
	for _, item := range v.words() {
		s := text(item.node)
		p, err := auth.NewPattern(s)
		if err != nil {
			item.errorf("%q is not a pattern of objects: write schema.name, with * and ? as wildcards, such as private.*", s)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (o *object) limits(b backend.Options) auth.Limits {
	if _, ok := o.fields["limits"]; !ok {
		o.known = append(o.known, "limits")
		return auth.Limits{}
	}
	l := o.section("limits")
	const most = 365 * day
	out := auth.Limits{
		Statement:         l.duration("statement", 0, time.Millisecond, most),
		Idle:              l.duration("idle", 0, time.Millisecond, most),
		IdleInTransaction: l.duration("idle_in_transaction", 0, time.Millisecond, most),
		Session:           l.duration("session", 0, time.Millisecond, most),
		Connections:       l.integer("connections", 0, 1, 1_000_000),
	}
	for key, d := range map[string]time.Duration{"statement": out.Statement, "idle": out.Idle, "idle_in_transaction": out.IdleInTransaction} {
		if out.Session > 0 && d > out.Session {
			l.fields[key].errorf("%s is longer than the session may last (%s): lower it", short(d), short(out.Session))
		}
	}
	if b.Connections > 0 && out.Connections > b.Connections {
		l.fields["connections"].errorf("%d is more than the backend %q takes in all (%d): lower it", out.Connections, b.Name, b.Connections)
	}
	l.done()
	return out
}
