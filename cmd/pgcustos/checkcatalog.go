package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// catalog tries to read what is behind the names of each database that rules name, as
// the role that is to, and looks at what else that role may do.
func (p *probe) catalog(ctx context.Context, c *config.Config, uses map[string][]string) {
	o, asked := c.Catalogs[p.options.Name]
	if !asked {
		return
	}
	looked := false
	for _, database := range catalogDatabases(uses) {
		if database == "*" {
			database = anyDatabase
		}
		conn, err := p.connect(ctx, o.Role, database)
		if err != nil {
			p.fail("%s: cannot log in to %s to read the catalog: %v", p.name(o.Role), database, err)
			continue
		}
		if !looked {
			looked = true
			p.powers(ctx, o.Role, database, conn)
		}
		p.reaches(ctx, o.Role, database, conn)
		_ = conn.Close(ctx) // it was only read from
		p.snapshot(ctx, &o, sortedRoles(uses), database)
	}
}

// readable counts the tables that a role may read, which it need not.
const readable = `
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid OPERATOR(pg_catalog.>=) 16384
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')`

func (p *probe) reaches(ctx context.Context, role, database string, conn *pgx.Conn) {
	var tables int
	if err := conn.QueryRow(ctx, readable).Scan(&tables); err != nil {
		p.fail("%s: cannot tell what it may read in %s: %v", p.name(role), database, err)
		return
	}
	if tables > 0 {
		p.warn("%s: may read %s in %s; to read the catalog it needs none", p.name(role), counted(tables, "table"), database)
	}
}

func (p *probe) snapshot(ctx context.Context, o *catalog.Options, roles []string, database string) {
	signing := func(s backend.Signature) error { p.announce(ctx, s); return nil }
	s, err := catalog.Look(ctx, p.backend, o.Role, database, roles, o.Memory, signing)
	what := fmt.Sprintf("backend %s (%s:%d) catalog of %s", p.options.Name, p.host.Host, p.host.Port, database)
	if err != nil {
		p.fail("%s: %v", what, err)
		return
	}
	p.ok("%s: %s, %d KiB of catalog.memory (%d KiB)", what, counted(s.Objects(), "object"), s.Size()>>10, o.Memory>>10)
}
