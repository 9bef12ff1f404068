package hostile

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func cancelPacket(pid uint32, secret ...byte) []byte {
	return packet(codeCancel, append(binary.BigEndian.AppendUint32(nil, pid), secret...)...)
}

// sleeper is a session with a statement that only a cancel ends.
func sleeper(t *testing.T, s *testkit.Site, version uint32, mark string) *client {
	t.Helper()
	c := dialTLS(t, s).enter(packet(version, startupBody("user", "svc-orders", "database", testkit.LabDatabase)...), testkit.OrdersPassword)
	c.write(query("SELECT pg_sleep(300) /* " + mark + " */")...)
	running(t, s, mark, true)
	return c
}

// TestCancel passes the right key on, in clear and over TLS.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for name, version := range map[string]uint32{"short": protocol30, "long": protocol32} {
		for _, inside := range []bool{false, true} {
			mark := fmt.Sprintf("cancel %s %v", name, inside)
			t.Run(mark, func(t *testing.T) {
				c := sleeper(t, s, version, mark)
				x := dial(t, s)
				if inside {
					x.startTLS()
				}
				x.write(cancelPacket(c.pid, c.secret...)...)
				x.ended()
				c.complaint("ERROR", "57014", "canceling statement due to user request")
				c.ready()
				c.alive()
				r := await(t, s, "the cancel", func(r *journal.Record) bool {
					return r.Type == audit.Cancel && r.Detail == "from "+x.source
				})
				if r.Session != c.session().Session || r.Principal.Account != "svc-orders" || r.Cause != "client" {
					t.Errorf("recorded for session %s of %s: %s", r.Session, r.Principal.Account, r.Cause)
				}
			})
		}
	}
}

// TestCancelKeyNamesBackend holds that clients know their backend by its process
// id, as they do without the proxy, and that the secret is not the backend's.
func TestCancelKeyNamesBackend(t *testing.T) {
	t.Parallel()
	s := site(t)
	for name, version := range map[string]uint32{"short": protocol30, "long": protocol32} {
		t.Run(name, func(t *testing.T) {
			c := sleeper(t, s, version, "key "+name)
			if own := uint32(c.session().BackendPID); c.pid != own {
				t.Errorf("the client knows its backend as %d, it is %d", c.pid, own)
			}
			past, err := net.Dial("tcp", net.JoinHostPort(s.Postgres.Host, strconv.Itoa(int(s.Postgres.Port))))
			if err != nil {
				t.Fatal(err)
			}
			defer past.Close()
			if _, err := past.Write(cancelPacket(c.pid, c.secret...)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, past); err != nil {
				t.Fatal(err)
			}
			running(t, s, "key "+name, true)
		})
	}
}

// TestCancelTooLate shows the key of a session that is idle, and of one that is
// gone: nothing comes of it.
func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	s := site(t)
	c := lab(t, s)
	x := dial(t, s)
	x.write(cancelPacket(c.pid, c.secret...)...)
	x.ended()
	c.alive()
	c.write(message('X', "")...)
	c.ended()
	c.end()
	x = dial(t, s)
	x.write(cancelPacket(c.pid, c.secret...)...)
	x.ended()
	if r := await(t, s, "it", from(x.source)); r.Cause != "cancel_key_unknown" {
		t.Errorf("recorded as %s", r.Cause)
	}
}

// TestCancelWrongKey guesses: silence, a record, and nothing is cancelled.
func TestCancelWrongKey(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := sleeper(t, s, protocol32, "wrong key")
	var guess [300]byte
	_, _ = rand.Read(guess[:])
	for _, k := range []struct {
		name  string
		b     []byte
		cause string
	}{
		{"wrong secret", cancelPacket(c.pid, guess[:32]...), "cancel_key_unknown"},
		{"half the secret", cancelPacket(c.pid, c.secret[:16]...), "cancel_key_unknown"},
		{"4 bytes of it", cancelPacket(c.pid, c.secret[:4]...), "cancel_key_unknown"},
		{"more than the secret", cancelPacket(c.pid, append(c.secret[:32:32], 0)...), "cancel_key_unknown"},
		{"wrong process", cancelPacket(c.pid+1, c.secret...), "cancel_key_unknown"},
		{"zeros", cancelPacket(0, 0, 0, 0, 0), "cancel_key_unknown"},
		{"256 bytes", cancelPacket(c.pid, guess[:256]...), "cancel_key_unknown"},
		{"257 bytes", cancelPacket(c.pid, guess[:257]...), "no_startup"},
		{"no secret", cancelPacket(c.pid), "no_startup"},
		{"3 bytes", cancelPacket(c.pid, 1, 2, 3), "no_startup"},
		{"nothing", packet(codeCancel), "no_startup"},
	} {
		t.Run(k.name, func(t *testing.T) {
			x := dial(t, s)
			x.write(k.b...)
			x.ended()
			if r := await(t, s, k.name, from(x.source)); r.Cause != k.cause || r.Decision != audit.Denied {
				t.Errorf("recorded as %s %s", r.Decision, r.Cause)
			}
		})
	}
	running(t, s, "wrong key", true)
	x := dial(t, s)
	x.write(cancelPacket(c.pid, c.secret...)...)
	c.complaint("ERROR", "57014", "")
}

// TestCancelThrottle guesses too often: the source may not cancel for a while what may be
// guessed, and is not its own; another one may.
func TestCancelThrottle(t *testing.T) {
	t.Parallel()
	s := site(t)
	c, long := sleeper(t, s, protocol30, "throttle"), sleeper(t, s, protocol32, "beyond guessing")
	source := nextSource()
	own := dialFrom(t, s, source).startTLS().enter(packet(protocol30, startupBody("user", "svc-orders", "database", testkit.LabDatabase)...), testkit.OrdersPassword)
	own.write(query("SELECT pg_sleep(300) /* of the guesser */")...)
	running(t, s, "of the guesser", true)
	eventually(t, func() error {
		x := dialFrom(t, s, source)
		x.write(cancelPacket(c.pid+1, 1, 2, 3, 4)...)
		x.ended()
		found, err := records(s, all(from(x.source), withCause("cancel_throttled")))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("nothing is throttled")
		}
		return err
	})
	cancel := func(x, session *client) {
		x.write(cancelPacket(session.pid, session.secret...)...)
		x.ended()
	}
	cancel(dialFrom(t, s, source), c)
	running(t, s, "throttle", true)
	for name, session := range map[string]*client{"the one of its own address": own, "one with a long key": long} {
		t.Log(name)
		cancel(dialFrom(t, s, source), session)
		session.complaint("ERROR", "57014", "")
	}
	cancel(dial(t, s), c)
	c.complaint("ERROR", "57014", "")
}
