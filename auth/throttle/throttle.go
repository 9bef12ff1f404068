package throttle

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// Throttle counts. It is safe for concurrent use; there is one in a process,
// which outlives configurations.
type Throttle struct {
	now func() time.Time

	mu       sync.Mutex
	accounts map[string]*account // guarded by mu, as is what follows
	known    known
	sources  map[netip.Prefix]*level
}

// mostAccounts and mostSources bound what is remembered. Only accounts that exist
// get here, and those of which a password was wrong lately stay.
const (
	mostAccounts = 1 << 16
	mostSources  = 1 << 16
)

// New makes a throttle that has seen nothing.
func New() *Throttle {
	return &Throttle{now: time.Now, accounts: make(map[string]*account), sources: make(map[netip.Prefix]*level)}
}

// account is one whose password was wrong lately, or is being tried.
type account struct {
	row       int // wrong passwords in a row
	strangers int // of these, from addresses that were not known
	bySource  map[netip.Prefix]int
	last      time.Time // the last of them

	// lost are passwords whose trial nobody answered: they may have been counted.
	lost   int
	lostAt time.Time

	trying, tryingStrangers int
	tryingBySource          map[netip.Prefix]int
	users                   int           // attempts that wait or are under way
	rows                    int           // how many rows have ended
	ended                   chan struct{} // closed, and replaced, when an attempt ends
}

// Attempt is one password that is to be tried.
type Attempt struct {
	Account string // Identity.Key
	Source  netip.Addr
	// Counted is how many wrong passwords in a row the directory has counted; 0
	// where it does not say.
	Counted int
	Policy  Policy
}

// Result is what became of an attempt.
type Result uint8

// The results.
const (
	// Right is the right password, of an account that may log in.
	Right Result = iota
	// Wrong is one that the directory counts.
	Wrong
	// Neither is one that the directory refused for another cause.
	Neither
	// Lost is one that was sent and not answered.
	Lost
)

// lostFor is how long a lost attempt counts. The next one comes after the
// directory has answered a search: by then it has done what it was sent before.
const lostFor = 30 * time.Second

// Begin lets an attempt be made, or refuses it with auth.CauseThrottled. While
// others are under way that could use the budget up, it waits for their end, or
// that of ctx. After an attempt that was let through, the caller calls done, once.
func (t *Throttle) Begin(ctx context.Context, a Attempt) (done func(Result), err error) {
	source := prefix(a.Source)
	t.mu.Lock()
	defer t.mu.Unlock()
	x, err := t.account(&a)
	if err != nil {
		return nil, err
	}
	x.users++
	defer func() {
		if err != nil {
			t.leave(a.Account, x)
		}
	}()
	elsewhere, rows := max(0, a.Counted-x.row), x.rows
	for {
		if x.rows != rows {
			elsewhere, rows = 0, x.rows
		}
		t.forget(x, &a.Policy)
		friend := t.known.has(a.Account, source)
		if err := t.refuse(x, &a, source, friend, elsewhere); err != nil {
			return nil, err
		}
		if !x.crowded(a.Policy.budget(), source, friend, elsewhere) {
			x.begin(source, friend)
			return func(r Result) { t.end(&a, x, source, friend, r) }, nil
		}
		if err := t.wait(ctx, x); err != nil {
			return nil, err
		}
	}
}

// account returns what is known of the attempt's account.
func (t *Throttle) account(a *Attempt) (*account, error) {
	if x := t.accounts[a.Account]; x != nil {
		return x, nil
	}
	if len(t.accounts) >= mostAccounts {
		t.sweep(&a.Policy)
	}
	if len(t.accounts) >= mostAccounts {
		return nil, throttled("passwords of %d accounts were wrong lately", mostAccounts)
	}
	x := &account{bySource: make(map[netip.Prefix]int), tryingBySource: make(map[netip.Prefix]int), ended: make(chan struct{})}
	t.accounts[a.Account] = x
	return x, nil
}

