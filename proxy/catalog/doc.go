// Package catalog knows what stands behind the names of a backend's databases: of
// which tables a view is made, which partitions a table has, how a function runs.
// It is read as a role of low privilege, apart from all sessions, into snapshots
// that never change.
//
//	sessions ──View──▶ Database ◀──swaps── its reader ──pgx──▶ backend
//	         ──Changed, Settled──▶
//
// No session ever waits for it. What it knows can deny a statement and never lets
// one pass: it may be old, absent or wrong, and then a session goes by the names in
// the text, as it does without a catalog.
package catalog
