package directory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// An account can be in groups of other domains: these hold a foreignSecurityPrincipal
// with its SID, or with that of a group that it is in (MS-ADTS section 6.1.1.4.10).
// They are looked for at that other domain, which alone vouches for its groups.

// guestPatience bounds what a log-in waits for another domain's word. One that does
// not answer in time is not waited for again until it does.
const guestPatience = 2 * time.Second

// part tells the domain's own accounts from those of other domains.
func (d *Directory) part(accounts []auth.Identity) (own, guests []auth.Identity) {
	if d.options.SID == "" {
		return accounts, nil
	}
	for i := range accounts {
		switch {
		case d.mine(&accounts[i]):
			own = append(own, accounts[i])
		case d.host(&accounts[i]) != nil:
			guests = append(guests, accounts[i])
		}
	}
	return own, guests
}

func (d *Directory) mine(id *auth.Identity) bool {
	return d.options.SID == "" || d.owns(id.SID) && id.Domain == d.options.Domain
}

// host returns which of the other domains the account is of.
func (d *Directory) host(id *auth.Identity) *Directory {
	for _, p := range d.peers {
		if p.mine(id) {
			return p
		}
	}
	return nil
}

// complete adds the groups of other domains to an account that was read. Those of one
// that does not answer are missing, and the account says so.
func (d *Directory) complete(ctx context.Context, id *auth.Identity) {
	if len(d.peers) == 0 {
		return
	}
	sids := d.ownSIDs(id)
	found, errs := make([][]auth.Group, len(d.peers)), make([]error, len(d.peers))
	var work sync.WaitGroup
	for i, p := range d.peers {
		work.Go(func() { found[i], errs[i] = p.guest(ctx, sids) })
	}
	work.Wait()
	for i, p := range d.peers {
		if errs[i] != nil {
			id.Unheard = append(id.Unheard, p.options.Domain)
		}
		id.Groups = append(id.Groups, found[i]...)
	}
}

// ownSIDs are those of the account and its groups that its domain gives out, by
// which others know it.
func (d *Directory) ownSIDs(id *auth.Identity) [][]byte {
	var sids [][]byte
	add := func(sid string) {
		if b, err := sidBytes(sid); err == nil && d.owns(sid) {
			sids = append(sids, b)
		}
	}
	add(id.SID)
	for i := range id.Groups {
		add(id.Groups[i].SID)
	}
	return sids
}

var errAway = errors.New("no controller has answered lately")

// away reports whether no controller has answered lately. It waits for nothing.
func (d *Directory) away() bool {
	known := d.known()
	if len(known) == 0 && d.seeking.CompareAndSwap(false, true) {
		d.aside(func(ctx context.Context) {
			defer d.seeking.Store(false)
			_, _ = d.discover(ctx) // whoever logs in to this domain hears why not
		})
	}
	away, now := true, d.now().UnixNano()
	for _, c := range known {
		switch until := c.down.Load(); {
		case until == 0:
			away = false
		case until <= now:
			d.revive(c)
		}
	}
	return away
}

// guest finds the groups that a stranger with these SIDs is in.
func (d *Directory) guest(ctx context.Context, sids [][]byte) (groups []auth.Group, err error) {
	if d.away() {
		return nil, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, min(guestPatience, d.options.Timeout))
	defer cancel()
	err = d.read(ctx, func(c *conn) error {
		groups, err = d.guestGroups(ctx, c, sids)
		return err
	})
	return groups, err
}

func (d *Directory) guestGroups(ctx context.Context, c *conn, sids [][]byte) ([]auth.Group, error) {
	var members []string
	for some := range slices.Chunk(sids, chunk) {
		filter := "(&(objectClass=foreignSecurityPrincipal)" + anyOf("objectSid", some) + ")"
		entries, err := d.search(ctx, c, strangers+d.base, ldap.ScopeSingleLevel, filter, []string{"objectSid"})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if isOneOf(e.GetEqualFoldRawAttributeValue("objectSid"), some) && d.holds(e.DN) {
				members = append(members, e.DN)
			}
		}
	}
	return d.climb(ctx, c, members)
}

