package directory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// kind is what a changed entry is, as far as it matters to accounts.
type kind uint8

const (
	kindOther kind = iota
	kindAccount
	kindGroup
	kindPlace // an organisational unit: all below it have other names now
)

// changed is an entry that changed.
type changed struct {
	guid, sid string
	kind      kind
	usn       uint64
}

// The attributes of a changed entry.
var changedAttributes = []string{"objectGUID", "objectSid", "objectClass", "uSNChanged"}

func readChanged(e *ldap.Entry) (changed, bool) {
	var c changed
	var err error
	if c.guid, err = guidText(e.GetEqualFoldRawAttributeValue("objectGUID")); err != nil {
		return c, false
	}
	c.sid, _ = sidText(e.GetEqualFoldRawAttributeValue("objectSid")) // places have none
	c.usn, _ = strconv.ParseUint(e.GetEqualFoldAttributeValue("uSNChanged"), 10, 64)
	is := func(class string) bool {
		return slices.ContainsFunc(e.GetEqualFoldAttributeValues("objectClass"), func(s string) bool { return strings.EqualFold(s, class) })
	}
	switch {
	case is("group"):
		c.kind = kindGroup
	case is("user"):
		c.kind = kindAccount
	case is("organizationalUnit"), is("container"):
		c.kind = kindPlace
	}
	return c, true
}

// news is what has changed.
type news struct {
	since   time.Time          // when the first of it was noticed; zero for none
	entries map[string]changed // by GUID
	all     bool               // more than could be kept: anything may have changed
}

// mostNews bounds what is kept of changes. Beyond it every account is read again.
const mostNews = 1000

func (n *news) add(c changed, since time.Time) {
	if c.kind == kindOther {
		return
	}
	if n.since.IsZero() || since.Before(n.since) {
		n.since = since
	}
	if n.entries == nil {
		n.entries = make(map[string]changed)
	}
	n.all = n.all || len(n.entries) >= mostNews
	if !n.all {
		n.entries[c.guid] = c
	}
}

// notices are what a controller announces (MS-ADTS section 3.1.1.3.4.1.9).
type notices struct {
	wake chan struct{} // a token when there is something
	work sync.WaitGroup

	mu   sync.Mutex
	news news // guarded by mu
}

// listen asks a controller to announce changes. They come behind the answers to
// what else is asked on that connection, so that both are of one controller. Other is
// called for what is no account.
func (n *notices) listen(ctx context.Context, d *Directory, c *conn, other func()) {
	// A control of this kind goes with this filter alone, and never ends: nothing may
	// wait for it.
	request := ldap.NewSearchRequest(d.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, anything,
		changedAttributes, []ldap.Control{ldap.NewControlMicrosoftNotification()})
	response := c.ldap.SearchAsync(ctx, request, 16)
	n.work.Go(func() {
		for response.Next() {
			if e := response.Entry(); e != nil {
				n.hear(e, other)
			}
		}
		if ctx.Err() == nil && response.Err() != nil && !c.ldap.IsClosing() {
			d.log.Warn("a domain controller does not announce changes: it is asked each second", "error", response.Err())
		}
	})
}

func (n *notices) hear(e *ldap.Entry, other func()) {
	c, ok := readChanged(e)
	if !ok || c.kind != kindAccount {
		other()
	}
	if !ok {
		return
	}
	n.mu.Lock()
	n.news.add(c, time.Now())
	some := !n.news.since.IsZero()
	n.mu.Unlock()
	if !some {
		return
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notices) take() news {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := n.news
	n.news = news{}
	return got
}
