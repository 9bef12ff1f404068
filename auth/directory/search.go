package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// anything is the filter of searches for one entry by its name.
const anything = "(objectClass=*)"

// mostEntries bounds what one search may find. It is more than any that is made
// here can.
const mostEntries = 200

// search runs one search. Referrals are neither asked for nor followed.
func (d *Directory) search(ctx context.Context, c *conn, base string, scope int, filter string, attributes []string) ([]*ldap.Entry, error) {
	return d.searchMost(ctx, c, base, scope, filter, attributes, mostEntries)
}

// searchMost is search with a bound of its own.
func (d *Directory) searchMost(ctx context.Context, c *conn, base string, scope int, filter string, attributes []string, most int) ([]*ldap.Entry, error) {
	// Controllers count whole seconds, so that a limit of one may be over at once;
	// what holds here is the connection's deadline.
	limit := int(d.options.Timeout/time.Second) + 2
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, most, limit, false, filter, attributes, nil)
	request.EnforceSizeLimit = true
	var result *ldap.SearchResult
	tooMany := false
	err := c.do(ctx, d.options.Timeout, func(l *ldap.Conn) error {
		var err error
		result, err = l.Search(request)
		if tooMany = errors.Is(err, ldap.ErrSizeLimitExceeded); tooMany {
			return nil
		}
		return err
	})
	var gone *unreachable
	var answer *ldap.Error
	switch {
	case tooMany:
		c.broken = true // the rest of the entries is still to come
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: fmt.Sprintf("more than %d entries were found", most)}
	case err == nil:
		return result.Entries, nil
	case errors.As(err, &gone):
		return nil, err
	case !errors.As(err, &answer):
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(err.Error()), Err: err}
	}
	switch answer.ResultCode {
	case ldap.LDAPResultNoSuchObject:
		return nil, nil
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded:
		return nil, &unreachable{err}
	default:
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(err.Error()), Err: err}
	}
}
