package testkit

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
)

//go:embed orders.sql
var ordersSQL string

// OrdersDatabase is the database that SetupOrders makes. Its tables belong to
// owner_orders, which cannot log in: public.customers (100 rows), orders (300)
// and order_lines (900), private.salaries.
const OrdersDatabase = "orders"

// OrdersRoles returns the roles that can log in, with their passwords:
// app_ro_orders reads schema public, app_rw_orders writes there too,
// migrate_orders is a member of owner_orders, analytics_ro also reads schema
// private, dba_admin makes roles and databases. The map is the caller's.
func OrdersRoles() map[string]string {
	return map[string]string{
		"app_rw_orders":  "rw-4711-Orders",
		"app_ro_orders":  "ro-0815-Orders",
		"migrate_orders": "migrate-2718-Orders",
		"analytics_ro":   "analytics-3141",
		"dba_admin":      "dba-1618-Admin",
	}
}

// SetupOrders makes the roles and the database, which must not exist yet.
func (p *Postgres) SetupOrders(ctx context.Context) error {
	statements := []string{"CREATE ROLE owner_orders NOLOGIN"}
	roles := OrdersRoles()
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		statements = append(statements, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, roles[role]))
	}
	statements = append(statements,
		"ALTER ROLE dba_admin CREATEDB CREATEROLE",
		"GRANT pg_monitor, pg_signal_backend TO dba_admin",
		"GRANT owner_orders TO migrate_orders",
		"CREATE DATABASE orders OWNER owner_orders",
		"REVOKE ALL ON DATABASE orders FROM PUBLIC",
		"GRANT CONNECT, TEMPORARY ON DATABASE orders TO app_rw_orders, migrate_orders, dba_admin",
		"GRANT CONNECT ON DATABASE orders TO app_ro_orders, analytics_ro",
	)
	for _, statement := range statements {
		if err := p.Exec(ctx, "postgres", statement); err != nil {
			return err
		}
	}
	return p.Exec(ctx, OrdersDatabase, ordersSQL)
}