// sweep removes the accounts that there is nothing to remember of.
func (t *Throttle) sweep(p *Policy) {
	for guid, x := range t.accounts {
		t.forget(x, p)
		if x.idle() {
			delete(t.accounts, guid)
		}
	}
}

// forget ends a row, as the directory does.
func (t *Throttle) forget(x *account, p *Policy) {
	now := t.now()
	if x.row > 0 && now.Sub(x.last) > p.Window+slack {
		x.endRow()
	}
	if x.lost > 0 && now.Sub(x.lostAt) > lostFor {
		x.lost = 0
	}
}

func (x *account) endRow() {
	x.row, x.strangers = 0, 0
	clear(x.bySource)
	x.rows++
}

// refuse says why no attempt can be made now, whatever becomes of those under
// way.
func (t *Throttle) refuse(x *account, a *Attempt, source netip.Prefix, friend bool, elsewhere int) error {
	b := a.Policy.budget()
	until := x.last.Add(a.Policy.Window + slack).UTC().Format(time.RFC3339)
	switch {
	case x.row+elsewhere >= b.account:
		return throttled("%d wrong passwords of the account in a row, %d of them counted elsewhere; the domain locks it at %d",
			x.row+elsewhere, elsewhere, a.Policy.Threshold)
	case x.row+elsewhere+x.lost >= b.account:
		return &auth.Failure{
			Cause: auth.CauseDirectoryDown, Detail: fmt.Sprintf("%d passwords of the account were sent to the directory and not answered", x.lost),
		}
	case friend:
		return nil
	case x.bySource[source] >= b.source:
		return throttled("%d wrong passwords of the account from %s, until %s", x.bySource[source], source, until)
	case x.strangers >= b.strangers:
		return throttled("%d wrong passwords of the account from addresses that it has not logged in from lately, until %s", x.strangers, until)
	}
	return t.refuseSource(source, &a.Policy)
}

// crowded reports whether the attempts under way could use the budget up.
func (x *account) crowded(b budget, source netip.Prefix, friend bool, elsewhere int) bool {
	if x.row+x.lost+elsewhere+x.trying >= b.account {
		return true
	}
	return !friend && (x.strangers+x.tryingStrangers >= b.strangers || x.bySource[source]+x.tryingBySource[source] >= b.source)
}

func (x *account) begin(source netip.Prefix, friend bool) {
	x.trying++
	if !friend {
		x.tryingStrangers++
		x.tryingBySource[source]++
	}
}

// wait lets go of the lock until an attempt has ended.
func (t *Throttle) wait(ctx context.Context, x *account) error {
	ended := x.ended
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return &auth.Failure{
			Cause: auth.CauseDirectoryDown, Detail: "the directory does not answer for other log-ins of the account", Err: ctx.Err(),
		}
	}
}

// end counts what became of an attempt.
func (t *Throttle) end(a *Attempt, x *account, source netip.Prefix, friend bool, r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.trying--
	if !friend {
		x.tryingStrangers--
		if x.tryingBySource[source]--; x.tryingBySource[source] == 0 {
			delete(x.tryingBySource, source)
		}
	}
	switch r {
	case Right:
		x.endRow()
		x.lost = 0
		t.known.add(a.Account, source)
	case Wrong:
		x.row++
		x.bySource[source]++
		if !friend {
			x.strangers++
		}
		x.last = t.now()
		t.countSource(source, &a.Policy)
	case Lost:
		x.lost++
		x.lostAt = t.now()
	case Neither:
	}
	close(x.ended)
	x.ended = make(chan struct{})
	t.leave(a.Account, x)
}

// leave forgets an account that nobody tries and of which nothing is to be
// remembered.
func (t *Throttle) leave(guid string, x *account) {
	if x.users--; x.idle() {
		delete(t.accounts, guid)
	}
}

func (x *account) idle() bool { return x.users == 0 && x.row == 0 && x.lost == 0 }

func throttled(format string, args ...any) error {
	return &auth.Failure{Cause: auth.CauseThrottled, Detail: fmt.Sprintf(format, args...)}
}
