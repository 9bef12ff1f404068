package directory

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/throttle"
)

// The attributes by which a controller counts wrong passwords. They are not
// replicated; that of the controller which is asked is what there is. A reading
// account that may not read them costs no more than that.
var countAttributes = []string{"badPwdCount", "badPasswordTime"}

// lockout is what the domain does about wrong passwords, as it was read last.
type lockout struct {
	mu     sync.Mutex
	policy throttle.Policy // guarded by mu
	until  time.Time       // guarded by mu
}

// lockoutFor is how long it is not read again.
const lockoutFor = time.Minute

// What is assumed of a domain that does not let the reading account see it: it is
// stricter than nearly all.
const (
	assumedThreshold = 5
	assumedWindow    = 30 * time.Minute
)

// meet finds the account that a name stands for, and what the throttle has to know
// about an attempt at it.
func (d *Directory) meet(ctx context.Context, n name, source netip.Addr) (found auth.Identity, a throttle.Attempt, err error) {
	err = d.read(ctx, func(c *conn) error {
		policy, err := d.guesses(ctx, c)
		if err != nil {
			return err
		}
		a = throttle.Attempt{Source: source, Policy: policy}
		var e *ldap.Entry
		e, found, err = d.findEntry(ctx, c, n, append(countAttributes[:len(countAttributes):len(countAttributes)], accountAttributes...))
		if err != nil {
			return err
		}
		a.Account, a.Counted = found.Key(), d.counted(e, policy.Window)
		return nil
	})
	if err == nil || !nobodys[failure(err).Cause] {
		return found, a, err
	}
	if limit := d.throttle.Source(source, a.Policy); limit != nil {
		return found, a, limit
	}
	d.throttle.Unknown(source, a.Policy)
	return found, a, err
}

// nobodys are the causes for which a name is no person's: who asks for such names is slowed,
// whether or not a computer or group is called so.
var nobodys = map[auth.Cause]bool{auth.CauseNoSuchAccount: true, auth.CauseNotAPerson: true}

// try makes an attempt at a password, when the throttle lets it.
func (d *Directory) try(ctx context.Context, dn string, password *auth.Secret, a throttle.Attempt) error {
	done, err := d.throttle.Begin(ctx, a)
	if err != nil {
		return err
	}
	lost, err := d.bind(ctx, dn, password.Reveal())
	switch {
	case err == nil:
		done(throttle.Right)
	case failure(err).Cause == auth.CauseDirectoryDown && lost > 0:
		done(throttle.Lost)
	case countedCauses[failure(err).Cause]:
		done(throttle.Wrong)
	default:
		done(throttle.Neither)
	}
	return err
}

// countedCauses are the refusals after which a controller has counted one more.
var countedCauses = map[auth.Cause]bool{auth.CauseWrongPassword: true, auth.CauseNoSuchAccount: true, auth.CauseDirectoryAnswer: true}

// counted is how many wrong passwords in a row the controller has counted.
func (d *Directory) counted(e *ldap.Entry, window time.Duration) int {
	n, err := strconv.Atoi(e.GetEqualFoldAttributeValue("badPwdCount"))
	ticks, timeErr := strconv.ParseInt(e.GetEqualFoldAttributeValue("badPasswordTime"), 10, 64)
	if err != nil || timeErr != nil || n <= 0 || d.now().Sub(ntTime(ticks)) > window {
		return 0
	}
	return n
}

// guesses says how many wrong passwords may be tried: as the domain has it, or as
// the configuration, where that is stricter.
func (d *Directory) guesses(ctx context.Context, c *conn) (throttle.Policy, error) {
	d.lockout.mu.Lock()
	p, fresh := d.lockout.policy, d.now().Before(d.lockout.until)
	d.lockout.mu.Unlock()
	if fresh {
		return p, nil
	}
	p, err := d.readLockout(ctx, c)
	if err != nil {
		return p, err
	}
	d.lockout.mu.Lock()
	defer d.lockout.mu.Unlock()
	d.lockout.policy, d.lockout.until = p, d.now().Add(lockoutFor)
	return p, nil
}

func (d *Directory) readLockout(ctx context.Context, c *conn) (throttle.Policy, error) {
	p := d.options.Guesses.WithDefaults()
	entries, err := d.search(ctx, c, d.base, ldap.ScopeBaseObject, anything, []string{"lockoutThreshold", "lockOutObservationWindow"})
	if err != nil {
		return p, err
	}
	root := &ldap.Entry{}
	if len(entries) == 1 {
		root = entries[0]
	}
	threshold, err := strconv.Atoi(root.GetEqualFoldAttributeValue("lockoutThreshold"))
	// Times are negative numbers of 100 ns (MS-ADA1 section 2.353).
	ticks, windowErr := strconv.ParseInt(root.GetEqualFoldAttributeValue("lockOutObservationWindow"), 10, 64)
	window := time.Duration(-ticks) * 100
	if err != nil || windowErr != nil || threshold < 0 || window < 0 {
		threshold, window = assumedThreshold, assumedWindow
	}
	if p.Threshold == 0 || threshold > 0 && threshold < p.Threshold {
		p.Threshold = threshold
	}
	p.Window = max(p.Window, window)
	return p, nil
}
