package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// desk is where the tests log in from.
var desk = netip.MustParseAddr("10.1.2.3")

const testTimeout = 5 * time.Second

func testOptions(ca *x509.CertPool, controllers ...string) Options {
	return Options{
		Domain:      testkit.Domain,
		NetBIOS:     testkit.NetBIOS,
		Controllers: controllers,
		CA:          ca,
		BindName:    "svc-pgcustos@" + testkit.Domain,
		BindPassword: func() (*auth.Secret, error) {
			return auth.NewSecret([]byte(testkit.ReaderPassword)), nil
		},
		Timeout:  testTimeout,
		Services: map[string]auth.Terms{"svc-orders": {Owner: "alice@" + testkit.Domain, Purpose: "the order desk"}},
	}
}

func openDirectory(t *testing.T, o Options) *Directory {
	t.Helper()
	d, err := Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// openShared opens the package's shared controller.
func openShared(t *testing.T) (*Directory, *testkit.Controller) {
	t.Helper()
	c := testkit.SharedController(t)
	return openDirectory(t, testOptions(c.CA.Pool(), c.URL)), c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func authenticate(t *testing.T, d *Directory, name, password string) (auth.Identity, error) {
	t.Helper()
	return d.Authenticate(within(t, 30*time.Second), name, desk, auth.NewSecret([]byte(password)))
}

// wantCause checks that err is a failure of that cause, and returns it.
func wantCause(t *testing.T, err error, cause auth.Cause) *auth.Failure {
	t.Helper()
	var f *auth.Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a failure", err)
	}
	if f.Cause != cause {
		t.Fatalf("got cause %q (%s), want %q", f.Cause, f.Detail, cause)
	}
	return f
}

func groupNames(id auth.Identity) map[string]bool {
	names := map[string]bool{}
	for _, g := range id.Groups {
		names[g.Name] = true
	}
	return names
}

// must runs a step of the fixture.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
