package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestWrongCertificates(t *testing.T) {
	c := testkit.SharedController(t)
	other, err := testkit.NewCA("somebody else's")
	must(t, err)
	for _, test := range []struct {
		what   string
		change func(*Options)
		says   string
	}{
		{"another CA", func(o *Options) { o.CA = other.Pool() }, "certificate"},
		{"another name", func(o *Options) { o.ServerName = "dc9.corp.example.com" }, "dc9.corp.example.com"},
		{"no TLS there", func(o *Options) { o.Controllers[0] = strings.Replace(c.URL, ":636", ":389", 1) }, ":389"},
		{"nobody there", func(o *Options) { o.Controllers[0] = "ldaps://127.0.0.1:1" }, "refused"},
	} {
		t.Run(test.what, func(t *testing.T) {
			o := testOptions(c.CA.Pool(), c.URL)
			o.Timeout = time.Second // what speaks no TLS may just wait
			test.change(&o)
			d := openDirectory(t, o)
			_, err := authenticate(t, d, "alice", testkit.AlicePassword)
			f := wantCause(t, err, auth.CauseDirectoryDown)
			if !strings.Contains(f.Detail, test.says) {
				t.Errorf("the detail is %q", f.Detail)
			}
			wantCause(t, d.Probe(t.Context()), auth.CauseDirectoryDown)
		})
	}
	o := testOptions(c.CA.Pool(), c.URL)
	o.ServerName = testkit.ControllerName
	must(t, openDirectory(t, o).Probe(t.Context()))
}

func TestExpiredCertificate(t *testing.T) {
	ca, err := testkit.NewCA("CORP")
	must(t, err)
	expired, err := ca.Issue(testkit.Leaf{
		Names: []string{testkit.ControllerName}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		NotAfter: time.Now().Add(-time.Minute),
	})
	must(t, err)
	c := testkit.NewController(t, testkit.Options{CA: ca, Certificate: expired})
	o := testOptions(ca.Pool(), c.URL)
	o.ServerName = testkit.ControllerName
	f := wantCause(t, openDirectory(t, o).Probe(t.Context()), auth.CauseDirectoryDown)
	if !strings.Contains(f.Detail, "expired") {
		t.Errorf("the detail is %q", f.Detail)
	}
}

func TestFrozenController(t *testing.T) {
	c := testkit.NewController(t, testkit.Options{})
	const timeout = 2 * time.Second // which nobody waits for twice, nor once whose own time is shorter
	o := testOptions(c.CA.Pool(), c.URL)
	o.Timeout = timeout
	d := openDirectory(t, o)
	id, err := authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err) // a reading connection is kept from now on
	must(t, c.Freeze())
	for what, call := range map[string]func(context.Context) error{
		"authenticate": func(ctx context.Context) error {
			_, err := d.Authenticate(ctx, "alice", desk, auth.NewSecret([]byte(testkit.AlicePassword)))
			return err
		},
		"refresh": func(ctx context.Context) error { _, err := d.Refresh(ctx, id); return err },
		"probe":   d.Probe,
	} {
		start := time.Now()
		wantCause(t, call(t.Context()), auth.CauseDirectoryDown)
		if took := time.Since(start); took >= 2*timeout {
			t.Errorf("%s took %s", what, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start = time.Now()
		err := call(ctx)
		cancel()
		if f := wantCause(t, err, auth.CauseDirectoryDown); !errors.Is(f, context.DeadlineExceeded) && !strings.Contains(f.Error(), "timeout") {
			t.Errorf("%s: %v", what, f)
		}
		if took := time.Since(start); took >= timeout {
			t.Errorf("%s outlived its context by %s", what, took)
		}
	}
	must(t, c.Thaw())
	must(t, testkit.WaitFor(within(t, 10*time.Second), func() error { return d.Probe(t.Context()) }))
	_, err = authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)
}

