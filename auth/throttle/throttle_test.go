package throttle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

var policy = Policy{Threshold: 10, Window: 30 * time.Minute, PerSource: 30, SourceWindow: 10 * time.Minute}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// try makes an attempt, and reports whether it was let through.
func try(t *testing.T, th *Throttle, account string, from netip.Addr, r Result) bool {
	t.Helper()
	done, err := th.Begin(t.Context(), Attempt{Account: account, Source: from, Policy: policy})
	if err != nil {
		var f *auth.Failure
		if !errors.As(err, &f) || f.Cause != auth.CauseThrottled {
			t.Fatalf("refused with %v", err)
		}
		return false
	}
	done(r)
	return true
}

func wrong(t *testing.T, th *Throttle, account string, from netip.Addr, times int) (through int) {
	t.Helper()
	for range times {
		if try(t, th, account, from, Wrong) {
			through++
		}
	}
	return through
}

func TestBudget(t *testing.T) {
	for threshold, want := range map[int]budget{
		0: {8, 4, 3}, 1: {1, 1, 1}, 2: {1, 1, 1}, 3: {2, 1, 1}, 5: {4, 2, 1}, 10: {8, 4, 3}, 20: {16, 8, 7}, 50: {40, 20, 19},
	} {
		p := Policy{Threshold: threshold}
		if got := p.budget(); got != want {
			t.Errorf("%d: %+v, want %+v", threshold, got, want)
		}
	}
}

// TestOwnerGetsIn: strangers use their part up, and the owner still gets in from
// where it is known; one stranger alone keeps it out from nowhere but its own place.
func TestOwnerGetsIn(t *testing.T) {
	th := New()
	home := address(1)
	try(t, th, "alice", home, Right)
	if n := wrong(t, th, "alice", address(2), 50); n != 3 {
		t.Errorf("one stranger guessed %d times", n)
	}
	if !try(t, th, "alice", address(3), Right) {
		t.Error("one stranger keeps alice out from a new desk")
	}
	total := 0
	for i := range 100 {
		total += wrong(t, th, "alice", address(100+i), 50)
	}
	if total != 4 {
		t.Errorf("strangers guessed %d times", total)
	}
	if try(t, th, "alice", address(4), Right) {
		t.Error("a stranger may try still")
	}
	if !try(t, th, "alice", home, Right) {
		t.Error("alice is kept out of her own desk")
	}
	if n := wrong(t, th, "alice", home, 50); n != 8 {
		t.Errorf("a known address guessed %d times", n)
	}
	if try(t, th, "alice", home, Right) {
		t.Error("the account's budget is used up, and yet")
	}
	if !try(t, th, "bob", home, Right) {
		t.Error("bob is kept out for alice's sake")
	}
}

// TestRowEnds: the directory forgets wrong passwords after a time without one, and
// not one after the other.
func TestRowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		total := 0
		for range 20 {
			total += wrong(t, th, "alice", address(total), 1)
			time.Sleep(policy.Window - time.Minute)
			if total == 4 {
				break
			}
		}
		if total != 4 || wrong(t, th, "alice", address(9), 1) != 0 {
			t.Errorf("%d wrong passwords in a row", total)
		}
		time.Sleep(policy.Window + slack + time.Second)
		if !try(t, th, "alice", address(1), Neither) || !try(t, th, "alice", address(1), Right) {
			t.Error("the row has not ended")
		}
	})
}

// TestCountedElsewhere: what the directory has counted at other doors counts.
func TestCountedElsewhere(t *testing.T) {
	th := New()
	begin := func(counted int) error {
		done, err := th.Begin(t.Context(), Attempt{Account: "alice", Source: address(1), Counted: counted, Policy: policy})
		if err == nil {
			done(Neither)
		}
		return err
	}
	if err := begin(7); err != nil {
		t.Error(err)
	}
	if begin(8) == nil {
		t.Error("the ninth is let through")
	}
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		for range 8 {
			try(t, th, "alice", address(1), Lost)
		}
		_, err := th.Begin(t.Context(), Attempt{Account: "alice", Source: address(1), Policy: policy})
		var f *auth.Failure
		if !errors.As(err, &f) || f.Cause != auth.CauseDirectoryDown {
			t.Errorf("got %v", err)
		}
		time.Sleep(lostFor + time.Second)
		if !try(t, th, "alice", address(1), Right) {
			t.Error("what was lost keeps alice out")
		}
	})
}

