package main

import (
	"context"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// ledger is the second backend.
const ledger = "ledger"

// ledger shows the backend that has no password.
func (t *tour) ledger(ctx context.Context) error {
	t.chapter("A second PostgreSQL has no password at all. It knows Alice herself, by a certificate that the proxy signed for her and her role.")
	for _, v := range []visit{
		{user: "alice", password: testkit.AlicePassword, database: ledger, commands: []string{
			"SELECT session_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
		}, expect: []string{testkit.LedgerRole, "CN=alice@corp.example.com"}},
		{user: "bob", password: testkit.BobPassword, database: ledger, commands: []string{"SELECT count(*) FROM entries"}, expect: []string{"9"}},
	} {
		if err := t.visit(ctx, v); err != nil {
			return err
		}
	}
	return t.query(ctx, []string{"--type", "certificate", "--principal", "alice"}, []string{"certificate", "alice@corp.example.com in role " + testkit.LedgerRole})
}
