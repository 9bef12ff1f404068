package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/throttle"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// guess tries a password from an address of its own.
func guess(t *testing.T, d *Directory, name, password string, from int) error {
	t.Helper()
	source := netip.AddrFrom4([4]byte{10, 9, byte(from >> 8), byte(from)})
	_, err := d.Authenticate(within(t, 60*time.Second), name, source, auth.NewSecret([]byte(password)))
	return err
}

func lockoutPolicy(t *testing.T, d *Directory) (p throttle.Policy, err error) {
	t.Helper()
	err = d.read(t.Context(), func(c *conn) error {
		p, err = d.readLockout(t.Context(), c)
		return err
	})
	return p, err
}

// badPasswords is the controller's own count of an account.
func badPasswords(t *testing.T, c *testkit.Controller, account string) (count string, locked bool) {
	t.Helper()
	values, err := c.Attributes(t.Context(), account, "badPwdCount", "lockoutTime")
	must(t, err)
	count = values["badPwdCount"]
	return count, values["lockoutTime"] != "" && values["lockoutTime"] != "0"
}

// TestGuessingLocksNobody: fifty wrong passwords under every name of the account,
// one after the other and all at once, from one address and from many.
func TestGuessingLocksNobody(t *testing.T) {
	d, c := openShared(t)
	const password = "Right-Passw0rd-0f-it"
	for i, storm := range []bool{false, true} {
		account := fmt.Sprintf("guessed%d", i)
		must(t, c.CreateUser(t.Context(), account, password, testkit.GroupReaders))
		must(t, guess(t, d, account, password, 1)) // its desk
		names := []string{account, strings.ToUpper(account), account + "@" + testkit.Domain, testkit.NetBIOS + `\` + account}
		var tried atomic.Int32
		var all sync.WaitGroup
		for n := range 50 {
			try := func() {
				err := guess(t, d, names[n%len(names)], "wrong", 100*i+10+n%7)
				if f := failure(err); f.Cause == auth.CauseWrongPassword {
					tried.Add(1)
				} else if f.Cause != auth.CauseThrottled || f.Identity.Account != account {
					t.Errorf("refused as %s of %q: %s", f.Cause, f.Identity.Account, f.Detail)
				}
			}
			if storm {
				all.Go(try)
			} else {
				try()
			}
		}
		all.Wait()
		count, locked := badPasswords(t, c, account)
		if locked || count != fmt.Sprint(tried.Load()) || tried.Load() != 4 {
			t.Errorf("%d guesses were made, the controller has counted %s, locked: %v", tried.Load(), count, locked)
		}
		wantCause(t, guess(t, d, account, password, 5), auth.CauseThrottled)
		must(t, guess(t, d, account, password, 1))
		if count, _ := badPasswords(t, c, account); count != "0" {
			t.Errorf("after the right password the controller has counted %s", count)
		}
		must(t, guess(t, d, account, password, 5))
	}
}

// TestGuessesElsewhere: what the controller has counted at other doors leaves less
// for the proxy.
func TestGuessesElsewhere(t *testing.T) {
	d, c := openShared(t)
	const password = "Right-Passw0rd-0f-it"
	must(t, c.CreateUser(t.Context(), "elsewhere", password, testkit.GroupReaders))
	must(t, guess(t, d, "elsewhere", password, 1))
	other := openDirectory(t, testOptions(c.CA.Pool(), c.URL)) // a replica
	for n := range 4 {
		_ = guess(t, other, "elsewhere", "wrong", 20+n)
	}
	if count, _ := badPasswords(t, c, "elsewhere"); count != "4" {
		t.Fatalf("the controller has counted %s", count)
	}
	var causes []auth.Cause
	for range 6 {
		causes = append(causes, failure(guess(t, d, "elsewhere", "wrong", 1)).Cause)
	}
	if n := slices.Index(causes, auth.CauseThrottled); n != 4 {
		t.Errorf("the replica let through %d, this one %d: %v", 4, n, causes)
	}
	if count, locked := badPasswords(t, c, "elsewhere"); locked || count != "8" {
		t.Errorf("the controller has counted %s, locked: %v", count, locked)
	}
}

// TestWindowOfTheDomain: after the domain's own window the owner gets in from
// anywhere.
func TestWindowOfTheDomain(t *testing.T) {
	c := testkit.NewController(t, testkit.Options{})
	must(t, c.SetDomainAttribute(t.Context(), "lockOutObservationWindow", "-30000000")) // 3 s
	must(t, c.SetDomainAttribute(t.Context(), "lockoutThreshold", "5"))
	o := testOptions(c.CA.Pool(), c.URL)
	d := openDirectory(t, o)
	p, err := lockoutPolicy(t, d)
	must(t, err)
	if want := (throttle.Policy{Threshold: 5, Window: 3 * time.Second}).WithDefaults(); p != want {
		t.Errorf("the policy is %+v, want %+v", p, want)
	}
	for n := range 20 {
		_ = guess(t, d, "bob", "wrong", n)
	}
	wantCause(t, guess(t, d, "bob", testkit.BobPassword, 40), auth.CauseThrottled)
	if count, locked := badPasswords(t, c, "bob"); locked || count != "2" {
		t.Errorf("the controller has counted %s, locked: %v", count, locked)
	}
	must(t, testkit.WaitFor(within(t, 60*time.Second), func() error { return guess(t, d, "bob", testkit.BobPassword, 40) }))
}

func TestStricterThanTheDomain(t *testing.T) {
	c := testkit.SharedController(t)
	o := testOptions(c.CA.Pool(), c.URL)
	o.Guesses = throttle.Policy{Threshold: 3, Window: time.Hour, PerSource: 5, SourceWindow: time.Minute}
	if p, err := lockoutPolicy(t, openDirectory(t, o)); err != nil || p != o.Guesses {
		t.Errorf("the policy is %+v, %v", p, err)
	}
	o.Guesses.Threshold, o.Guesses.Window = 50, time.Second
	if p, err := lockoutPolicy(t, openDirectory(t, o)); err != nil || p.Threshold != testkit.LockoutThreshold || p.Window != 30*time.Minute {
		t.Errorf("the policy is %+v, %v", p, err)
	}
}

// TestThrottledTakesAsLong: that the password of an account is not tried any more costs
// the controller, and so time, what a name costs that is nobody's.
func TestThrottledTakesAsLong(t *testing.T) {
	f := &fake{bind: func(string, string) (uint16, string) { return ldap.LDAPResultInvalidCredentials, "data 52e" }}
	f.search = func(base string, scope int, filter string, attributes []string) ([]*ldap.Entry, uint16) {
		if strings.Contains(filter, "nobody") {
			return nil, 0
		}
		return finds(account())(base, scope, filter, attributes)
	}
	o := f.start(t)
	o.Guesses = throttle.Policy{Threshold: 3, PerSource: 6, SourceWindow: time.Hour}
	d := openDirectory(t, o)
	binds := 0
	expect := func(name string, cause auth.Cause, more int) {
		t.Helper()
		wantCause(t, guess(t, d, name, "wrong", 1), cause)
		names := f.boundBy()
		if binds += more; len(names) != binds {
			t.Errorf("%s, %s: %d binds, want %d", name, cause, len(names), binds)
		}
		if cause != auth.CauseWrongPassword && more > 0 && names[len(names)-1] == fakeDN {
			t.Errorf("%s, %s: the account was tried", name, cause)
		}
	}
	expect("alice", auth.CauseWrongPassword, 1)
	for range 3 {
		expect("alice", auth.CauseThrottled, 1)
		expect("nobody", auth.CauseNoSuchAccount, 1)
	}
	expect("nobody", auth.CauseNoSuchAccount, 1)
	expect("nobody", auth.CauseNoSuchAccount, 1)
	expect("nobody", auth.CauseThrottled, 0) // the address has asked for too many
	expect("alice", auth.CauseThrottled, 0)
}

// TestGuessingNames: names that are nobody's count for the address.
func TestGuessingNames(t *testing.T) {
	c := testkit.SharedController(t)
	o := testOptions(c.CA.Pool(), c.URL)
	o.Guesses = throttle.Policy{PerSource: 5, SourceWindow: time.Hour}
	d := openDirectory(t, o)
	for from, name := range map[int]string{1: "nobody", 3: "DC1$", 4: testkit.GroupReaders} {
		want := auth.CauseNoSuchAccount
		if name != "nobody" {
			want = auth.CauseNotAPerson
		}
		for n := range 8 {
			if n >= 5 {
				want = auth.CauseThrottled
			}
			wantCause(t, guess(t, d, name, "wrong", from), want)
		}
	}
	wantCause(t, guess(t, d, "alice", testkit.AlicePassword, 1), auth.CauseThrottled)
	must(t, guess(t, d, "alice", testkit.AlicePassword, 2))
}
