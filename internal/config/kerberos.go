package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/kerberos"
)

// Kerberos says whose tickets are accepted, and who is asked for one. There is
// no Keytab where Kerberos is not offered.
type Kerberos struct {
	kerberos.Options
	Pins []auth.Pin
}

func (c *Config) readKerberos(root *object) {
	v, ok := root.get("kerberos")
	if !ok {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	k := kerberos.Options{Service: "postgres"}
	for i := range c.Directory.Domains {
		d := &c.Directory.Domains[i]
		k.Realms = append(k.Realms, kerberos.Realm{Name: strings.ToUpper(d.Domain), SID: d.SID})
	}
	if v, given := o.get("service"); given {
		if s, ok := v.word(); ok && !isLabel(s) {
			v.errorf("%q is not the name of a service, such as postgres", s)
		} else if ok {
			k.Service = s
		}
	}
	k.Keytab = c.keytab(o, &k)
	c.Kerberos = Kerberos{Options: k, Pins: o.pins()}
	o.done()
}

func (c *Config) keytab(o *object, k *kerberos.Options) *kerberos.Keytab {
	v, ok := o.need("keytab", "the file with the keys of the service's principal")
	if !ok {
		return nil
	}
	data, ok := v.file(true)
	defer clear(data)
	if !ok {
		return nil
	}
	keytab, err := kerberos.ReadKeytab(data)
	if err != nil {
		v.errorf("%s: %v", text(v.node), err)
		return nil
	}
	var without []string
	for _, r := range k.Realms {
		if !keytab.Serves(k.Service, r.Name) {
			without = append(without, r.Name)
		}
	}
	switch {
	case len(without) == 0:
	case len(without) == len(k.Realms):
		v.errorf("%s holds no key of %s/…@%s: it has %s", text(v.node), k.Service, strings.Join(without, ", "), strings.Join(principals(keytab), ", "))
	default:
		c.warnf("kerberos: the keytab holds no key of %s/…@%s: whoever is of that domain cannot show a ticket", k.Service, strings.Join(without, ", "))
	}
	if a, b := keytab.Shared(); a != "" {
		v.errorf("%s: %s and %s have the same key, so that one domain could make tickets of the other: set other passwords, and export the keys again", text(v.node), a, b)
	}
	return keytab
}

func principals(keytab *kerberos.Keytab) []string {
	keys, _ := keytab.Keys()
	var out []string
	for i := range keys {
		out = append(out, keys[i].Principal())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (o *object) pins() []auth.Pin {
	v, ok := o.get("pins")
	if !ok {
		return nil
	}
	var pins []auth.Pin
	for _, item := range v.items() {
		p, ok := item.object()
		if !ok {
			continue
		}
		if _, ok := p.need("method", "password, kerberos or certificate"); !ok {
			continue
		}
		pin := auth.Pin{Method: auth.Method(p.oneOf("method", string(auth.Password), string(auth.Password), string(auth.Kerberos), string(auth.Certificate)))}
		if v, ok := p.get("sources"); ok {
			for _, item := range v.words() {
				if n, ok := item.prefix(); ok {
					pin.Sources = append(pin.Sources, n)
				}
			}
		}
		for key, list := range map[string]*[]string{"databases": &pin.Databases, "users": &pin.Users} {
			if v, ok := p.get(key); ok {
				*list = listed(v)
			}
		}
		p.done()
		pins = append(pins, pin)
	}
	return pins
}

// kerberos tells keys apart by their versions; it never has one.
func (d *diff) kerberos(before, after *Config) {
	b, a := before.Kerberos, after.Kerberos
	of(d, "kerberos: service", b.Service, a.Service)
	d.set("kerberos", "keys", keyNames(b.Keytab), keyNames(a.Keytab))
	of(d, "kerberos: pins", pinNames(b.Pins), pinNames(a.Pins))
}

func keyNames(keytab *kerberos.Keytab) []string {
	if keytab == nil {
		return nil
	}
	keys, _ := keytab.Keys()
	out := make([]string, len(keys))
	for i := range keys {
		out[i] = fmt.Sprintf("%s version %d type %d", keys[i].Principal(), keys[i].Version, keys[i].Type)
	}
	return out
}

func pinNames(pins []auth.Pin) string {
	out := make([]string, len(pins))
	for i := range pins {
		p := &pins[i]
		var whom []string
		for _, part := range [][]string{texts(p.Sources), p.Databases, p.Users} {
			if len(part) > 0 {
				whom = append(whom, strings.Join(part, " "))
			}
		}
		out[i] = fmt.Sprintf("%s for %s", p.Method, or(strings.Join(whom, "; "), "all"))
	}
	return strings.Join(out, ", ")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
