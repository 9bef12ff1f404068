package hostile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// session returns the record of the client's session.
func (c *client) session() journal.Record {
	c.t.Helper()
	return await(c.t, c.site, "the session", all(from(c.source), ofType(audit.SessionStart)))
}

// end returns the record of the session's end.
func (c *client) end() journal.Record {
	c.t.Helper()
	return await(c.t, c.site, "the session's end", all(from(c.source), ofType(audit.SessionEnd)))
}

// statement returns the record of the client's statement with that text.
func (c *client) statement(text string) journal.Record {
	c.t.Helper()
	return await(c.t, c.site, "the statement", all(from(c.source), withText(text)))
}

func (c *client) outcome(st journal.Record) journal.Record {
	c.t.Helper()
	return await(c.t, c.site, "the outcome", outcomeOf(&st))
}

// TestFrameLengths is the lengths that no message has: the session ends without
// a word, as PostgreSQL does it, and so does what it had running.
func TestFrameLengths(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, typ := range []byte{'Q', 'P', 'B', 'E', 'D', 'C', 'S', 'H', 'F', 'd', 'c', 'f', 'X'} {
		for _, length := range []uint32{0, 3, 1<<31 - 1, 1<<32 - 1} {
			t.Run(fmt.Sprintf("%c %d", typ, length), func(t *testing.T) {
				c := lab(t, s)
				c.offer(frame(typ, length, "SELECT 1\x00")...)
				c.ended()
				if r := c.end(); r.Cause != "client_framing" {
					t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
				}
			})
		}
	}
	for _, typ := range []byte{'E', 'D', 'C', 'S', 'H', 'c', 'f'} {
		t.Run(fmt.Sprintf("%c 10001", typ), func(t *testing.T) {
			c := lab(t, s)
			c.offer(frame(typ, 10_001, strings.Repeat("x", 10_001))...)
			c.silent()
			if r := c.end(); r.Cause != "client_framing" {
				t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
			}
		})
	}
}

// TestUnknownType is a type that no message has, and one that only the log-in
// has: the backend's own refusal comes through.
func TestUnknownType(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, typ := range []byte{'p', 'z', 0, 0xff, 'R', 'Z', '1'} {
		c := lab(t, s)
		c.offer(bytes.Join([][]byte{message(typ, "x\x00"), query("SELECT 'behind it'")}, nil)...)
		c.told("08P01", fmt.Sprintf("invalid frontend message type %d", typ))
		if r := c.end(); r.Cause != "backend_closed" {
			t.Errorf("%q: recorded as %s: %s", typ, r.Cause, r.Detail)
		}
	}
}

// TestQueryText is a Query that is not one C string: PostgreSQL refuses it and
// goes on, and none of its text runs.
func TestQueryText(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := lab(t, s)
	c.ask("CREATE TABLE untouched (n int)")
	for _, body := range []string{
		"INSERT INTO untouched VALUES (1)",            // no NUL
		"INSERT INTO untouched VALUES (2)\x00\x00",    // two of them
		"INSERT INTO untouched VALUES (3)\x00 OR\x00", // one inside
		"SELECT 1\x00INSERT INTO untouched VALUES (4)\x00",
		"",
	} {
		c.write(message('Q', body)...)
		c.complaint("ERROR", "08P01", "")
		if status, _ := c.ready(); status != 'I' {
			t.Errorf("%q: the transaction's status is %c", body, status)
		}
		c.alive()
	}
	found, err := records(s, func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Decision == audit.Unavailable && r.Source.Address == c.source
	})
	if err != nil || len(found) != 5 {
		t.Errorf("%d are on record, %v", len(found), err)
	}
	if got := c.ask("SELECT count(*) FROM untouched"); got != "0" {
		t.Errorf("%s of them ran", got)
	}
}