func TestFailover(t *testing.T) {
	ca, err := testkit.NewCA("CORP")
	must(t, err)
	first := testkit.NewController(t, testkit.Options{CA: ca})
	second := testkit.NewController(t, testkit.Options{CA: ca})
	o := testOptions(ca.Pool(), first.URL, second.URL)
	o.Timeout = 6 * time.Second // so that a loaded machine is not taken for a dead controller
	d := openDirectory(t, o)
	_, err = authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)

	must(t, first.Freeze())
	var wg sync.WaitGroup
	for range 40 { // a storm of log-ins waits for the first once
		wg.Go(func() {
			if _, err := d.Authenticate(t.Context(), "bob", desk, auth.NewSecret([]byte(testkit.BobPassword))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	id, err := d.Lookup(t.Context(), "alice")
	must(t, err)
	start := time.Now()
	_, err = authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)
	if took := time.Since(start); took > o.Timeout*3/4 {
		t.Errorf("the second log-in waited for the frozen controller again: %s", took)
	}
	must(t, first.Kill())
	_, err = d.Refresh(t.Context(), id)
	must(t, err)

	must(t, second.Kill())
	_, err = authenticate(t, d, "alice", testkit.AlicePassword)
	wantCause(t, err, auth.CauseDirectoryDown)
	must(t, first.Start(t.Context())) // asked last, and yet asked
	_, err = authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)
}

func TestRestartedControllerIsNoFailure(t *testing.T) {
	c := testkit.NewController(t, testkit.Options{})
	d := openDirectory(t, testOptions(c.CA.Pool(), c.URL))
	must(t, d.Probe(t.Context()))
	must(t, c.Kill())
	must(t, c.Start(t.Context()))
	must(t, d.Probe(t.Context())) // the kept connection is dead
}

func TestReadingAccountRefused(t *testing.T) {
	c := testkit.NewController(t, testkit.Options{})
	o := testOptions(c.CA.Pool(), c.URL)
	password := "Not-the-0ne"
	o.BindPassword = func() (*auth.Secret, error) { return auth.NewSecret([]byte(password)), nil }
	d := openDirectory(t, o)
	for range 2 * testkit.LockoutThreshold {
		_, err := authenticate(t, d, "alice", testkit.AlicePassword)
		f := wantCause(t, err, auth.CauseDirectoryDown)
		if !strings.Contains(f.Detail, "reading account") || strings.Contains(f.Detail, password) {
			t.Fatalf("the detail is %q", f.Detail)
		}
	}
	password = testkit.ReaderPassword // rotated; the account is not locked out
	_, err := authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)

	o.BindPassword = func() (*auth.Secret, error) { return nil, errors.New("no such file") }
	wantCause(t, openDirectory(t, o).Probe(t.Context()), auth.CauseDirectoryDown)
	o.BindPassword = func() (*auth.Secret, error) { return auth.NewSecret(nil), nil }
	wantCause(t, openDirectory(t, o).Probe(t.Context()), auth.CauseDirectoryDown)
}

func TestManyAtOnce(t *testing.T) {
	d, _ := openShared(t)
	var wg sync.WaitGroup
	for range 20 {
		for _, who := range []struct {
			name, password string
			good           bool
		}{
			{"bob", testkit.BobPassword, true},
			{"carol", testkit.CarolPassword, true},
			{"nobody", testkit.CarolPassword, false},
		} {
			wg.Go(func() {
				_, err := d.Authenticate(t.Context(), who.name, desk, auth.NewSecret([]byte(who.password)))
				if (err == nil) != who.good {
					t.Errorf("%s: %v", who.name, err)
				}
			})
		}
	}
	wg.Wait()
	for _, c := range d.known() {
		for p, most := range map[*pool]int{&c.readers: mostReaders, &c.binders: mostBinds} {
			p.mu.Lock()
			if len(p.idle) > most {
				t.Errorf("%d connections are kept, of %d at most", len(p.idle), most)
			}
			p.mu.Unlock()
		}
	}
}

// TestTimeDoesNotTellExistence compares the medians of refusals: an account that
// exists and one that does not.
func TestTimeDoesNotTellExistence(t *testing.T) {
	c := testkit.SharedController(t)
	d := openDirectory(t, testOptions(c.CA.Pool(), c.URL))
	const accounts, tries = 3, 3 // as many as the throttle lets through
	for n := range accounts {
		must(t, c.CreateUser(t.Context(), fmt.Sprint("timed", n), "Just-F0r-a-Clock"))
	}
	median := func(name string, cause auth.Cause) time.Duration {
		var all []time.Duration
		for n := range accounts * tries {
			start := time.Now()
			_, err := authenticate(t, d, fmt.Sprint(name, n%accounts), "Not-the-0ne")
			wantCause(t, err, cause)
			all = append(all, time.Since(start))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	exists, unknown := median("timed", auth.CauseWrongPassword), median("nobody.at.all", auth.CauseNoSuchAccount)
	t.Logf("exists %s, unknown %s", exists, unknown)
	if difference := (exists - unknown).Abs(); difference%blurStep > blurStep/4 && difference%blurStep < blurStep*3/4 {
		t.Errorf("an account that exists takes %s, one that does not %s", exists, unknown)
	}
}
