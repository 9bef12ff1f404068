package catalog

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/proxy/backend"
)

// settings are those of the session that reads. Locks on a catalog are waited for
// a little only, for whoever waits for one has others wait.
func settings() map[string]string {
	return map[string]string{
		"application_name": "pgcustos catalog", "client_encoding": "UTF8", "default_transaction_read_only": "on",
		"statement_timeout": "60s", "lock_timeout": "5s", "jit": "off",
	}
}

// The path is set inside the transaction, after the server's own has been asked
// for: nothing but the system's schema is in it, so that no object of a stranger's
// stands for one of these names.
const (
	begin      = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	serverPath = `SELECT reset_val FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'search_path'`
	narrow     = `SET LOCAL search_path = pg_catalog`
)

// firstNormal is the least OID of what is not initdb's (transam.h,
// FirstNormalObjectId). PostgreSQL's own views are not looked behind: they show what
// they are meant to.
const firstNormal = "16384"

const (
	schemasQuery = `SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'`

	relationsQuery = `SELECT oid, relnamespace, relname, relkind FROM pg_class
		WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'`

	routinesQuery = `SELECT p.oid, p.pronamespace, p.proname, p.prokind, p.provolatile, p.prosecdef, l.lanname
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang`

	rewritesQuery = `SELECT DISTINCT r.ev_class, r.ev_type, d.refobjid, d.refclassid = 'pg_proc'::regclass
		FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND d.deptype = 'n'
			AND d.refobjid <> r.ev_class AND r.oid >= ` + firstNormal

	inheritsQuery = `SELECT inhrelid, inhparent FROM pg_inherits`

	usageQuery = `SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n
		WHERE r.rolname = ANY ($1::name[]) AND n.nspname !~ '^pg_(toast|temp)' AND has_schema_privilege(r.oid, n.oid, 'USAGE')`

	// pathQuery finds what a role's sessions begin with: its own setting in the database
	// comes before its own, and that before the database's (postinit.c, process_settings).
	pathQuery = `SELECT r.rolname, s.value FROM pg_roles r LEFT JOIN LATERAL (
			SELECT substr(c, 13) AS value FROM pg_db_role_setting d, unnest(d.setconfig) AS c
			WHERE d.setrole IN (0, r.oid) AND c LIKE 'search\_path=%'
				AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
			ORDER BY d.setrole = 0, d.setdatabase = 0 LIMIT 1) s ON true
		WHERE r.rolname = ANY ($1::name[])`
)

// reading is one pass over the catalog of a database.
type reading struct {
	*backend.Reader
	b     *Builder
	roles string // an array of names
}

// read makes a snapshot of what a database holds. roles are those that sessions may
// have, self the one that reads.
func read(ctx context.Context, r *backend.Reader, self string, roles []string, most int64) (*Snapshot, error) {
	rd := reading{Reader: r, b: NewBuilder(most), roles: array(append([]string{self}, roles...))}
	fallback := ""
	if err := rd.rows(ctx, begin, nil); err != nil {
		return nil, err
	}
	err := rd.rows(ctx, serverPath, func(row [][]byte) error {
		fallback = string(row[0])
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := rd.rows(ctx, narrow, nil); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{rd.schemas, rd.relations, rd.routines, rd.rewrites, rd.inheritance, rd.usages} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if err := rd.paths(ctx, self, fallback); err != nil {
		return nil, err
	}
	return rd.b.Build()
}

func (rd *reading) rows(ctx context.Context, query string, each func(row [][]byte) error, args ...string) error {
	return rd.Rows(ctx, query, args, each)
}

func (rd *reading) schemas(ctx context.Context) error {
	return rd.rows(ctx, schemasQuery, func(row [][]byte) error {
		return rd.b.Schema(oid(row[0]), string(row[1]))
	})
}

func (rd *reading) relations(ctx context.Context) error {
	return rd.rows(ctx, relationsQuery, func(row [][]byte) error {
		return rd.b.Relation(oid(row[0]), oid(row[1]), string(row[2]), letter(row[3]))
	})
}

func (rd *reading) routines(ctx context.Context) error {
	return rd.rows(ctx, routinesQuery, func(row [][]byte) error {
		return rd.b.Routine(oid(row[0]), oid(row[1]), string(row[2]), Traits{
			Kind: letter(row[3]), Volatility: letter(row[4]), Definer: truth(row[5]), Languages: []string{string(row[6])},
		})
	})
}

func (rd *reading) rewrites(ctx context.Context) error {
	return rd.rows(ctx, rewritesQuery, func(row [][]byte) error {
		return rd.b.Rewritten(oid(row[0]), letter(row[1]), oid(row[2]), truth(row[3]))
	})
}

func (rd *reading) inheritance(ctx context.Context) error {
	return rd.rows(ctx, inheritsQuery, func(row [][]byte) error {
		return rd.b.Inherits(oid(row[0]), oid(row[1]))
	})
}

func (rd *reading) usages(ctx context.Context) error {
	return rd.rows(ctx, usageQuery, func(row [][]byte) error {
		return rd.b.Usage(string(row[0]), string(row[1]))
	}, rd.roles)
}

// paths reads where sessions look. The server's own setting is what the reading
// session would have, unless that has one of its own.
func (rd *reading) paths(ctx context.Context, self, fallback string) error {
	var without []string
	masked := false
	err := rd.rows(ctx, pathQuery, func(row [][]byte) error {
		rol := string(row[0])
		if row[1] == nil {
			without = append(without, rol)
			return rd.b.take(usageSize)
		}
		masked = masked || rol == self
		return rd.b.Setting(rol, string(row[1]))
	}, rd.roles)
	for i := 0; i < len(without) && err == nil && !masked; i++ {
		err = rd.b.Setting(without[i], fallback)
	}
	return err
}

func oid(b []byte) uint32 {
	n, _ := strconv.ParseUint(string(b), 10, 32)
	return uint32(n)
}

func letter(b []byte) byte {
	if len(b) != 1 {
		return 0
	}
	return b[0]
}

func truth(b []byte) bool { return len(b) == 1 && b[0] == 't' }

// array writes a list of names as PostgreSQL reads it.
func array(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return fmt.Sprintf("{%s}", strings.Join(quoted, ","))
}