// TestParseText is the same of the extended protocol.
func TestParseText(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, m := range [][]byte{
		message('P', "\x00SELECT 1"),
		message('P', "name"),
		message('P', "\x00SELECT 1\x00"),
		message('P', "\x00SELECT 1\x00\x00\x01"),
		message('P', "\x00SELECT 1\x00\x00\x00more"),
		message('B', ""),
		message('B', "\x00"),
		message('B', "\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff"),
		message('B', strings.Repeat("x", 20_000)+"\x00\x00\x00\x00\x00\x00\x00\x00"),
		message('D', "x\x00"),
		message('C', "x\x00"),
		message('E', ""),
		message('E', "\x00"),
	} {
		t.Run(fmt.Sprintf("%.30q", m), func(t *testing.T) {
			c := lab(t, s)
			c.write(bytes.Join([][]byte{message('P', "\x00SELECT 7\x00\x00\x00"), m, message('S', "")}, nil)...)
			for {
				e, failed := c.receive().(*pgproto3.ErrorResponse)
				if !failed {
					continue
				}
				if e.Code != "08P01" || e.Severity != "ERROR" {
					t.Errorf("%s %s %s", e.Severity, e.Code, e.Message)
				}
				break
			}
			c.ready()
			c.alive()
			c.session()
		})
	}
}

// TestMessageTooLarge is beyond what the configuration lets be judged.
func TestMessageTooLarge(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := lab(t, s)
	c.ask("BEGIN")
	c.write(query("SELECT '" + strings.Repeat("x", 113<<20) + "'")...)
	e := c.complaint("ERROR", "54000", "too large to be judged")
	if status, _ := c.ready(); status != 'E' {
		t.Errorf("the transaction's status is %c", status)
	}
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Decision != audit.Unavailable || r.Bytes < 113<<20 || r.Source.Address != c.source {
		t.Errorf("recorded as %s of %d bytes", r.Decision, r.Bytes)
	}
	c.ask("ROLLBACK")
	c.alive()
}

// TestDenialInTransaction is what a denied statement leaves behind.
func TestDenialInTransaction(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := alice(t, s)
	c.ask("BEGIN")
	c.write(query("DELETE FROM orders")...)
	e := c.complaint("ERROR", "42501", "permission denied")
	if status, _ := c.ready(); status != 'E' {
		t.Errorf("the transaction's status is %c", status)
	}
	r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
	if r.Decision != audit.Denied || r.Text != "DELETE FROM orders" || !strings.Contains(e.Detail, `"orders-readers"`) {
		t.Errorf("recorded as %s: %s (%s)", r.Decision, r.Text, e.Detail)
	}
	c.ask("COMMIT")
	c.alive()
}

// TestHalfClose ends the client's side behind a Query: the answer still comes.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for name, finish := range map[string]func(c *client){
		"FIN":                    func(c *client) { c.halfClose() },
		"FIN without a notify":   func(c *client) { _ = c.tcp.CloseWrite() },
		"Terminate in one write": func(*client) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := lab(t, s)
			const sql = "SELECT 'the last ' || pg_sleep(0.3)"
			b := query(sql)
			if name == "Terminate in one write" {
				b = append(b, message('X', "")...)
			}
			c.write(b...)
			finish(c)
			if _, rows := c.ready(); len(rows) != 1 || rows[0] != "the last " {
				t.Errorf("the answer is %q", rows)
			}
			c.ended()
			if o := c.outcome(c.statement(sql)); o.Result != audit.Completed {
				t.Errorf("the outcome is %s", o.Result)
			}
			if r := c.end(); r.Cause != "client_terminated" && r.Cause != "client_closed" {
				t.Errorf("recorded as %s", r.Cause)
			}
		})
	}
}

// running waits until the backend runs, or no longer runs, a statement that says
// so in a comment.
func running(t *testing.T, s *testkit.Site, mark string, want bool) {
	t.Helper()
	eventually(t, func() error {
		n, err := s.Postgres.Value(t.Context(), "postgres",
			"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%"+mark+"%'")
		if err != nil {
			return err
		}
		if (n != "0") != want {
			return fmt.Errorf("%s backends run %s", n, mark)
		}
		return nil
	})
}

// gone waits until the backend's session is no more.
func gone(t *testing.T, s *testkit.Site, pid uint64) {
	t.Helper()
	eventually(t, func() error {
		n, err := s.Postgres.Value(t.Context(), "postgres", fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid))
		if err == nil && n != "0" {
			err = fmt.Errorf("backend %d is still there", pid)
		}
		return err
	})
}

