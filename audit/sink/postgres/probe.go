package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/sink"
)

var _ sink.Prober = (*Sink)(nil)

// Probe implements sink.Prober: it looks at the schema's version, and at whether
// the writer may do what it must and nothing more.
func (s *Sink) Probe(ctx context.Context) (p sink.Probed, err error) {
	defer s.drop()
	if err := s.connect(ctx); err != nil {
		return p, err
	}
	if t, ok := s.conn.Conn().(*tls.Conn); ok {
		p.Certificate = t.ConnectionState().PeerCertificates[0]
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, step := range []func(context.Context, *sink.Probed) error{s.probeVersion, s.probeNeeds, s.probePowers} {
		if err := step(ctx, &p); err != nil {
			return p, explain(err)
		}
	}
	return p, nil
}

// probeTimeout bounds the questions of a probe, behind the log-in.
const probeTimeout = 10 * time.Second

func (s *Sink) probeVersion(ctx context.Context, p *sink.Probed) error {
	known, err := migrations()
	if err != nil {
		return err
	}
	rows, err := s.query(ctx, "SELECT pgcustos.version()::text")
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(string(rows[0][0]))
	if err != nil {
		return fmt.Errorf("the schema's version: %w", err)
	}
	p.Says = fmt.Sprintf("schema pgcustos of version %d", version)
	switch {
	case version < len(known):
		p.Faults = append(p.Faults, fmt.Sprintf("the schema is of version %d, this program writes version %d: run pgcustos audit init", version, len(known)))
	case version > len(known):
		p.Warnings = append(p.Warnings, fmt.Sprintf("the schema is of version %d, this program knows %d: a newer one made it", version, len(known)))
	}
	return nil
}

// needs are what the writer must be able to do.
const needs = `SELECT what FROM (VALUES
	('INSERT INTO pgcustos.events', has_table_privilege('pgcustos.events', 'INSERT')),
	('pgcustos.claim', has_function_privilege('pgcustos.claim(text, text)', 'EXECUTE')),
	('pgcustos.advance', has_function_privilege('pgcustos.advance(text, text, bigint, timestamptz)', 'EXECUTE')),
	('pgcustos.delivered', has_function_privilege('pgcustos.delivered(text)', 'EXECUTE')),
	('pgcustos.make_partition', has_function_privilege('pgcustos.make_partition(date)', 'EXECUTE'))) AS n(what, may)
WHERE NOT may ORDER BY what`

func (s *Sink) probeNeeds(ctx context.Context, p *sink.Probed) error {
	rows, err := s.query(ctx, needs)
	for _, row := range rows {
		p.Faults = append(p.Faults, fmt.Sprintf("%s has no privilege for %s: run pgcustos audit init", s.o.User, row[0]))
	}
	return err
}

// powers are what the writer could do to the record that it need not: whoever has
// its password has them too. Of partitions, one stands for all.
const powers = `SELECT DISTINCT what FROM (
	SELECT 'is a superuser' AS what FROM pg_roles WHERE rolname = current_user AND rolsuper
	UNION ALL
	SELECT 'can become ' || r.rolname FROM pg_roles r JOIN pg_roles me ON me.rolname = current_user
	WHERE NOT me.rolsuper AND r.rolname NOT IN (current_user, 'audit_writer') AND pg_has_role(r.oid, 'MEMBER')
	UNION ALL
	SELECT 'may CREATE in schema pgcustos' FROM pg_roles
	WHERE rolname = current_user AND NOT rolsuper AND has_schema_privilege('pgcustos', 'CREATE')
	UNION ALL
	SELECT 'may ' || privilege || ' pgcustos.' || CASE WHEN c.relispartition THEN 'events, by a partition' ELSE c.relname END
	FROM pg_class c JOIN pg_roles me ON me.rolname = current_user,
		unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
	WHERE NOT me.rolsuper AND c.relnamespace = 'pgcustos'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
		AND has_table_privilege(c.oid, privilege) AND NOT (c.relname = 'events' AND privilege = 'INSERT')) AS p
ORDER BY what LIMIT 20`

func (s *Sink) probePowers(ctx context.Context, p *sink.Probed) error {
	rows, err := s.query(ctx, powers)
	var may []string
	for _, row := range rows {
		may = append(may, string(row[0]))
	}
	if len(may) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s should insert and nothing else, and %s", s.o.User, strings.Join(may, ", ")))
	}
	return err
}
