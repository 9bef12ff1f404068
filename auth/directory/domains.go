package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

var (
	_ auth.Authenticator = (*Domains)(nil)
	_ auth.Resolver      = (*Domains)(nil)
)

// Domains are all domains that know people. Which one is asked the name decides, or
// the account's SID: no other stands in for it. It is safe for concurrent use.
type Domains struct {
	all  []*Directory
	home *Directory // whose accounts names without a domain are; nil where there are none
	// several tells that each vouches for its own alone.
	several bool
}

// OpenDomains opens several domains, or one that is alone: then its options have no
// SID. Home is the DNS name of the one that names without a domain are of; empty for
// none. As Open, it connects to nothing.
func OpenDomains(list []Options, home string, log *slog.Logger) (_ *Domains, err error) {
	ds := &Domains{}
	defer func() {
		if err != nil {
			err = errors.Join(err, ds.Close())
		}
	}()
	for i := range list {
		o := &list[i]
		ds.several = o.SID != ""
		if !ds.several && len(list) > 1 {
			return ds, fmt.Errorf("directory: the SID of the domain %s is missing", o.Domain)
		}
		named := log
		if ds.several {
			named = log.With("domain", o.Domain)
		}
		d, err := Open(*o, named)
		if err != nil {
			return ds, err
		}
		ds.all = append(ds.all, d)
		if !ds.several || o.Domain == home {
			ds.home = d
		}
	}
	if len(ds.all) == 0 {
		return ds, errors.New("directory: no domain")
	}
	for _, d := range ds.all {
		d.qualified = ds.several && d != ds.home
		for _, other := range ds.all {
			if other != d {
				d.peers = append(d.peers, other)
			}
		}
	}
	return ds, nil
}

