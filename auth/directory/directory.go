package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/throttle"
)

var (
	_ auth.Authenticator = (*Directory)(nil)
	_ auth.Resolver      = (*Directory)(nil)
)

// Directory is one domain. It is safe for concurrent use.
type Directory struct {
	options Options
	base    string // DC=corp,DC=example,DC=com
	fleet   fleet
	log     *slog.Logger
	now     func() time.Time

	// qualified tells that a name without a domain means another domain's account.
	qualified bool
	// peers are the other domains, whose groups the accounts may be in. Static from
	// OpenDomains on.
	peers []*Directory
	born  time.Time
	// heard is when the domain was watched last, in nanoseconds since born.
	heard atomic.Int64
	// nudged has a token when accounts of other domains are to be asked for.
	nudged chan struct{}
	// seeking: somebody looks for the first controllers.
	seeking atomic.Bool

	readers, binds chan struct{} // a place for each connection in use
	refused        refusal
	throttle       *throttle.Throttle
	lockout        lockout

	closing struct {
		mu   sync.Mutex // held where work begins, and where it ends
		ctx  context.Context
		end  context.CancelFunc
		work sync.WaitGroup
	}
}

// Open checks the options and returns the directory. It connects to nothing yet:
// a proxy starts, and refuses log-ins, while the directory is down. Probe tells.
func Open(o Options, log *slog.Logger) (*Directory, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	d := &Directory{
		options: o,
		log:     log,
		now:     time.Now,
		born:    time.Now(),
		nudged:  make(chan struct{}, 1),
		readers: make(chan struct{}, mostReaders),
		binds:   make(chan struct{}, mostBinds),

		throttle: o.Throttle,
	}
	d.fleet.finding = make(chan struct{}, 1)
	d.closing.ctx, d.closing.end = context.WithCancel(context.Background())
	if d.throttle == nil {
		d.throttle = throttle.New()
	}
	var components []string
	for label := range strings.SplitSeq(o.Domain, ".") {
		components = append(components, "DC="+ldap.EscapeDN(label))
	}
	d.base = strings.Join(components, ",")
	for _, raw := range o.Controllers {
		c, err := newController(raw, &o)
		if err != nil {
			return nil, fmt.Errorf("directory: %w", err)
		}
		d.fleet.list = append(d.fleet.list, c)
	}
	return d, nil
}

// domainSID is what the SIDs of domains look like (MS-DTYP section 2.4.2.4).
var domainSID = regexp.MustCompile(`^S-1-5-21-[0-9]+-[0-9]+-[0-9]+$`)

func (o *Options) validate() error {
	switch {
	case o.Domain == "" || strings.HasPrefix(o.Domain, ".") || strings.HasSuffix(o.Domain, ".") || strings.Contains(o.Domain, ".."):
		return fmt.Errorf("%q is not the DNS name of a domain", o.Domain)
	case o.NetBIOS == "":
		return errors.New("the domain's NetBIOS name is missing")
	case o.SID != "" && !domainSID.MatchString(o.SID):
		return fmt.Errorf("%q is not the SID of a domain", o.SID)
	case len(o.Controllers) == 0 && !o.Discover:
		return errors.New("no controllers")
	case len(o.Controllers) > 0 && o.Discover:
		return errors.New("controllers are listed, and looked for")
	case o.BindName == "" || o.BindPassword == nil:
		return errors.New("no reading account")
	case o.Timeout <= 0:
		return errors.New("no timeout")
	}
	return nil
}

// Close closes the connections that are kept. Operations that run end by
// themselves.
func (d *Directory) Close() error {
	d.closing.mu.Lock()
	d.closing.end()
	d.closing.mu.Unlock()
	d.closing.work.Wait()
	for _, c := range d.known() {
		c.shutDown()
	}
	return nil
}

// longestPassword bounds a password, in bytes. Active Directory's have at most
// 256 characters.
const longestPassword = 1024

// Authenticate implements auth.Authenticator.
//
// The account is looked up first, and the bind is made with its distinguished
// name: what a client typed never names the account that a password is tried
// on. State and groups are read after the bind.
func (d *Directory) Authenticate(ctx context.Context, typed string, source netip.Addr, password *auth.Secret) (auth.Identity, error) {
	if password == nil || password.Len() == 0 {
		// A controller answers an empty password with success (RFC 4513, section
		// 5.1.2): it must never see one.
		return refuse(&auth.Failure{Cause: auth.CauseEmptyPassword}, auth.Identity{})
	}
	if password.Len() > longestPassword {
		return refuse(&auth.Failure{Cause: auth.CauseWrongPassword, Detail: "longer than any password"}, auth.Identity{})
	}
	n, malformed := d.parseName(typed)
	if malformed != nil {
		return refuse(malformed, auth.Identity{})
	}
	start := time.Now()
	id, err := d.prove(ctx, n, source, password)
	if err != nil && failure(err).Cause != auth.CauseDirectoryDown {
		blur(ctx, start)
	}
	return id, err
}

