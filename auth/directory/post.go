package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// post is where a watch stands: one connection to one controller, for uSN values
// are that controller's own.
type post struct {
	watch      *watch
	controller *controller
	conn       *conn
	notices    notices
	stop       context.CancelFunc

	usn    uint64    // the highest that was seen
	polled time.Time // when the controller was asked last what has changed
	looked time.Time // when the accounts were looked at last
	// handled are the entries that were announced since, with their uSNChanged.
	handled map[string]uint64
}

func (w *watch) open(ctx context.Context, c *controller) (*post, error) {
	conn, err := w.d.dialReader(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &post{watch: w, controller: c, conn: conn, notices: notices{wake: make(chan struct{}, 1)}, handled: make(map[string]uint64)}
	listening, stop := context.WithCancel(ctx)
	p.stop = stop
	p.polled, p.looked = time.Now(), time.Now()
	if p.usn, err = p.highest(ctx); err != nil {
		p.close()
		return nil, err
	}
	c.names.forget()
	c.names.confirm(p.polled)
	p.notices.listen(listening, w.d, conn, c.names.forget)
	return p, nil
}

func (p *post) close() {
	p.controller.names.distrust()
	p.stop()
	p.conn.close()
	p.notices.work.Wait()
}

// highest reads the uSN of the controller's newest change.
func (p *post) highest(ctx context.Context) (uint64, error) {
	entries, err := p.watch.d.search(ctx, p.conn, "", ldap.ScopeBaseObject, anything, []string{"highestCommittedUSN"})
	if err != nil {
		return 0, err
	}
	if len(entries) == 1 {
		if n, err := strconv.ParseUint(entries[0].GetEqualFoldAttributeValue("highestCommittedUSN"), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, &unreachable{fmt.Errorf("%s: no highestCommittedUSN", p.controller.url)}
}

// changedFilter finds what has a uSN from that number on, of what matters.
const changedFilter = "(&(uSNChanged>=%d)(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit)(objectClass=container)))"

// mostPolled bounds what one poll may find: what a controller gives without pages
// (MaxPageSize).
const mostPolled = 1000

// errAfresh ends a watch that has lost count, to begin again.
var errAfresh = errors.New("too much has changed")

// poll adds what has changed since the last poll, but for what was announced.
func (p *post) poll(ctx context.Context, n *news, anybody bool) error {
	began := time.Now()
	highest, err := p.highest(ctx)
	if err != nil {
		return err
	}
	var found []*ldap.Entry
	switch {
	case highest < p.usn:
		return errAfresh // the controller was set back to an older state
	case highest > p.usn && anybody:
		found, err = p.watch.d.searchMost(ctx, p.conn, p.watch.d.base, ldap.ScopeWholeSubtree, fmt.Sprintf(changedFilter, p.usn+1), changedAttributes, mostPolled)
		var gone *unreachable
		if errors.As(err, &gone) {
			return err
		}
		if err != nil {
			return errAfresh
		}
	case highest > p.usn:
		p.controller.names.forget()
	}
	for _, e := range found {
		c, ok := readChanged(e)
		if !ok || c.kind != kindAccount {
			p.controller.names.forget()
		}
		if ok && p.handled[c.guid] < c.usn {
			n.add(c, p.polled)
		}
	}
	p.controller.names.confirm(began)
	clear(p.handled)
	p.usn, p.polled = highest, began
	return nil
}

// affected returns the accounts that a change may have happened to: those that
// changed, those in a group that changed, and those that have come into one.
func (p *post) affected(ctx context.Context, n *news, own, guests []auth.Identity) ([]auth.Identity, error) {
	accounts := slices.Concat(own, guests)
	if n.since.IsZero() || len(accounts) == 0 {
		return nil, nil
	}
	touched := make(map[string]bool)
	all := n.all
	byGUID := make(map[string]string, len(own))
	for i := range own {
		byGUID[own[i].GUID] = own[i].Key()
	}
	for guid, c := range n.entries {
		p.handled[guid] = c.usn
		switch c.kind {
		case kindOther:
		case kindPlace:
			all = true
		case kindAccount:
			touched[byGUID[guid]] = true
		case kindGroup:
			members, err := p.members(ctx, guid)
			if err != nil {
				return nil, err
			}
			all = all || members == nil
			for i := range accounts {
				if id := &accounts[i]; inGroup(id, c.sid) || isMember(id, members) || p.watch.d.isGuest(id, members) {
					touched[id.Key()] = true
				}
			}
		}
	}
	if all {
		return accounts, nil
	}
	return those(accounts, touched), nil
}

// members reads the members of a group by their folded DN, nil where there are too
// many of them.
func (p *post) members(ctx context.Context, guid string) (map[string]bool, error) {
	d := p.watch.d
	members := make(map[string]bool)
	entries, err := d.search(ctx, p.conn, "<GUID="+guid+">", ldap.ScopeBaseObject, anything, []string{"member"})
	if err == nil && len(entries) == 1 {
		var values [][]byte
		values, err = d.allValues(ctx, p.conn, entries[0], "member")
		for _, dn := range values {
			members[strings.ToLower(string(dn))] = true
		}
	}
	var gone *unreachable
	if errors.As(err, &gone) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return members, nil
}

func inGroup(id *auth.Identity, sid string) bool {
	return slices.ContainsFunc(id.Groups, func(g auth.Group) bool { return g.SID == sid })
}

// isMember reports whether the account, or a group that it is in, is among them.
func isMember(id *auth.Identity, members map[string]bool) bool {
	return members[strings.ToLower(id.DN)] ||
		slices.ContainsFunc(id.Groups, func(g auth.Group) bool { return g.DN != "" && members[strings.ToLower(g.DN)] })
}
