package directory

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// ServicePrincipal says whose a service principal is.
type ServicePrincipal struct {
	Account string
	// KeyVersion is the version of the account's keys; 0 where the reading account
	// may not read it.
	KeyVersion uint32
}

// ServicePrincipal finds the account that has a service principal, such as
// postgres/proxy.corp.example.com. One that several have is nobody's: the domain
// gives no tickets for it.
func (d *Directory) ServicePrincipal(ctx context.Context, name string) (ServicePrincipal, error) {
	var entries []*ldap.Entry
	err := d.read(ctx, func(c *conn) error {
		var err error
		entries, err = d.search(ctx, c, d.base, ldap.ScopeWholeSubtree, "(servicePrincipalName="+escape(name)+")",
			[]string{"sAMAccountName", "msDS-KeyVersionNumber"})
		return err
	})
	switch {
	case err != nil:
		return ServicePrincipal{}, failure(err)
	case len(entries) == 0:
		return ServicePrincipal{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "no account has the service principal " + name}
	case len(entries) > 1:
		return ServicePrincipal{}, &auth.Failure{
			Cause:  auth.CauseDirectoryAnswer,
			Detail: clip(fmt.Sprintf("%d accounts have the service principal %s: %s; %s", len(entries), name, entries[0].DN, entries[1].DN)),
		}
	}
	version, err := strconv.ParseUint(entries[0].GetEqualFoldAttributeValue("msDS-KeyVersionNumber"), 10, 32)
	if err != nil {
		version = 0
	}
	return ServicePrincipal{Account: entries[0].GetEqualFoldAttributeValue("sAMAccountName"), KeyVersion: uint32(version)}, nil
}