// Close closes all of them.
func (ds *Domains) Close() error {
	var errs []error
	for _, d := range ds.all {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Follow takes over since when each domain has been silent, where old knew it. It comes
// before any other use.
func (ds *Domains) Follow(old *Domains) {
	for _, d := range ds.all {
		for _, o := range old.all {
			if o.options.Domain == d.options.Domain {
				d.born = o.born
				d.heard.Store(o.heard.Load())
			}
		}
	}
}

// All returns the domains, in their order.
func (ds *Domains) All() []*Directory { return ds.all }

// Domain returns the domain's DNS name.
func (d *Directory) Domain() string { return d.options.Domain }

// Timeout returns what bounds each operation.
func (d *Directory) Timeout() time.Duration { return d.options.Timeout }

// Place tells which domain a name is of, by nothing but its form.
func (ds *Domains) Place(typed string) (*Directory, error) {
	if !ds.several {
		return ds.home, nil
	}
	if detail := malformed(typed); detail != "" {
		return nil, &auth.Failure{Cause: auth.CauseMalformedName, Detail: detail}
	}
	unknown := func(what string) error {
		return &auth.Failure{Cause: auth.CauseUnknownDomain, Detail: fmt.Sprintf("no domain is configured with the %s", clip(what))}
	}
	if netbios, _, found := strings.Cut(typed, `\`); found {
		for _, d := range ds.all {
			if lower(netbios) == lower(d.options.NetBIOS) {
				return d, nil
			}
		}
		return nil, unknown("NetBIOS name " + netbios)
	}
	if at := strings.LastIndexByte(typed, '@'); at >= 0 {
		suffix := typed[at+1:]
		for _, d := range ds.all {
			if d.hasSuffix(suffix) {
				return d, nil
			}
		}
		return nil, unknown("UPN suffix " + suffix)
	}
	if ds.home == nil {
		return nil, &auth.Failure{Cause: auth.CauseDomainNotNamed, Detail: `the name has no domain, and no domain is the default: alice@domain or DOMAIN\alice`}
	}
	return ds.home, nil
}

// lower folds ASCII alone: the names of domains have nothing else, and what Unicode
// folds to a letter of theirs is another name.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func (d *Directory) hasSuffix(suffix string) bool {
	suffix = lower(suffix)
	if suffix == lower(d.options.Domain) {
		return true
	}
	for _, s := range d.options.Suffixes {
		if suffix == s {
			return true
		}
	}
	return false
}

// of returns the domain of an account, by its SID where there are several; nil where
// it is none of these.
func (ds *Domains) of(id *auth.Identity) *Directory {
	if !ds.several {
		return ds.home
	}
	for _, d := range ds.all {
		if d.owns(id.SID) && (id.Domain == "" || id.Domain == d.options.Domain) {
			return d
		}
	}
	return nil
}

// owns reports whether a SID is one that the domain itself gives out.
func (d *Directory) owns(sid string) bool { return ownSID(d.options.SID, sid) }

// ownSID reports whether a SID is a domain's: its own, and one number.
func ownSID(domain, sid string) bool {
	rid, found := strings.CutPrefix(sid, domain+"-")
	return found && domain != "" && rid != "" && !strings.Contains(rid, "-")
}

// Authenticate implements auth.Authenticator.
func (ds *Domains) Authenticate(ctx context.Context, typed string, source netip.Addr, password *auth.Secret) (auth.Identity, error) {
	start := time.Now()
	d, err := ds.Place(typed)
	if err != nil {
		id, err := refuse(err, auth.Identity{})
		blur(ctx, start)
		return id, err
	}
	return d.Authenticate(ctx, typed, source, password)
}

// Lookup implements auth.Resolver.
func (ds *Domains) Lookup(ctx context.Context, typed string) (auth.Identity, error) {
	d, err := ds.Place(typed)
	if err != nil {
		return refuse(err, auth.Identity{})
	}
	return d.Lookup(ctx, typed)
}

// Refresh implements auth.Resolver.
func (ds *Domains) Refresh(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	d := ds.of(&id)
	if d == nil {
		return refuse(notConfigured(&id), id)
	}
	return d.Refresh(ctx, id)
}

func notConfigured(id *auth.Identity) *auth.Failure {
	return &auth.Failure{Cause: auth.CauseUnknownDomain, Detail: clip("no domain is configured that the account is of: " + id.SID)}
}

// Named tells whether a name is of one of the domains, by its form alone.
func (ds *Domains) Named(typed string) error {
	_, err := ds.Place(typed)
	return err
}

// Probe reports whether each of the domains answers, in the same order. None waits for
// another.
func (ds *Domains) Probe(ctx context.Context) []error {
	errs := make([]error, len(ds.all))
	var work sync.WaitGroup
	for i, d := range ds.all {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 2*d.options.Timeout)
			defer cancel()
			errs[i] = d.Probe(ctx)
		})
	}
	work.Wait()
	return errs
}

// Memberships is that of the account's domain.
func (ds *Domains) Memberships(ctx context.Context, id auth.Identity) (*Memberships, error) {
	d := ds.of(&id)
	if d == nil {
		return nil, notConfigured(&id)
	}
	m, err := d.Memberships(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, p := range d.peers {
		told := func(g auth.Group) bool { return g.Domain == p.options.Domain }
		if !slices.ContainsFunc(id.Groups, told) {
			continue
		}
		if err := p.memberships(ctx, &id, d.ownSIDs(&id), m); err != nil {
			return nil, failure(err)
		}
	}
	return m, nil
}

// Watch implements auth.Watcher.
func (ds *Domains) Watch(ctx context.Context, roll auth.Roll) {
	var work sync.WaitGroup
	for _, d := range ds.all {
		work.Go(func() { d.Watch(ctx, roll) })
	}
	work.Wait()
}

// Adopt gives an account that was read under another configuration the names, and the
// terms of a service, that it has by this one: a controller may not be there to read it
// again. The failure says that none of these domains knows it.
func (ds *Domains) Adopt(id auth.Identity) (auth.Identity, error) {
	d := ds.of(&id)
	if d == nil || id.Domain != d.options.Domain {
		return id, notConfigured(&id)
	}
	id.NetBIOS, id.Qualified = d.options.NetBIOS, false
	if ds.several {
		if err := d.confine(&id); err != nil {
			return id, &auth.Failure{Cause: auth.CauseUnknownDomain, Detail: clip(err.Error()), Err: err}
		}
	}
	d.declare(&id)
	groups := make([]auth.Group, 0, len(id.Groups))
	for _, g := range id.Groups {
		if ds.adoptGroup(d, &g) {
			groups = append(groups, g)
		}
	}
	id.Groups = groups
	return id, nil
}

// adoptGroup names a group of an account of d, and reports whether it still has it.
func (ds *Domains) adoptGroup(d *Directory, g *auth.Group) bool {
	from := d
	if !ds.several && g.Domain != "" && g.Domain != d.options.Domain {
		return false
	}
	if ds.several && !d.vouches(g.SID) {
		if from = ds.giver(g.SID); from == nil {
			return false
		}
	}
	bare := g.Name
	if netbios, name, found := strings.Cut(bare, `\`); found && lower(netbios) == lower(from.options.NetBIOS) {
		bare = name
	}
	g.Name = from.groupName(bare)
	return true
}

// giver returns the domain that gives a SID out, nil where it is none of these.
func (ds *Domains) giver(sid string) *Directory {
	for _, d := range ds.all {
		if d.owns(sid) {
			return d
		}
	}
	return nil
}
