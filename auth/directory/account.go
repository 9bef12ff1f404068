package directory

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// The attributes of an account that are read: what it is and how it fares.
var accountAttributes = []string{
	"objectGUID", "objectSid", "sAMAccountName", "sAMAccountType", "userPrincipalName", "uSNChanged",
	"userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet", "logonHours",
}

// SAM_NORMAL_USER_ACCOUNT of sAMAccountType (MS-SAMR section 2.2.1.9): people and
// services, but neither computers, managed service accounts, trusts nor groups.
const normalUser = 0x30000000

// find looks for the one account that the name stands for. The failure is
// CauseNoSuchAccount, CauseNotAPerson, CauseDirectoryAnswer where there are
// several, or CauseDirectoryDown.
func (d *Directory) find(ctx context.Context, c *conn, n name) (auth.Identity, error) {
	_, id, err := d.findEntry(ctx, c, n, accountAttributes)
	return id, err
}

// findEntry is find, with the entry.
func (d *Directory) findEntry(ctx context.Context, c *conn, n name, attributes []string) (*ldap.Entry, auth.Identity, error) {
	entries, err := d.search(ctx, c, d.base, ldap.ScopeWholeSubtree, n.filter(), attributes)
	if err != nil {
		return nil, auth.Identity{}, err
	}
	var users []*ldap.Entry
	for _, e := range entries {
		if isUser(e) {
			users = append(users, e)
		}
	}
	switch {
	case len(users) == 1:
		id, err := d.identity(users[0])
		return users[0], id, err
	case len(users) > 1:
		return nil, auth.Identity{}, &auth.Failure{
			Cause:  auth.CauseDirectoryAnswer,
			Detail: clip(fmt.Sprintf("the name stands for %d accounts: %s; %s", len(users), users[0].DN, users[1].DN)),
		}
	case len(entries) > 0:
		return nil, auth.Identity{}, &auth.Failure{Cause: auth.CauseNotAPerson, Detail: clip(entries[0].DN)}
	default:
		return nil, auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "no account of that name"}
	}
}

// load reads an account by its GUID, with its groups, whose names may be known.
func (d *Directory) load(ctx context.Context, c *conn, guid string, names *known) (auth.Identity, error) {
	if err := checkGUID(guid); err != nil {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: err.Error(), Err: err}
	}
	dn := "<GUID=" + guid + ">"
	asked := time.Now()
	entries, err := d.search(ctx, c, dn, ldap.ScopeBaseObject, anything, append([]string{tokenGroups}, accountAttributes...))
	if err != nil {
		return auth.Identity{}, err
	}
	if len(entries) != 1 {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "no account of that GUID"}
	}
	if !isUser(entries[0]) {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNotAPerson, Detail: clip(entries[0].DN)}
	}
	id, err := d.identity(entries[0])
	if err != nil {
		return id, err
	}
	id.Read = asked
	if !strings.EqualFold(id.GUID, guid) {
		return id, &auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: "the directory answered with another account", Identity: id}
	}
	id.Groups, err = d.groups(ctx, c, entries[0], names)
	return id, err
}

func isUser(e *ldap.Entry) bool {
	kind, err := strconv.ParseInt(e.GetEqualFoldAttributeValue("sAMAccountType"), 10, 64)
	return err == nil && kind == normalUser
}