// TestVanishInQuery is a client that goes away while its statement runs: that is
// cancelled, the session at the backend ends.
func TestVanishInQuery(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for name, leave := range map[string]func(c *client){
		"reset": func(c *client) { c.vanish() },
		"close": func(c *client) { _ = c.conn.Close() },
		"FIN":   func(c *client) { c.halfClose() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lab(t, s)
			sql := "SELECT pg_sleep(300) /* vanish by " + name + " */"
			c.write(query(sql)...)
			running(t, s, "vanish by "+name, true)
			leave(c)
			running(t, s, "vanish by "+name, false)
			st := c.statement(sql)
			gone(t, s, st.BackendPID)
			if o := c.outcome(st); o.Result != audit.Failed && o.Result != audit.Lost {
				t.Errorf("the outcome is %s", o.Result)
			}
			if r := c.end(); !strings.HasPrefix(r.Cause, "client_") {
				t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
			}
		})
	}
}

// TestVanishInCopy is a client that goes away while it sends rows: none of them
// stay.
func TestVanishInCopy(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for name, leave := range map[string]func(c *client){
		"reset":             func(c *client) { c.vanish() },
		"close":             func(c *client) { _ = c.conn.Close() },
		"FIN":               func(c *client) { c.halfClose() },
		"Terminate":         func(c *client) { c.write(message('X', "")...) },
		"half a message":    func(c *client) { c.write(frame('d', 1000, "1\n")...); c.vanish() },
		"a message of 1 GB": func(c *client) { c.write(frame('d', 1<<30, "1\n")...); c.offer(query("SELECT 1")...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lab(t, s)
			table := "copied_" + strings.ReplaceAll(name, " ", "_")
			c.ask("CREATE TABLE " + table + " (n int)")
			sql := "COPY " + table + " FROM STDIN"
			c.write(query(sql)...)
			if _, ok := c.receive().(*pgproto3.CopyInResponse); !ok {
				t.Fatal("no CopyInResponse")
			}
			c.write(bytes.Repeat(message('d', "1\n2\n3\n"), 5000)...)
			leave(c)
			st := c.statement(sql)
			gone(t, s, st.BackendPID)
			if n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) FROM "+table); n != "0" {
				t.Errorf("%s rows stayed", n)
			}
			if o := c.outcome(st); o.Result != audit.Failed && o.Result != audit.Lost {
				t.Errorf("the outcome is %s", o.Result)
			}
			c.end()
		})
	}
}

// TestVanishInTransaction is a client that goes away with locks held.
func TestVanishInTransaction(t *testing.T) {
	t.Parallel()
	s := site(t)
	c := lab(t, s)
	c.ask("CREATE TABLE held (n int)")
	c.ask("BEGIN")
	c.ask("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
	r := c.session()
	c.vanish()
	gone(t, s, r.BackendPID)
	if got := lab(t, s).ask("SELECT count(*) FROM held"); got != "0" {
		t.Error(got)
	}
	if e := c.end(); e.Cause != "client_gone" {
		t.Errorf("recorded as %s", e.Cause)
	}
}

// TestQueryInsideCopy is a Query where rows belong: PostgreSQL ends the session.
func TestQueryInsideCopy(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := lab(t, s)
	c.ask("CREATE TABLE inside_copy (n int)")
	c.write(query("COPY inside_copy FROM STDIN")...)
	c.receive()
	c.write(append(message('d', "1\n"), query("DROP TABLE inside_copy")...)...)
	c.complaint("ERROR", "08P01", "")
	c.told("08P01", "")
	if n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) FROM inside_copy"); n != "0" {
		t.Errorf("%s rows stayed", n)
	}
	c.end()
}

// TestLongPipeline sends more than the proxy lets wait for answers, and of answers less
// than the server sends without being asked: it goes on all the same.
func TestLongPipeline(t *testing.T) {
	t.Parallel()
	c := lab(t, site(t))
	const n = 2000
	one := bytes.Join([][]byte{
		message('P', "\x00\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"),
	}, nil)
	go func() { c.offer(append(bytes.Repeat(one, n), message('S', "")...)...) }()
	answered := 0
	for {
		switch m := c.receive().(type) {
		case *pgproto3.EmptyQueryResponse:
			answered++
		case *pgproto3.ErrorResponse:
			t.Fatalf("%s %s", m.Code, m.Message)
		case *pgproto3.ReadyForQuery:
			if answered != n {
				t.Errorf("%d of %d were answered", answered, n)
			}
			c.alive()
			return
		}
	}
}
