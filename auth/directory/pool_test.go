package directory

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestBindsAreKeptApart: log-ins share connections, and on the one that carries
// binds, where whoever logged in last is somebody, nothing else is asked.
func TestBindsAreKeptApart(t *testing.T) {
	var mu sync.Mutex
	asked := map[net.Conn][]ber.Tag{} // guarded by mu
	f := &fake{search: finds(account()), bind: func(_, password string) (uint16, string) {
		if password == "wrong" {
			return ldap.LDAPResultInvalidCredentials, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1"
		}
		return 0, ""
	}}
	f.raw = func(conn net.Conn, _ int64, op ber.Tag) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[conn] = append(asked[conn], op)
		return false
	}
	d := openDirectory(t, f.start(t))
	logins := func() {
		t.Helper()
		for range 3 {
			_, err := authenticate(t, d, "alice", "right")
			must(t, err)
		}
		_, err := authenticate(t, d, "alice", "wrong")
		wantCause(t, err, auth.CauseWrongPassword)
		_, err = authenticate(t, d, "alice", "right")
		must(t, err)
	}
	logins()
	mu.Lock()
	if len(asked) != 2 {
		t.Errorf("%d connections carried five log-ins: one for binds and one for reading were enough", len(asked))
	}
	for _, ops := range asked {
		binds := 0
		for _, op := range ops {
			if op == ldap.ApplicationBindRequest {
				binds++
			}
		}
		if binds != 1 && binds != len(ops) {
			t.Errorf("a connection carried %d binds among %d operations", binds, len(ops))
		}
	}
	mu.Unlock()

	f.mu.Lock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.mu.Unlock()
	logins() // on fresh ones
}

// TestBindsReplaceEachOther: on a real controller one connection proves passwords
// of several people, right and wrong ones in turn, each for itself.
func TestBindsReplaceEachOther(t *testing.T) {
	d, _ := openShared(t)
	for range 2 {
		id, err := authenticate(t, d, "bob", testkit.BobPassword)
		must(t, err)
		if id.Account != "bob" {
			t.Errorf("bob is %q", id.Account)
		}
		_, err = authenticate(t, d, "carol", testkit.BobPassword)
		wantCause(t, err, auth.CauseWrongPassword)
		id, err = authenticate(t, d, "carol", testkit.CarolPassword)
		must(t, err)
		if id.Account != "carol" {
			t.Errorf("carol is %q", id.Account)
		}
	}
}

// TestPasswordIsNotSentOftener: a controller that ends each connection instead of
// answering to a bind is sent the password on a kept connection, and once on a fresh
// one, however many are kept.
func TestPasswordIsNotSentOftener(t *testing.T) {
	var mute atomic.Bool
	var sent atomic.Int32
	hold := make(chan struct{})
	f := &fake{search: finds(account()), bind: func(string, string) (uint16, string) {
		if !mute.Load() {
			<-hold // so that each has a connection
		}
		return 0, ""
	}}
	f.raw = func(conn net.Conn, _ int64, op ber.Tag) bool {
		if !mute.Load() || op != ldap.ApplicationBindRequest {
			return false
		}
		sent.Add(1)
		_ = conn.Close()
		return true
	}
	o := f.start(t)
	d := openDirectory(t, o)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := d.bind(t.Context(), fakeDN, "right"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		hold <- struct{}{}
	}
	wg.Wait()
	mute.Store(true)
	_, err := d.bind(t.Context(), fakeDN, "right")
	wantCause(t, err, auth.CauseDirectoryDown)
	if n := sent.Load(); n != 2 {
		t.Errorf("the password was sent %d times", n)
	}
}