// TestAtOnce: a pool that connects all at once, with the right password, gets in
// whole; guesses all at once are counted before they are made.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		storm := func(account string, n int, r Result) (through int32) {
			var count, trying, most atomic.Int32
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					done, err := th.Begin(t.Context(), Attempt{Account: account, Source: address(i % 50), Policy: policy})
					if err != nil {
						return
					}
					count.Add(1)
					for now := trying.Add(1); ; {
						if was := most.Load(); now <= was || most.CompareAndSwap(was, now) {
							break
						}
					}
					time.Sleep(20 * time.Millisecond) // of the bubble: what a bind takes
					trying.Add(-1)
					done(r)
				})
			}
			all.Wait()
			if most.Load() > 8 {
				t.Errorf("%d at once", most.Load())
			}
			return count.Load()
		}
		if n := storm("pool", 300, Right); n != 300 {
			t.Errorf("%d of 300 got in", n)
		}
		if n := storm("alice", 300, Wrong); n != 4 {
			t.Errorf("%d guesses were made", n)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	th := New()
	for range 3 {
		if _, err := th.Begin(t.Context(), Attempt{Account: "alice", Source: address(1), Policy: policy}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := th.Begin(ctx, Attempt{Account: "alice", Source: address(1), Policy: policy})
	var f *auth.Failure
	if !errors.As(err, &f) || f.Cause != auth.CauseDirectoryDown {
		t.Errorf("got %v", err)
	}
}

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		a := address(1)
		through := 0
		for i := range 100 {
			through += wrong(t, th, fmt.Sprint("account", i), a, 1)
		}
		if through != policy.PerSource {
			t.Errorf("an address guessed at %d accounts", through)
		}
		if th.Source(a, policy) == nil || th.Source(address(2), policy) != nil {
			t.Error("the wrong address is stopped")
		}
		time.Sleep(policy.SourceWindow / time.Duration(policy.PerSource) * 2)
		if err := th.Source(a, policy); err != nil {
			t.Errorf("time wears nothing off: %v", err)
		}
		six := netip.MustParseAddr("2001:db8::1")
		for range policy.PerSource {
			th.Unknown(six, policy)
		}
		if th.Source(netip.MustParseAddr("2001:db8::2"), policy) == nil || th.Source(netip.MustParseAddr("2001:db8:0:1::1"), policy) != nil {
			t.Error("IPv6 addresses do not count by their /64")
		}
	})
}

// TestKnownPassesSource: an address that guesses at others' accounts does not keep
// those out who log in from there.
func TestKnownPassesSource(t *testing.T) {
	th := New()
	a := address(1)
	try(t, th, "alice", a, Right)
	for range policy.PerSource {
		th.Unknown(a, policy)
	}
	if !try(t, th, "alice", a, Right) || try(t, th, "bob", a, Right) {
		t.Error("who is known there gets in, others do not")
	}
}

// TestMemory: what is remembered has bounds.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		for i := range mostAccounts {
			try(t, th, fmt.Sprint(i), address(i), Wrong)
		}
		if try(t, th, "one more", address(0), Right) || len(th.accounts) > mostAccounts || len(th.sources) > mostSources {
			t.Errorf("%d accounts, %d addresses", len(th.accounts), len(th.sources))
		}
		time.Sleep(policy.Window + slack + time.Second)
		for i := range 3 * mostKnown {
			try(t, th, fmt.Sprint("known", i), address(i), Right)
		}
		if len(th.accounts) != 0 || len(th.known.young)+len(th.known.old) > 2*mostKnown {
			t.Errorf("%d accounts, %d+%d known", len(th.accounts), len(th.known.young), len(th.known.old))
		}
		for i := range 3 * knownEach {
			try(t, th, "traveller", address(i), Right)
		}
		if n := len(th.known.young["traveller"]); n != knownEach {
			t.Errorf("%d addresses of one account", n)
		}
	})
}
