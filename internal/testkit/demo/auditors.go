package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// delivered bounds the wait for the sink.
const delivered = time.Minute

// auditors shows that the record is one more database behind the proxy.
func (t *tour) auditors(ctx context.Context) error {
	t.chapter("Vera audits. The record is one more database behind the proxy, for psql.")
	waiting, cancel := context.WithTimeout(ctx, delivered)
	defer cancel()
	if err := t.site.AwaitDelivery(waiting); err != nil {
		return err
	}
	const earlier = " WHERE time > now() - interval '1 hour' ORDER BY time"
	for _, v := range []visit{
		vera("SELECT account, decision, cause FROM pgcustos.logins"+earlier,
			"alice", "svc-orders", "wrong_password", "disabled", "no_matching_rule"),
		vera("SELECT account, role, missing, text FROM pgcustos.denied WHERE type = 'statement' AND time > now() - interval '1 hour' ORDER BY time",
			"class WRITE", "tag destructive", "DROP TABLE orders"),
		vera("SELECT account, decision, text FROM pgcustos.destructive"+earlier, "DELETE FROM orders", "DROP COLUMN shipped_by"),
		vera("SELECT account, role, reason, result, text FROM pgcustos.schema_changes"+earlier, "CHG-7", "completed", "ADD COLUMN shipped_by"),
		vera("DELETE FROM pgcustos.events", "42501", "auditors", "Incident"),
		{user: "alice", password: testkit.AlicePassword, database: testkit.AuditDatabase, commands: []string{"SELECT 1"}, expect: []string{"authentication failed for user"}},
	} {
		if err := t.visit(ctx, v); err != nil {
			return err
		}
	}
	t.chapter("PostgreSQL would not let her either; and what she asked is on record with the rest.")
	past := visit{commands: []string{"DELETE FROM pgcustos.events"}, expect: []string{"42501: permission denied for table events"}}
	shown := fmt.Sprintf("$ psql -h %s -p %d -U audit_reader audit", t.site.Postgres.Host, t.site.Postgres.Port)
	if err := t.psql(ctx, shown, t.site.AuditDirect(), past); err != nil {
		return err
	}
	return t.query(ctx, []string{"--principal", "vera", "--type", "statement"}, []string{"pgcustos.destructive", "audit_reader@audit", "DENIED"})
}

func vera(command string, expect ...string) visit {
	return visit{user: "vera", password: testkit.VeraPassword, database: testkit.AuditDatabase, commands: []string{command}, expect: expect}
}
