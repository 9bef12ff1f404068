package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/auth/kerberos"
	"github.com/pgcustos/pgcustos/internal/config"
)

// kerberos compares the keytab with the directory: a principal that no account
// has, or has in another version, refuses every ticket.
func (r *report) kerberos(ctx context.Context, c *config.Config) {
	if c.Kerberos.Keytab == nil {
		return
	}
	keys, ignored := c.Kerberos.Keytab.Keys()
	for i := range c.Directory.Domains {
		d := &c.Directory.Domains[i]
		realm, versions := c.Kerberos.Realms[i].Name, map[string][]uint32{}
		for i := range keys {
			k := &keys[i]
			if !strings.EqualFold(k.Service, c.Kerberos.Service) || k.Realm != realm {
				continue
			}
			name := k.Service + "/" + k.Host
			if !slices.Contains(versions[name], k.Version) {
				versions[name] = append(versions[name], k.Version)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(versions)) {
			have := versions[name]
			slices.Sort(have)
			r.principal(ctx, d, name, realm, have)
		}
	}
	for i := range keys {
		k := &keys[i]
		if !strings.EqualFold(k.Service, c.Kerberos.Service) || !slices.ContainsFunc(c.Kerberos.Realms, func(r kerberos.Realm) bool { return r.Name == k.Realm }) {
			ignored++
		}
	}
	if ignored > 0 {
		r.warn("kerberos: %s of the keytab not used: of another service or realm, or no AES", counted(ignored, "key"))
	}
}

func (r *report) principal(ctx context.Context, o *directory.Options, name, realm string, have []uint32) {
	what := fmt.Sprintf("kerberos %s@%s", name, realm)
	var p directory.ServicePrincipal
	err := withDirectory(ctx, *o, func(ctx context.Context, d *directory.Directory) (err error) {
		p, err = d.ServicePrincipal(ctx, name)
		return err
	})
	newest := have[len(have)-1]
	switch {
	case err != nil:
		r.fail("%s: %v", what, describe(err))
	case p.KeyVersion == 0:
		r.ok("%s: is of account %s; key version %d, the directory's may not be read", what, p.Account, newest)
	case !slices.Contains(have, p.KeyVersion):
		r.fail("%s: the keytab has key version %d, the directory is at %d: export the keytab of account %s again", what, newest, p.KeyVersion, p.Account)
	default:
		r.ok("%s: is of account %s, key version %d", what, p.Account, p.KeyVersion)
	}
}
