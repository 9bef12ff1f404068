package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestCancelFindsTheHost cancels at the host that the session is at: a Unix socket's
// peer does not tell its path.
func TestCancelFindsTheHost(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	const password = "Cancels-at-the-second-h0st"
	if err := p.Exec(t.Context(), "postgres", "CREATE ROLE reads LOGIN PASSWORD '"+password+"'"); err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{
		Name: "test", Hosts: []Host{{t.TempDir(), p.Port}, {p.Dir, p.Port}}, ConnectTimeout: 20 * time.Second,
		Credentials: map[string]Credential{"reads": Password(func() (*auth.Secret, error) { return auth.NewSecret([]byte(password)), nil })},
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.Connect(t.Context(), Login{Role: "reads", Database: "postgres"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close() //nolint:errcheck // the cluster goes, too
	if _, err := session.Write(pgwire.AppendMessage(nil, pgwire.Query, []byte("SELECT pg_sleep(600)\x00"))); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	err = testkit.WaitFor(ctx, func() error {
		runs, err := p.Value(ctx, "postgres", fmt.Sprintf("SELECT state FROM pg_stat_activity WHERE pid = %d", session.PID))
		if err == nil && runs != "active" {
			err = errors.New("the statement does not run yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if err := session.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if said := answer(t, session); !strings.Contains(said, "57014") {
		t.Errorf("%q", said)
	}
}
