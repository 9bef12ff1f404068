package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// NewController starts a controller of the test's own.
func NewController(tb testing.TB, options Options) *Controller {
	tb.Helper()
	c, err := StartController(tb.Context(), "", options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// NewPostgres starts an empty cluster of the test's own.
func NewPostgres(tb testing.TB, options PostgresOptions) *Postgres {
	tb.Helper()
	p, err := StartPostgres(tb.Context(), "", options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// shared are the servers of a test binary, started when they are first asked
// for and stopped by Main.
var shared struct {
	mu         sync.Mutex
	main       bool
	controller *Controller
	other      *Controller
	postgres   *Postgres
	site       *Site
}

// SharedController returns the controller that all tests of the package share.
// A test leaves the people of the seed as they are and makes its own, under
// names that no other test uses. The package needs Main.
func SharedController(tb testing.TB) *Controller {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	needMain(tb)
	if shared.controller == nil {
		// Not the test's context: the controller outlives it.
		c, err := StartController(context.Background(), "", Options{})
		if err != nil {
			tb.Fatal(err)
		}
		shared.controller = c
	}
	return shared.controller
}

// SharedOther returns a controller of OTHER.EXAMPLE that all tests of the package share,
// likewise.
func SharedOther(tb testing.TB) *Controller {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	needMain(tb)
	if shared.other == nil {
		c, err := StartController(context.Background(), "", Options{Other: true})
		if err != nil {
			tb.Fatal(err)
		}
		shared.other = c
	}
	return shared.other
}

// SharedPostgres returns the cluster that all tests of the package share, with
// the orders database. The package needs Main.
func SharedPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	needMain(tb)
	if shared.postgres == nil {
		p, err := StartPostgres(context.Background(), "", PostgresOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		shared.postgres = p
		if err := p.SetupOrders(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	return shared.postgres
}

func needMain(tb testing.TB) {
	tb.Helper()
	if !shared.main {
		tb.Fatal("a package that shares servers needs: func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }")
	}
}

// Main runs the tests, stops what they shared, and fails when a goroutine is
// left over. It returns the exit code.
func Main(m *testing.M, leaks ...goleak.Option) int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shared servers:", err)
		return 1
	}
	if code == 0 {
		if err := goleak.Find(leaks...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func stopShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var errs []error
	if shared.site != nil {
		errs = append(errs, shared.site.Stop())
	}
	if shared.controller != nil {
		errs = append(errs, shared.controller.Stop())
	}
	if shared.other != nil {
		errs = append(errs, shared.other.Stop())
	}
	if shared.postgres != nil {
		errs = append(errs, shared.postgres.Stop())
	}
	return errors.Join(errs...)
}
