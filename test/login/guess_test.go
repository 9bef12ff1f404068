package login

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// connectFrom logs in from an address of loopback.
func connectFrom(t *testing.T, s *testkit.Site, source, user, password string) (*pgconn.PgConn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := pgconn.ParseConfig(s.DSN(user, password, testkit.OrdersDatabase))
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c.DialFunc = dialer.DialContext
	c.ConnectTimeout = 0
	return pgconn.ConnectConfig(ctx, c)
}

// causeOf expects a refusal, and returns its SQLSTATE with the cause on record.
func causeOf(t *testing.T, s *testkit.Site, err error) (sqlstate string, cause auth.Cause) {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("refused with %v", err)
	}
	id := incidents.FindStringSubmatch(e.Detail)
	if id == nil {
		t.Fatalf("no incident: %+v", e)
	}
	r := s.Await(t, "it", func(r *journal.Record) bool { return r.Incident == id[1] })
	if r.Type != audit.Authentication || r.Decision != audit.Denied {
		t.Errorf("recorded as %s %s", r.Type, r.Decision)
	}
	return e.Code, auth.Cause(r.Cause)
}

// TestGuessing: fifty wrong passwords through the proxy lock nobody out. Every one
// is told the same; the owner gets in from where it did before.
func TestGuessing(t *testing.T) {
	t.Parallel()
	s := site(t)
	const password, desk = "Right-Passw0rd-0f-it", "127.20.0.1"
	if err := s.Controller.CreateUser(t.Context(), "guessed", password, testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	enter := func(source string) error {
		conn, err := connectFrom(t, s, source, "guessed", password)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}
	if err := enter(desk); err != nil {
		t.Fatal(err)
	}
	causes := map[auth.Cause]int{}
	var message string
	for n := range 50 {
		_, err := connectFrom(t, s, fmt.Sprintf("127.20.1.%d", n%10), []string{"guessed", `CORP\guessed`, "guessed@corp.example.com"}[n%3], "wrong")
		code, cause := causeOf(t, s, err)
		causes[cause]++
		var e *pgconn.PgError
		errors.As(err, &e)
		if says := code + e.Message[:strings.IndexByte(e.Message, '"')] + e.Hint; message == "" {
			message = says
		} else if says != message {
			t.Errorf("%s is told %q, another one %q", cause, says, message)
		}
	}
	if causes[auth.CauseWrongPassword] != 4 || causes[auth.CauseThrottled] != 46 {
		t.Errorf("recorded as %v", causes)
	}
	values, err := s.Controller.Attributes(t.Context(), "guessed", "badPwdCount", "lockoutTime")
	if err != nil || values["badPwdCount"] != "4" || values["lockoutTime"] != "" && values["lockoutTime"] != "0" {
		t.Errorf("the controller says %v, %v", values, err)
	}
	if _, cause := causeOf(t, s, enter("127.20.2.1")); cause != auth.CauseThrottled {
		t.Errorf("the right password of a stranger is refused as %s", cause)
	}
	if err := enter(desk); err != nil {
		t.Errorf("the owner is kept out: %v", err)
	}
	if err := enter("127.20.2.1"); err != nil {
		t.Errorf("after the right password, the row is not over: %v", err)
	}
}

// TestPool: a hundred connections at once with the right password, as a pool
// makes them.
func TestPool(t *testing.T) {
	t.Parallel()
	s := site(t)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			conn, err := connectFrom(t, s, "127.21.0.1", "svc-orders", testkit.OrdersPassword)
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
