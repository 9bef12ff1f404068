package directory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// tokenGroups is a computed attribute: the SIDs of all groups that an account is
// in, directly or through others, with its primary group and the builtin ones
// (MS-ADTS section 3.1.1.4.5.19). Only a base search gives it.
const tokenGroups = "tokenGroups"

const (
	// mostGroups bounds an account's groups. A Windows token holds 1,015.
	mostGroups = 4096
	// chunk is how many SIDs are resolved by one filter: no more entries come back
	// than a controller gives without pages (1,000, MaxPageSize).
	chunk = 100
)

// groups reads the groups of the account whose entry holds its tokenGroups. Names are
// those that are known already, nil where all are to be asked for.
func (d *Directory) groups(ctx context.Context, c *conn, e *ldap.Entry, names *known) ([]auth.Group, error) {
	raw, err := d.allValues(ctx, c, e, tokenGroups)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		// Everybody is in a primary group at least.
		return nil, &auth.Failure{
			Cause:  auth.CauseDirectoryAnswer,
			Detail: clip(e.DN + ": tokenGroups is missing: may the reading account read it?"),
		}
	}
	epoch := names.begin()
	groups := make([]auth.Group, 0, len(raw))
	var unnamed [][]byte
	var places []int // of these among the groups
	for _, b := range raw {
		if g, found := names.recall(b); found {
			groups = append(groups, g)
			continue
		}
		sid, err := sidText(b)
		if err != nil {
			return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(e.DN + ": tokenGroups: " + err.Error()), Err: err}
		}
		if d.vouches(sid) {
			unnamed, places = append(unnamed, b), append(places, len(groups))
			groups = append(groups, auth.Group{SID: sid})
		}
	}
	if len(unnamed) == 0 {
		return groups, nil
	}
	bySID := make(map[string]*auth.Group, len(unnamed))
	for _, at := range places {
		bySID[groups[at].SID] = &groups[at]
	}
	for some := range slices.Chunk(unnamed, chunk) {
		if err := d.nameGroups(ctx, c, some, bySID); err != nil {
			return nil, err
		}
	}
	for i, at := range places {
		names.learn(epoch, unnamed[i], &groups[at])
	}
	return groups, nil
}

// vouches reports whether the domain has a say in who has a SID. The builtin ones
// are the same everywhere: where there are several domains, they are those of the
// one whose names need none.
func (d *Directory) vouches(sid string) bool {
	return d.options.SID == "" || d.owns(sid) || !d.qualified && strings.HasPrefix(sid, builtin)
}

const builtin = "S-1-5-32-"

// groupName is the name by which rules mean a group.
func (d *Directory) groupName(account string) string {
	switch {
	case account == "" || d.options.SID != "" && strings.Contains(account, `\`):
		return ""
	case d.qualified:
		return d.options.NetBIOS + `\` + account
	default:
		return account
	}
}

// nameGroups fills in the names of the groups with these SIDs. Those that do not
// resolve, of other domains for instance, keep their SID alone.
func (d *Directory) nameGroups(ctx context.Context, c *conn, sids [][]byte, bySID map[string]*auth.Group) error {
	entries, err := d.search(ctx, c, d.base, ldap.ScopeWholeSubtree, anyOf("objectSid", sids), []string{"objectSid", "sAMAccountName"})
	if err != nil {
		return err
	}
	for _, e := range entries {
		sid, err := sidText(e.GetEqualFoldRawAttributeValue("objectSid"))
		if err != nil {
			continue // nobody asked for it
		}
		if g := bySID[sid]; g != nil && (d.options.SID == "" || d.holds(e.DN)) {
			g.Name, g.DN, g.Domain = d.groupName(e.GetEqualFoldAttributeValue("sAMAccountName")), e.DN, d.options.Domain
		}
	}
	return nil
}

// allValues returns the values of an attribute, and fetches the rest where the
// directory gave a part of them only: "member;range=0-1499" (MS-ADTS section
// 3.1.1.3.1.3.3).
func (d *Directory) allValues(ctx context.Context, c *conn, e *ldap.Entry, attribute string) ([][]byte, error) {
	values, next := part(e, attribute)
	for {
		if next > mostGroups || len(values) > mostGroups {
			return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(fmt.Sprintf("%s: more than %d groups", e.DN, mostGroups))}
		}
		if next == 0 {
			return values, nil
		}
		entries, err := d.search(ctx, c, e.DN, ldap.ScopeBaseObject, anything, []string{fmt.Sprintf("%s;range=%d-*", attribute, next)})
		if err != nil {
			return nil, err
		}
		var more [][]byte
		after := 0
		if len(entries) == 1 {
			more, after = part(entries[0], attribute)
		}
		if len(more) == 0 || after != 0 && after <= next {
			return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(e.DN + ": a part of " + attribute + " is missing")}
		}
		values, next = append(values, more...), after
	}
}

// part returns the values that an entry holds of an attribute, and the number of
// the value after them, 0 where there are no more.
func part(e *ldap.Entry, attribute string) (values [][]byte, next int) {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, attribute) && len(a.ByteValues) > 0 {
			return a.ByteValues, 0
		}
		base, option, _ := strings.Cut(a.Name, ";range=")
		_, last, isRange := strings.Cut(option, "-")
		if !strings.EqualFold(base, attribute) || !isRange {
			continue
		}
		if n, err := strconv.Atoi(last); err == nil && n >= 0 {
			return a.ByteValues, n + 1
		}
		return a.ByteValues, 0 // the last part says "*"
	}
	return nil, 0
}
