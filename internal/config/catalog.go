package config

import (
	"time"

	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// readCatalog reads how a backend's catalog is read; without the key it is not.
func (c *Config) readCatalog(o *object, b *backend.Options, byCertificate bool) {
	v, given := o.get("catalog")
	if !given {
		return
	}
	k, ok := v.object()
	if !ok {
		return
	}
	opt := catalog.Options{
		Refresh: k.duration("refresh", time.Minute, time.Second, day),
		Memory:  k.size("memory", 64<<20, 1<<20, 16<<30),
	}
	k.known = append(k.known, "password_file", "password_env")
	if at, ok := k.need("role", "the role that reads the catalog: one that may do nothing but log in"); ok {
		role, ok := at.word()
		if ok && at.roleName(role) {
			opt.Role = role
			c.catalogCredential(k, at, b, role, byCertificate)
		}
	}
	k.done()
	if b.Name != "" && opt.Role != "" {
		c.Catalogs[b.Name] = opt
	}
}

// catalogCredential reads how the role logs in, where nothing has said that yet.
func (c *Config) catalogCredential(k *object, at value, b *backend.Options, role string, byCertificate bool) {
	_, has := b.Credentials[role]
	for _, key := range []string{"password_file", "password_env"} {
		v, given := k.get(key)
		switch {
		case given && byCertificate:
			v.errorf("is not used with auth: certificate: remove it")
		case given && has:
			v.errorf("the role %q has its password under credentials already: remove this", role)
		}
	}
	switch {
	case byCertificate:
		if b.Authority != nil {
			at.certifiable(role, b.Authority)
		}
	case !has && b.Credentials != nil:
		b.Credentials[role] = nil
		if read, from, ok := k.secret("password"); ok {
			b.Credentials[role] = backend.Password(read)
			c.origins[credential{b.Name, role}] = from
		}
	}
}
