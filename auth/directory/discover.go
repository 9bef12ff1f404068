package directory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// discoverEvery is how often the controllers are asked for anew.
	discoverEvery = 5 * time.Minute
	// mostControllers bounds what a name server may send us to.
	mostControllers = 64
)

// fleet are the controllers that there are, as listed or as found last.
type fleet struct {
	finding chan struct{} // one place, for who looks for them

	mu    sync.Mutex
	list  []*controller // guarded by mu
	found time.Time     // guarded by mu; when they were looked for last
}

// known returns the controllers that are known.
func (d *Directory) known() []*controller {
	d.fleet.mu.Lock()
	defer d.fleet.mu.Unlock()
	return d.fleet.list
}

// controllers returns the controllers. Those who log in wait for a name server when
// none is known yet, and never again.
func (d *Directory) controllers(ctx context.Context) ([]*controller, error) {
	if !d.options.Discover {
		return d.known(), nil
	}
	d.fleet.mu.Lock()
	list, old := d.fleet.list, d.now().Sub(d.fleet.found) > discoverEvery
	d.fleet.mu.Unlock()
	switch {
	case len(list) == 0:
		return d.discover(ctx)
	case old:
		d.aside(func(ctx context.Context) {
			if _, err := d.discover(ctx); err != nil {
				d.log.Warn("domain controllers were not found anew, those that are known are asked", "error", err)
			}
		})
	}
	return list, nil
}

// discover looks the controllers up, unless somebody has just done so.
func (d *Directory) discover(ctx context.Context) ([]*controller, error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeout)
	defer cancel()
	select {
	case d.fleet.finding <- struct{}{}:
		defer func() { <-d.fleet.finding }()
	case <-ctx.Done():
		return nil, &unreachable{fmt.Errorf("wait for the domain controllers' names: %w", ctx.Err())}
	}
	d.fleet.mu.Lock()
	list, fresh := d.fleet.list, d.now().Sub(d.fleet.found) < discoverEvery
	d.fleet.mu.Unlock()
	if fresh && len(list) > 0 {
		return list, nil
	}
	targets, err := d.lookupControllers(ctx)
	if err != nil {
		d.fleet.mu.Lock()
		defer d.fleet.mu.Unlock()
		if len(d.fleet.list) > 0 {
			d.fleet.found = d.now().Add(downFor - discoverEvery) // sooner than usual
		}
		return nil, &unreachable{err}
	}
	return d.adopt(targets)
}

// resolver asks the name server that is named, or the system's.
func (o *Options) resolver() *net.Resolver {
	if o.NameServer == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, o.NameServer)
	}}
}

// lookupControllers asks DNS (RFC 2782; MS-ADTS section 6.3.2.3) for the addresses of
// the controllers, in the order in which they are to be asked.
func (d *Directory) lookupControllers(ctx context.Context) ([]string, error) {
	service := "_ldap._tcp.dc._msdcs." + d.options.Domain
	_, records, err := d.options.resolver().LookupSRV(ctx, "", "", service+".")
	var targets []string
	for _, r := range records {
		host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		if host == "" || len(targets) == mostControllers {
			continue
		}
		scheme, port := "ldaps", "636"
		if d.options.StartTLS {
			scheme, port = "ldap", strconv.Itoa(int(r.Port))
		}
		if url := scheme + "://" + net.JoinHostPort(host, port); !slices.Contains(targets, url) {
			targets = append(targets, url)
		}
	}
	switch {
	case len(targets) > 0:
		return targets, nil
	case err != nil:
		return nil, fmt.Errorf("look for domain controllers at %s: %w", service, err)
	default:
		return nil, errors.New("DNS names no domain controller at " + service)
	}
}

// adopt makes the controllers that were found those that are asked. One that was known
// keeps its connections, and that it did not answer.
func (d *Directory) adopt(targets []string) ([]*controller, error) {
	d.fleet.mu.Lock()
	defer d.fleet.mu.Unlock()
	var list []*controller
	for _, url := range targets {
		i := slices.IndexFunc(d.fleet.list, func(c *controller) bool { return c.url == url })
		if i >= 0 {
			list = append(list, d.fleet.list[i])
			continue
		}
		c, err := newController(url, &d.options)
		if err != nil {
			return nil, &unreachable{err}
		}
		d.log.Info("a domain controller was found", "controller", url)
		list = append(list, c)
	}
	for _, c := range d.fleet.list {
		if !slices.Contains(list, c) {
			d.log.Info("a domain controller is gone from DNS", "controller", c.url)
			c.shutDown()
		}
	}
	d.fleet.list, d.fleet.found = list, d.now()
	return list, nil
}
