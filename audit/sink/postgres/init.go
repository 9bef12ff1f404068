package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Its file is never changed once released.
type migration struct {
	version int
	sql     string
	digest  string
}

func migrations() ([]migration, error) {
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var out []migration
	for i, e := range entries {
		b, err := migrationFiles.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, err
		}
		if e.Name() != fmt.Sprintf("%04d.sql", i+1) {
			return nil, fmt.Errorf("the migration %s is out of order", e.Name())
		}
		sum := sha256.Sum256(b)
		out = append(out, migration{version: i + 1, sql: string(b), digest: hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// The roles. The owner cannot log in; the writer's functions run as the owner.
const (
	ownerRole  = "audit_owner"
	writerRole = "audit_writer"
	readerRole = "audit_reader"
)

// Writer says as whom the sink logs in.
type Writer struct {
	User     string
	Password func() (string, error) // nil: it is left as it is
}

// Init makes or migrates the schema pgcustos, in one transaction under an advisory
// lock: run again, it changes nothing but the writer's password. o logs in as a
// role that may create roles, and schemas in the database. It returns what it did,
// one line each.
func Init(ctx context.Context, o Options, w Writer) ([]string, error) {
	conn, err := connect(ctx, &o)
	if err != nil {
		return nil, err
	}
	i := &initialisation{conn: conn}
	err = i.run(ctx, w)
	return i.done, errors.Join(err, conn.Close(ctx))
}

type initialisation struct {
	conn *pgconn.PgConn
	done []string
}

func (i *initialisation) notef(format string, args ...any) {
	i.done = append(i.done, fmt.Sprintf(format, args...))
}

func (i *initialisation) run(ctx context.Context, w Writer) error {
	steps := []func(context.Context) error{
		func(ctx context.Context) error {
			return i.exec(ctx, "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('pgcustos.init', 0))")
		},
		i.roles, i.schema, i.migrate,
		func(ctx context.Context) error { return i.writer(ctx, w) },
		func(ctx context.Context) error { return i.exec(ctx, "COMMIT") },
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			i.done = nil
			return err
		}
	}
	return nil
}

func (i *initialisation) exec(ctx context.Context, sql string) error {
	_, err := i.conn.Exec(ctx, sql).ReadAll()
	return err
}

func (i *initialisation) value(ctx context.Context, sql string, args ...string) (string, error) {
	values := make([][]byte, len(args))
	for n, a := range args {
		values[n] = []byte(a)
	}
	result := i.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 {
		return "", result.Err
	}
	return string(result.Rows[0][0]), nil
}

func (i *initialisation) roles(ctx context.Context) error {
	for _, role := range []string{ownerRole, writerRole, readerRole} {
		found, err := i.value(ctx, "SELECT 1 FROM pg_roles WHERE rolname = $1", role)
		if err != nil {
			return err
		}
		if found != "" {
			continue
		}
		if err := i.exec(ctx, "CREATE ROLE "+role+" NOLOGIN"); err != nil {
			return err
		}
		i.notef("role %s: created", role)
	}
	// A superuser may act as the owner without being a member.
	super, err := i.value(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
	if err != nil || super == "t" {
		return err
	}
	return i.exec(ctx, "GRANT "+ownerRole+" TO CURRENT_USER")
}

func (i *initialisation) schema(ctx context.Context) error {
	owner, err := i.value(ctx, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'pgcustos'")
	switch {
	case err != nil:
		return err
	case owner == "":
		i.notef("schema pgcustos: created")
		return i.exec(ctx, "CREATE SCHEMA pgcustos AUTHORIZATION "+ownerRole)
	case owner != ownerRole:
		return fmt.Errorf("the schema pgcustos belongs to %s and not to %s: it is left alone", owner, ownerRole)
	}
	return nil
}

func (i *initialisation) migrate(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	err = i.exec(ctx, "SET LOCAL ROLE "+ownerRole+`;
		CREATE TABLE IF NOT EXISTS pgcustos.migrations (
			version integer PRIMARY KEY, digest text NOT NULL, applied timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		return err
	}
	newest, err := i.value(ctx, "SELECT COALESCE(max(version), 0)::text FROM pgcustos.migrations")
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(newest)
	if err != nil {
		return err
	}
	if version > len(all) {
		return fmt.Errorf("the schema is of version %d, this program knows %d: use a newer one", version, len(all))
	}
	for _, m := range all[version:] {
		if err := i.apply(ctx, m); err != nil {
			return fmt.Errorf("migration %d: %w", m.version, err)
		}
	}
	return i.exec(ctx, "RESET ROLE")
}

func (i *initialisation) apply(ctx context.Context, m migration) error {
	if err := i.exec(ctx, m.sql); err != nil {
		return err
	}
	i.notef("schema pgcustos: migrated to version %d", m.version)
	_, err := i.value(ctx, "INSERT INTO pgcustos.migrations (version, digest) VALUES ($1::integer, $2)", strconv.Itoa(m.version), m.digest)
	return err
}

// writer lets the sink's user log in, and insert.
func (i *initialisation) writer(ctx context.Context, w Writer) error {
	user := quoteIdentifier(w.User)
	if w.User != writerRole {
		found, err := i.value(ctx, "SELECT 1 FROM pg_roles WHERE rolname = $1", w.User)
		if err != nil {
			return err
		}
		if found == "" {
			return fmt.Errorf("the role %s does not exist: create it, or let the sink log in as %s", w.User, writerRole)
		}
		i.notef("role %s: member of %s", w.User, writerRole)
		return i.exec(ctx, "GRANT "+writerRole+" TO "+user)
	}
	if w.Password == nil {
		return nil
	}
	password, err := w.Password()
	if err != nil {
		return err
	}
	// The server gets what it stores and not the password, which its log could
	// print.
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	i.notef("role %s: may log in with the sink's password", w.User)
	return i.exec(ctx, "ALTER ROLE "+user+" LOGIN PASSWORD '"+verifier+"'")
}

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
