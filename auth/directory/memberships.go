package directory

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// Memberships are how an account comes to be in its groups. The rules need none of
// it: it is for people who ask why.
type Memberships struct {
	direct map[string]bool     // SIDs of the groups that it is a member of itself
	above  map[string][]string // by SID, the SIDs of the groups that a group is a member of
	groups map[string]auth.Group
}

// Memberships reads how an account comes to be in its groups.
func (d *Directory) Memberships(ctx context.Context, id auth.Identity) (*Memberships, error) {
	m := &Memberships{direct: map[string]bool{}, above: map[string][]string{}, groups: map[string]auth.Group{}}
	bySID := make(map[string]string, len(id.Groups)) // by folded DN
	for _, g := range id.Groups {
		m.groups[g.SID] = g
		if g.DN != "" {
			bySID[strings.ToLower(g.DN)] = g.SID
		}
	}
	err := d.read(ctx, func(c *conn) error {
		entries, err := d.search(ctx, c, "<GUID="+id.GUID+">", ldap.ScopeBaseObject, anything, []string{"memberOf", "primaryGroupID"})
		if err != nil || len(entries) != 1 {
			return err
		}
		of, err := d.memberOf(ctx, c, entries[0], bySID)
		for _, sid := range append(of, primaryGroup(id.SID, entries[0])) {
			m.direct[sid] = true
		}
		if err != nil {
			return err
		}
		return d.readAbove(ctx, c, m, bySID)
	})
	if err != nil {
		return nil, failure(err)
	}
	return m, nil
}

// readAbove reads what each of the groups is a member of.
func (d *Directory) readAbove(ctx context.Context, c *conn, m *Memberships, bySID map[string]string) error {
	var sids [][]byte
	for sid := range m.groups {
		if b, err := sidBytes(sid); err == nil {
			sids = append(sids, b)
		}
	}
	for some := range slices.Chunk(sids, chunk) {
		entries, err := d.search(ctx, c, d.base, ldap.ScopeWholeSubtree, anyOf("objectSid", some), []string{"objectSid", "memberOf"})
		if err != nil {
			return err
		}
		for _, e := range entries {
			sid, err := sidText(e.GetEqualFoldRawAttributeValue("objectSid"))
			if err != nil {
				continue // nobody asked for it
			}
			if m.above[sid], err = d.memberOf(ctx, c, e, bySID); err != nil {
				return err
			}
		}
	}
	return nil
}

// anyOf is a filter for the entries with one of the values.
func anyOf(attribute string, values [][]byte) string {
	var filter strings.Builder
	filter.WriteString("(|")
	for _, value := range values {
		filter.WriteString("(" + attribute + "=" + escape(value) + ")")
	}
	return filter.String() + ")"
}

// memberOf returns the SIDs of the account's groups that the entry is a member of.
func (d *Directory) memberOf(ctx context.Context, c *conn, e *ldap.Entry, bySID map[string]string) ([]string, error) {
	values, err := d.allValues(ctx, c, e, "memberOf")
	var sids []string
	for _, dn := range values {
		if sid, there := bySID[strings.ToLower(string(dn))]; there {
			sids = append(sids, sid)
		}
	}
	slices.Sort(sids)
	return sids, err
}

// primaryGroup is the SID of the group that everybody is in without being named by it.
func primaryGroup(account string, e *ldap.Entry) string {
	domain := account[:strings.LastIndexByte(account, '-')+1]
	return domain + e.GetEqualFoldAttributeValue("primaryGroupID")
}

// Path returns the shortest way by which the account is in a group: from the one
// that it is a member of itself to the group in question. It is empty where the
// directory does not tell of one.
func (m *Memberships) Path(sid string) []auth.Group {
	from := map[string]string{}
	var next []string
	for direct := range m.direct {
		from[direct] = ""
		next = append(next, direct)
	}
	slices.Sort(next)
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		if at == sid {
			return m.trace(from, at)
		}
		for _, up := range m.above[at] {
			if _, seen := from[up]; !seen {
				from[up] = at
				next = append(next, up)
			}
		}
	}
	return nil
}

func (m *Memberships) trace(from map[string]string, at string) (path []auth.Group) {
	for ; at != ""; at = from[at] {
		path = append(path, m.groups[at])
	}
	slices.Reverse(path)
	return path
}
