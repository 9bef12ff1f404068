package view

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func startJournal(t *testing.T) (string, *journal.Journal) {
	t.Helper()
	path := t.TempDir()
	key, err := journal.ReadDigestKey([]byte("-----BEGIN PGCUSTOS DIGEST KEY-----\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n-----END PGCUSTOS DIGEST KEY-----\n"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1", SegmentSize: 1 << 20, DigestKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return path, j
}

func record(t *testing.T, j *journal.Journal, ev audit.Event) uint64 {
	t.Helper()
	r, err := j.Record(&ev)
	if err != nil {
		t.Fatal(err)
	}
	return r.Sequence
}

func session(account, address, role string) *audit.Context {
	return &audit.Context{
		Session:   "01JD8Z3V9M4Q7T2X5B6C8D9E" + account[:2],
		Principal: audit.Principal{Account: account, UPN: account + "@corp.example.com", SID: "S-1-5-21-7-" + account[:1], Kind: "person"},
		Source:    audit.Source{Address: netip.MustParseAddrPort(address), TLS: "TLSv1.3"},
		Method:    "password", Rule: "orders-readers", Group: "APP-Orders-Readers",
		Backend: "orders", Database: "orders", Role: role, ApplicationName: "psql",
	}
}

// story is a morning of two people and a stranger. It returns the sequence before
// its first record: what the journal itself wrote by then.
func story(t *testing.T, j *journal.Journal) (before uint64) {
	t.Helper()
	at := noon
	tick := func() time.Time { at = at.Add(1234 * time.Millisecond); return at }
	alice := j.Prepare(session("alice", "10.20.3.4:50123", "app_ro_orders"))
	bob := j.Prepare(session("bob", "[2001:db8::7]:50123", "migrate_orders"))
	before = record(t, j, audit.Event{
		Type: audit.Authentication, Time: tick(), Decision: audit.Denied, Result: audit.Failed, Cause: "wrong_password", Claimed: `CORP\alice`,
		Incident: "i-7Q2M4K", Detail: "LDAP 49, data 52e", Context: &audit.Context{Method: "password", Source: audit.Source{Address: netip.MustParseAddrPort("10.20.3.4:50120")}},
	})
	record(t, j, audit.Event{Type: audit.Authentication, Time: tick(), Decision: audit.Allowed, Prepared: alice})
	record(t, j, audit.Event{Type: audit.SessionStart, Time: tick(), Decision: audit.Allowed, Prepared: alice})
	s := record(t, j, audit.Event{
		Type: audit.Statement, Time: tick(), Prepared: alice, Decision: audit.Allowed, Command: "SELECT", Class: statement.Read,
		Objects: []statement.Object{{Name: "orders", Kind: "relation", Use: statement.UseRead}},
		Text:    "SELECT *\n  FROM orders\n WHERE customer = 'M\u00fcller \u5f20\u4f1f'",
	})
	record(t, j, audit.Event{
		Type: audit.Statement, Time: tick(), Prepared: alice, Decision: audit.Denied, Command: "DELETE", Class: statement.Write,
		Tags: statement.TagDestructive, Missing: "class WRITE, tag destructive", Incident: "i-9X3B1C", Text: "DELETE FROM orders",
		Objects: []statement.Object{{Name: "orders", Kind: "relation", Use: statement.UseWrite}},
	})
	record(t, j, audit.Event{
		Type: audit.Outcome, Time: tick(), Prepared: alice, Statement: s, Result: audit.Completed, Rows: 3, Bytes: 812, Duration: 1200 * time.Microsecond,
	})
	s = record(t, j, audit.Event{
		Type: audit.Statement, Time: tick(), Prepared: bob, Decision: audit.WouldDeny, Command: "ALTER TABLE", Class: statement.DDL,
		Tags: statement.TagDDL | statement.TagDestructive, Missing: "tag destructive", Rule: "nothing-dropped",
		Objects: []statement.Object{{Schema: "sales", Name: "orders", Kind: "table", Use: statement.UseAlter}},
		Text:    "ALTER TABLE orders DROP COLUMN note \x1b[2J\u202e; -- \x07",
	})
	record(t, j, audit.Event{
		Type: audit.Outcome, Time: tick(), Prepared: bob, Statement: s, Result: audit.Failed, SQLSTATE: "42703", Tx: 4,
		Message: `column "note" of relation "orders" does not exist`, Rows: -1, Duration: 350 * time.Microsecond,
	})
	record(t, j, audit.Event{Type: audit.Transaction, Time: tick(), Prepared: bob, Tx: 4, Fate: audit.RolledBack})
	record(t, j, audit.Event{
		Type: audit.Statement, Time: tick(), Prepared: bob, Decision: audit.Unavailable, Command: "INSERT", Class: statement.Write,
		Parameters: &audit.Parameters{
			Form: audit.ParametersFull, Count: 3, Digest: [32]byte{0: 0xef},
			Values: []byte("\x00\x17\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x0042" + "\x02\x19\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x19\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x1b'\xff\u2192"),
		},
		Trace:   statement.Trace{ID: [16]byte{0: 0x5b, 15: 0x6a}, Span: [8]byte{7: 0xd2}},
		Objects: []statement.Object{{Name: "orders", Kind: "relation", Use: statement.UseWrite}},
		Cause:   "journal_full", Incident: "i-0000AA", Text: "INSERT INTO orders VALUES (1, 'x')",
	})
	record(t, j, audit.Event{Type: audit.Connection, Time: tick(), Cause: "not_a_startup_packet", Count: 12, Context: &audit.Context{Source: audit.Source{Address: netip.MustParseAddrPort("192.0.2.9:1")}}})
	record(t, j, audit.Event{Type: audit.Configuration, Time: tick(), Cause: "reload", Digest: "ab12", Change: "rule orders-readers: alice loses role app_rw_orders\nbackend orders: connections 200 → 100\n"})
	record(t, j, audit.Event{Type: audit.Revocation, Time: tick(), Prepared: alice, Cause: "account_disabled"})
	record(t, j, audit.Event{Type: audit.SessionEnd, Time: tick(), Prepared: alice, Cause: "revoked", Duration: 3 * time.Minute})
	record(t, j, audit.Event{
		Type: audit.Statement, Time: tick(), Prepared: bob, Decision: audit.Allowed, Class: statement.Unknown, Form: statement.Masked,
		Cause: "syntax", Text: "SELEC 'x\xff'",
	})
	return before - 1
}