// prove is Authenticate behind the checks that need no directory.
func (d *Directory) prove(ctx context.Context, n name, source netip.Addr, password *auth.Secret) (auth.Identity, error) {
	found, attempt, err := d.meet(ctx, n, source)
	if err != nil {
		if cause := failure(err).Cause; cause != auth.CauseDirectoryDown && cause != auth.CauseThrottled {
			if down := d.bindNobody(ctx); down != nil {
				err = down
			}
		}
		return refuse(err, found)
	}
	if err := d.try(ctx, found.DN, password, attempt); err != nil {
		if failure(err).Cause == auth.CauseThrottled && d.throttle.Source(source, attempt.Policy) == nil {
			// An address that may ask for names that are nobody's has them tried.
			if down := d.bindNobody(ctx); down != nil {
				err = down
			}
		}
		return refuse(err, found)
	}
	id, err := d.reload(ctx, found)
	if err != nil {
		return refuse(err, found)
	}
	if !auth.SameName(id.DN, found.DN) {
		// It was moved or renamed in between: another one may have got its name.
		return refuse(&auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: "the account was renamed during the log-in"}, id)
	}
	if cause := id.State.Barred(); cause != auth.CauseNone {
		return refuse(&auth.Failure{Cause: cause, Detail: "the account's state, read after a bind that succeeded"}, id)
	}
	// A controller does not hold binds to it: it makes the password random when the flag is
	// set, and whoever may set passwords can set another one.
	if cause, why := id.Restricts(auth.Password); cause != auth.CauseNone {
		return refuse(&auth.Failure{Cause: cause, Detail: why}, id)
	}
	return id, nil
}

// Lookup implements auth.Resolver. An account that is barred is returned as it
// is: its State says so.
func (d *Directory) Lookup(ctx context.Context, typed string) (auth.Identity, error) {
	n, malformed := d.parseName(typed)
	if malformed != nil {
		return refuse(malformed, auth.Identity{})
	}
	var id auth.Identity
	err := d.read(ctx, func(c *conn) error {
		found, err := d.find(ctx, c, n)
		if err != nil {
			return err
		}
		id, err = d.load(ctx, c, found.GUID, c.names)
		return err
	})
	if err != nil {
		return refuse(err, id)
	}
	d.complete(ctx, &id)
	return id, nil
}

// Refresh implements auth.Resolver. As with Lookup, a barred account is no error.
func (d *Directory) Refresh(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	fresh, err := d.reload(ctx, id)
	if err != nil {
		return refuse(err, id)
	}
	return fresh, nil
}

func (d *Directory) reload(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	var fresh auth.Identity
	err := d.read(ctx, func(c *conn) error {
		var err error
		fresh, err = d.load(ctx, c, id.GUID, c.names)
		return err
	})
	if err == nil && id.SID != "" && fresh.SID != id.SID {
		err = &auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: "the account's SID is another one now"}
	}
	if err == nil {
		d.complete(ctx, &fresh)
	}
	return fresh, err
}

// Probe reports whether a controller answers and accepts the reading account.
func (d *Directory) Probe(ctx context.Context) error {
	err := d.read(ctx, func(c *conn) error {
		entries, err := d.search(ctx, c, d.base, ldap.ScopeBaseObject, anything, []string{"objectSid"})
		if err == nil && len(entries) != 1 {
			return &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: "there is no " + d.base}
		}
		if err == nil && d.options.SID != "" {
			return d.checkSID(entries[0])
		}
		return err
	})
	if err != nil {
		return failure(err)
	}
	return nil
}

// checkSID compares the domain's own SID with that of the configuration.
func (d *Directory) checkSID(domain *ldap.Entry) error {
	is, err := sidText(domain.GetEqualFoldRawAttributeValue("objectSid"))
	if err == nil && is == d.options.SID {
		return nil
	}
	return &auth.Failure{Cause: auth.CauseForeignSID, Detail: fmt.Sprintf("the SID of %s is %q, and %q in the configuration", d.options.Domain, is, d.options.SID)}
}

// refuse returns no identity beside the failure that holds what was learnt.
func refuse(err error, learnt auth.Identity) (auth.Identity, error) {
	f := *failure(err) // some failures are remembered: not to be written to
	if f.Identity.GUID == "" {
		f.Identity = learnt
	}
	return auth.Identity{}, &f
}

// failure makes a *auth.Failure of any error; one that is nothing else is the
// directory's.
func failure(err error) *auth.Failure {
	var f *auth.Failure
	if errors.As(err, &f) {
		return f
	}
	return down(err)
}
