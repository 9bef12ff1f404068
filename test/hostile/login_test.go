package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// answer sends a StartupMessage and answers the request for a password.
func (c *client) answer(startup []byte, answer ...byte) *client {
	c.t.Helper()
	c.write(startup...)
	c.askedForPassword()
	c.offer(answer...)
	return c
}

func passwordMessage(p string) []byte { return message('p', p+"\x00") }

// TestNames is every spelling of a name that means alice.
func TestNames(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, name := range []string{
		"alice", "ALICE", "Alice", `CORP\alice`, `corp\ALICE`, "alice@corp.example.com", "Alice@CORP.EXAMPLE.COM",
	} {
		c := dialTLS(t, s).enter(startup("user", name, "database", testkit.OrdersDatabase), testkit.AlicePassword)
		if got := c.ask("SELECT session_user"); got != "app_ro_orders" {
			t.Errorf("%q: the session user is %q", name, got)
		}
		r := await(t, s, name, all(from(c.source), ofType(audit.SessionStart)))
		if r.Principal.Account != "alice" || r.User != name {
			t.Errorf("%q: recorded as %q, claimed %q", name, r.Principal.Account, r.User)
		}
	}
}

// TestHostileNames is names that mean nobody, with alice's password. Some of them
// would find her account if they came into a filter as they are.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, name := range []string{
		"*", "ali*", "a*e", "alice)(objectClass=*", "*)(sAMAccountName=alice", "alice)(|(cn=*", `\61lice`, `\2a`, "(", ")", `\`, "&", "|",
		`alice'`, `"alice"`, `'; DROP TABLE users; --`, "alice\n", "\x1b[31malice\x1b[0m", "ali\u200bce", "\xff\xfe", "alice\x7f",
		`\alice`, `OTHER\alice`, `CORP\\alice`, "alice@", "@corp.example.com", "alice@elsewhere.example.com", "alice@corp.example.com@corp.example.com",
		"CN=Alice Adams,OU=People," + testkit.BaseDN, "S-1-5-21-1-2-3-500", "dc1$", "Domain Admins", testkit.GroupReaders,
		strings.Repeat("a", 9_900),
	} {
		t.Run(fmt.Sprintf("%.40q", name), func(t *testing.T) {
			c := dialTLS(t, s).answer(startup("user", name, "database", testkit.OrdersDatabase), passwordMessage(testkit.AlicePassword)...)
			e := c.told("28P01", "authentication failed for user")
			if len(e.Message) > 400 || strings.ContainsAny(e.Message, "\x1b\n\x7f") {
				t.Errorf("the message is %q", e.Message)
			}
			r := await(t, s, "the log-in", withIncident(incidentOf(t, e.Detail)))
			if r.Type != audit.Authentication || r.Decision != audit.Denied || r.Source.Address != c.source || r.Principal.Account != "" {
				t.Errorf("recorded as %s %s of %q from %s", r.Type, r.Decision, r.Principal.Account, r.Source.Address)
			}
			if r.User != name && !r.Cut && strings.ToValidUTF8(name, "") == name {
				t.Errorf("claimed %.80q", r.User)
			}
		})
	}
}

// TestNameTooLong is beyond what PostgreSQL takes of a StartupMessage.
func TestNameTooLong(t *testing.T) {
	t.Parallel()
	s := site(t)
	c := dialTLS(t, s)
	c.offer(startup("user", strings.Repeat("a", 10_240))...)
	c.silent()
	if r := await(t, s, "it", from(c.source)); r.Cause != "no_startup" {
		t.Errorf("recorded as %s", r.Cause)
	}
}

// TestDuplicateUser gives several: the last one counts, for the password, the
// rules and the record.
func TestDuplicateUser(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := dialTLS(t, s).enter(startup("user", "svc-orders", "user", "alice", "database", "lab", "database", testkit.OrdersDatabase), testkit.AlicePassword)
	if got := c.ask("SELECT session_user || ' ' || current_database()"); got != "app_ro_orders orders" {
		t.Errorf("the session is %s", got)
	}
	r := await(t, s, "the session", all(from(c.source), ofType(audit.SessionStart)))
	if r.Principal.Account != "alice" || r.User != "alice" {
		t.Errorf("recorded as %s, claimed %s", r.Principal.Account, r.User)
	}
}

// TestNULShiftsParameters is a name with a NUL in it, so that what stands behind
// becomes a parameter.
func TestNULShiftsParameters(t *testing.T) {
	t.Parallel()
	s := site(t)
	body := []byte("database\x00orders\x00user\x00alice\x00svc-orders\x00\x00\x00")
	c := dialTLS(t, s).answer(packet(protocol30, body...), passwordMessage(testkit.AlicePassword)...)
	e := c.told("42704", `unrecognized configuration parameter "svc-orders"`)
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Principal.Account != "alice" || r.Decision != audit.Unavailable {
		t.Errorf("recorded as %s of %s", r.Decision, r.Principal.Account)
	}
}

// TestPasswords is what may stand in the place of a password.
func TestPasswords(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	// An account of its own: wrong passwords add up.
	if err := s.Controller.CreateUser(t.Context(), "passwords", "Right-Passw0rd", testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		message        []byte
		sqlstate, text string
		cause          auth.Cause
	}{
		{"empty", passwordMessage(""), "28P01", "authentication failed", auth.CauseEmptyPassword},
		{"wrong", passwordMessage("Wrong-Passw0rd"), "28P01", "authentication failed", auth.CauseWrongPassword},
		{"10 KB", passwordMessage(strings.Repeat("x", 10_240)), "28P01", "invalid password packet size", auth.CauseNoPassword},
		{"length 4", frame('p', 4, ""), "08P01", "invalid password packet size", auth.CauseNoPassword},
		{"no NUL", message('p', "Right-Passw0rd"), "08P01", "invalid password packet size", auth.CauseNoPassword},
		{"two NULs", message('p', "Right-Passw0rd\x00\x00"), "08P01", "invalid password packet size", auth.CauseNoPassword},
		{"a NUL inside", message('p', "Right-Passw0rd\x00x\x00"), "08P01", "invalid password packet size", auth.CauseNoPassword},
		{"a Query", query("SELECT 1"), "08P01", "expected password response, got message type 81", auth.CauseNoPassword},
		{"a Terminate", message('X', ""), "08P01", "expected password response, got message type 88", auth.CauseNoPassword},
		{"a second StartupMessage", startup(reader...), "08P01", "expected password response, got message type 0", auth.CauseNoPassword},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := dialTLS(t, s).answer(startup("user", "passwords", "database", testkit.OrdersDatabase), c.message...)
			e := x.told(c.sqlstate, c.text)
			r := await(t, s, c.name, withIncident(incidentOf(t, e.Detail)))
			if r.Type != audit.Authentication || r.Decision != audit.Denied || r.Cause != string(c.cause) || r.User != "passwords" {
				t.Errorf("recorded as %s %s %s of %q", r.Type, r.Decision, r.Cause, r.User)
			}
		})
	}
	for name, do := range map[string]func(x *client){
		"none":         func(x *client) { x.halfClose() },
		"2 GB claimed": func(x *client) { x.write(frame('p', 1<<31-1, "x")...) },
		"-1 claimed":   func(x *client) { x.write(frame('p', 1<<32-1, "x")...) },
		"70 KB":        func(x *client) { x.offer(passwordMessage(strings.Repeat("x", 70_000))...) },
		"length 0":     func(x *client) { x.write(frame('p', 0, "x")...) },
	} {
		t.Run(name, func(t *testing.T) {
			x := dialTLS(t, s)
			x.write(startup(reader...)...)
			x.askedForPassword()
			do(x)
			x.silent()
			if r := await(t, s, "it", from(x.source)); r.Cause != string(auth.CauseNoPassword) {
				t.Errorf("recorded as %s", r.Cause)
			}
		})
	}
	dialTLS(t, s).enter(startup("user", "passwords", "database", testkit.OrdersDatabase), "Right-Passw0rd").alive()
}

// TestStartupParameters is who the session is, asked for in every spelling.
func TestStartupParameters(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, c := range []struct {
		name, value string
		sqlstate    string
	}{
		{"role", "migrate_orders", "42501"},
		{"ROLE", "migrate_orders", "42501"},
		{"session_authorization", "postgres", "42501"},
		{"Session_Authorization", "postgres", "42501"},
		{"options", "-c role=migrate_orders", "42501"},
		{"options", "-crole=migrate_orders", "42501"},
		{"options", "--role=migrate_orders", "42501"},
		{"options", "-c ROLE=migrate_orders", "42501"},
		{"options", `-c rol\e=migrate_orders`, "42501"},
		{"options", `-c r\ole=a\ b`, "42501"},
		{"options", "\t-c\n role=migrate_orders", "42501"},
		{"options", "-c jit=off -c role=migrate_orders -c jit=on", "42501"},
		{"options", "-c session_authorization=postgres", "42501"},
		{"options", "--session-authorization=postgres", "42501"},
		{"options", "-c session-authorization=postgres", "42501"},
		// What is a word of the StartupMessage itself is none of a server's settings:
		// it must not become one on the way to the backend.
		{"options", `-c options=-c\ role=owner_orders`, "42704"},
		{"options", `--options=-c\ role=owner_orders`, "42704"},
		{"options", "-c replication=database", "42704"},
		{"options", "--replication=true", "42704"},
		{"options", "-c user=postgres", "42704"},
		{"options", "-c database=postgres", "42704"},
		{"options", "-c _pq_.compression=1", "42704"},
		{"options", "-ec role=migrate_orders", "42501"},
		{"options", "-r x -c role=migrate_orders", "42501"},
		{"options", "-d 5", "42501"},
		{"options", "-Z", "42601"},
		{"options", "-c", "42601"},
		{"options", "-c role", "42601"},
		{"options", "-c =role", "42704"},
		{"options", "orders", "42601"},
		{"options", "-c pgcustos.unheard_of=1", "42704"},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			// PostgreSQL too reads them when it knows who asks, and so the record says who did.
			x := dialTLS(t, s).answer(startup("user", "alice", "database", testkit.OrdersDatabase, c.name, c.value), passwordMessage(testkit.AlicePassword)...)
			x.told(c.sqlstate, "")
			r := await(t, s, "it", all(from(x.source), ofType(audit.Authorization)))
			if r.Decision == audit.Allowed || r.Principal.Account != "alice" || r.Cause != "startup_parameters" && r.Cause != "backend" {
				t.Errorf("recorded as %s of %q: %s", r.Cause, r.Principal.Account, r.Detail)
			}
		})
	}
	t.Run("replication bogus", func(t *testing.T) {
		x := dialTLS(t, s)
		x.write(startup("user", "alice", "database", testkit.OrdersDatabase, "replication", "bogus")...)
		x.told("22023", `invalid value for parameter "replication": "bogus"`)
		if r := await(t, s, "it", from(x.source)); r.Decision != audit.Denied || r.Cause != "startup_refused" {
			t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
		}
	})
	t.Run("replication off", func(t *testing.T) {
		dialTLS(t, s).enter(startup("user", "alice", "database", testkit.OrdersDatabase, "replication", "off"), testkit.AlicePassword).alive()
	})
	t.Run("what is allowed", func(t *testing.T) {
		x := dialTLS(t, s).enter(startup("user", "alice", "database", testkit.OrdersDatabase, "options", "-c jit=off --search-path=private"), testkit.AlicePassword)
		if got := x.ask("SELECT current_setting('jit') || ' ' || current_setting('search_path')"); got != "off private" {
			t.Errorf("the settings are %q", got)
		}
	})
}

// TestUnknownDatabase is PostgreSQL's own error, which has to come through to
// the client whole.
func TestUnknownDatabase(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", dbAnything), passwordMessage(testkit.OrdersPassword)...)
	e := c.told("3D000", `database "no_such_database" does not exist`)
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Type != audit.Authorization || r.Cause != "backend" || r.SQLSTATE != "3D000" || r.Rule != "anything" {
		t.Errorf("recorded as %s %s %s under %s", r.Type, r.Cause, r.SQLSTATE, r.Rule)
	}
}

// TestNoDatabaseNamed is a missing name, which stands for the user's.
func TestNoDatabaseNamed(t *testing.T) {
	t.Parallel()
	s := site(t)
	c := dialTLS(t, s).answer(startup("user", "svc-orders"), passwordMessage(testkit.OrdersPassword)...)
	c.told("3D000", `database "svc-orders" does not exist`)
	c = dialTLS(t, s).answer(startup("user", "alice"), passwordMessage(testkit.AlicePassword)...)
	c.told("28P01", "authentication failed")
	await(t, s, "it", func(r *journal.Record) bool {
		return r.Source.Address == c.source && r.Cause == string(auth.CauseNoMatchingRule) && r.Database == "alice"
	})
}