// memberships adds how an account of another domain, or one of its groups there, comes to
// be in this one's. The way is for people to read: what is not told is missing.
func (d *Directory) memberships(ctx context.Context, id *auth.Identity, sids [][]byte, m *Memberships) error {
	return d.read(ctx, func(c *conn) error {
		for _, g := range id.Groups {
			if g.Domain != d.options.Domain {
				continue
			}
			above, err := d.holding(ctx, c, []string{g.DN})
			if err != nil {
				return err
			}
			for i := range above {
				m.above[g.SID] = append(m.above[g.SID], above[i].SID)
			}
		}
		for _, b := range sids {
			sid, err := sidText(b)
			if err != nil {
				continue // it was one before
			}
			groups, err := d.holding(ctx, c, []string{"CN=" + sid + "," + strangers + d.base})
			if err != nil {
				return err
			}
			for i := range groups {
				if sid == id.SID {
					m.direct[groups[i].SID] = true
				} else {
					m.above[sid] = append(m.above[sid], groups[i].SID)
				}
			}
		}
		return nil
	})
}

// holding finds the groups that one of these is a member of.
func (d *Directory) holding(ctx context.Context, c *conn, members []string) ([]auth.Group, error) {
	dns := make([][]byte, len(members))
	for i := range members {
		dns[i] = []byte(members[i])
	}
	entries, err := d.searchMost(ctx, c, d.base, ldap.ScopeWholeSubtree, "(&(objectClass=group)"+anyOf("member", dns)+")",
		[]string{"objectSid", "sAMAccountName", "groupType"}, mostPolled)
	if err != nil {
		return nil, err
	}
	var groups []auth.Group
	for _, e := range entries {
		if g, ok := d.securityGroup(e); ok {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// strangers is where a domain keeps foreignSecurityPrincipals, each named by its SID.
const strangers = "CN=ForeignSecurityPrincipals,"

func isOneOf(sid []byte, some [][]byte) bool {
	return slices.ContainsFunc(some, func(s []byte) bool { return string(s) == string(sid) })
}

// membersAtOnce is how many members' groups are looked for by one filter: a controller
// gives no more than mostPolled groups at once.
const membersAtOnce = 20

// climb finds the groups that these entries are members of, and those that these groups
// are in. An entry's own memberOf would tell, but not everybody who may read a group.
func (d *Directory) climb(ctx context.Context, c *conn, next []string) (groups []auth.Group, err error) {
	seen := make(map[string]bool)
	for len(next) > 0 {
		members := next
		next = nil
		for some := range slices.Chunk(members, membersAtOnce) {
			above, err := d.holding(ctx, c, some)
			if err != nil {
				return nil, err
			}
			for _, g := range above {
				if !seen[g.SID] {
					seen[g.SID] = true
					groups, next = append(groups, g), append(next, g.DN)
				}
			}
		}
		if len(groups) > mostGroups {
			return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: "the account is in too many groups"}
		}
	}
	return groups, nil
}

// GROUP_TYPE_SECURITY_ENABLED of groupType (MS-ADTS section 2.2.12), which is a
// signed number of 32 bits. What has not got it is a list of addresses.
const securityEnabled = 1 << 31

// securityGroup reads a group that the domain has a say in.
func (d *Directory) securityGroup(e *ldap.Entry) (auth.Group, bool) {
	sid, err := sidText(e.GetEqualFoldRawAttributeValue("objectSid"))
	kind, kindErr := strconv.ParseInt(e.GetEqualFoldAttributeValue("groupType"), 10, 64)
	if err != nil || kindErr != nil || kind&securityEnabled == 0 || !d.owns(sid) || !d.holds(e.DN) {
		return auth.Group{}, false
	}
	return auth.Group{SID: sid, Name: d.groupName(e.GetEqualFoldAttributeValue("sAMAccountName")), DN: e.DN, Domain: d.options.Domain}, true
}

// isGuest reports whether the account, or a group of its own domain that it is in, is
// among members of a group of this one.
func (d *Directory) isGuest(id *auth.Identity, members map[string]bool) bool {
	host := d.host(id)
	if host == nil {
		return false
	}
	is := func(sid string) bool {
		return host.owns(sid) && members[strings.ToLower("CN="+sid+","+strangers+d.base)]
	}
	return is(id.SID) || slices.ContainsFunc(id.Groups, func(g auth.Group) bool { return is(g.SID) })
}

// guestPause is how long after a vain question for an account's groups the next is.
const guestPause = 5 * time.Second

// asking is the last question for the groups of an account of another domain.
type asking struct {
	by   *post
	at   time.Time
	sids [][]byte // those that the account had when its groups were read
	// read is the last reading of the account that had the same ones.
	read time.Time
}

// dueGuests returns the accounts of other domains that are to be asked for: of each once
// since the watch stands, and again when they are in other groups at home, were not
// told of, or when that was long ago.
func (p *post) dueGuests(guests []auth.Identity) []auth.Identity {
	w, now := p.watch, time.Now()
	var due []auth.Identity
	for i := range guests {
		id := &guests[i]
		last := w.asking(id)
		missing := slices.Contains(id.Unheard, w.d.options.Domain) && now.Sub(last.at) > guestPause
		old := last.by != p || now.Sub(last.at) > w.recheck()
		if (old || missing || w.moved(id, last)) && len(due) < mostRereads {
			due = append(due, *id)
			last.by, last.at = p, now
		}
	}
	w.forgetGuests(guests)
	return due
}

// moved reports whether the account is in other groups at home than when it was asked
// for.
func (w *watch) moved(id *auth.Identity, last *asking) bool {
	if id.Read.Equal(last.read) {
		return false
	}
	if !same(last.sids, w.d.host(id).ownSIDs(id)) {
		return true
	}
	last.read = id.Read
	return false
}

// asking returns what is known of an account of another domain: of a new one, that its
// groups were read when it logged in.
func (w *watch) asking(id *auth.Identity) *asking {
	key := id.Key()
	last := w.guests[key]
	if last == nil {
		last = &asking{sids: w.d.host(id).ownSIDs(id)}
		w.guests[key] = last
	}
	return last
}

func (w *watch) forgetGuests(guests []auth.Identity) {
	live := make(map[string]bool, len(guests))
	for i := range guests {
		live[guests[i].Key()] = true
	}
	maps.DeleteFunc(w.guests, func(key string, _ *asking) bool { return !live[key] })
}

// same reports whether two lists have the same SIDs.
func same(a, b [][]byte) bool {
	return slices.EqualFunc(a, b, bytes.Equal) || !lacks(a, b) && !lacks(b, a)
}

// lacks reports whether one of a is not in b.
func lacks(a, b [][]byte) bool {
	return slices.ContainsFunc(a, func(sid []byte) bool { return !isOneOf(sid, b) })
}

// told notes that the groups of an account of another domain were read. It may be called
// for several at once, with a lock held.
func (w *watch) told(id *auth.Identity) {
	last := w.asking(id)
	last.sids, last.read = w.d.host(id).ownSIDs(id), id.Read
}

// takeBack is for a domain that does not answer: its groups go from accounts that have
// lost something at home since it told of them, for they may rest on that.
func (w *watch) takeBack() {
	_, guests := w.d.part(w.roll.Accounts())
	for i := range guests {
		id := &guests[i]
		if sids := w.d.host(id).ownSIDs(id); lacks(w.asking(id).sids, sids) {
			w.guests[id.Key()].sids = sids
			w.roll.Changed(auth.Change{Key: id.Key(), Guest: w.d.options.Domain, Now: auth.Identity{Unheard: []string{w.d.options.Domain}}, Since: id.Read})
		}
	}
	w.forgetGuests(guests)
}

// rereadGuest reads the groups here of an account of another domain. What the
// directory does not tell, the account has not got.
func (p *post) rereadGuest(ctx context.Context, id *auth.Identity, since time.Time) (auth.Change, error) {
	d := p.watch.d
	change := auth.Change{Key: id.Key(), Guest: d.options.Domain, Since: since}
	if since.IsZero() {
		change.Since = id.Read
	}
	sids := d.host(id).ownSIDs(id)
	err := d.readAt(ctx, p.controller, func(c *conn) (err error) {
		change.Now.Groups, err = d.guestGroups(ctx, c, sids)
		return err
	})
	if isUnreachable(err) {
		return change, err
	}
	if err != nil {
		d.log.Warn("the groups of an account of another domain cannot be read", "account", id.Handle(), "error", err)
		change.Now = auth.Identity{Unheard: []string{d.options.Domain}}
	}
	return change, nil
}

// spread has other domains look for the account's groups there, when it is in other
// ones here.
func (p *post) spread(was, is *auth.Identity) {
	d := p.watch.d
	if same(d.ownSIDs(was), d.ownSIDs(is)) {
		return
	}
	for _, peer := range d.peers {
		select {
		case peer.nudged <- struct{}{}:
		default:
		}
	}
}

// hear notes that the domain is watched.
func (d *Directory) hear() { d.heard.Store(int64(time.Since(d.born))) }

var _ auth.Silence = (*Domains)(nil)

// Silent implements auth.Silence. A domain that is not configured is silent since
// these were opened.
func (ds *Domains) Silent(domain string) time.Duration {
	for _, d := range ds.all {
		if d.options.Domain == domain {
			return time.Since(d.born) - time.Duration(d.heard.Load())
		}
	}
	return time.Since(ds.all[0].born)
}
