package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// controller is one domain controller.
type controller struct {
	url      string
	address  string // host:port
	tls      *tls.Config
	resolver *net.Resolver // nil for the system's
	starts   bool          // TLS, by StartTLS
	dials    chan struct{} // a place for each connection that is being opened

	// down is set while the controller does not answer: until when nobody asks it
	// whether it does again, in Unix nanoseconds.
	down     atomic.Int64
	reviving atomic.Bool // somebody asks it whether it answers again

	names   known
	readers pool // bound as the reading account
	binders pool // for nothing but binds: whoever was bound last holds them
}

// shutDown closes what is kept, and keeps nothing more.
func (c *controller) shutDown() {
	c.readers.shutDown()
	c.binders.shutDown()
}

// downFor is how long after it did not answer a controller is asked again.
const downFor = 30 * time.Second

func newController(raw string, o *Options) (*controller, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	switch {
	case u.Scheme != "ldaps" && (u.Scheme != "ldap" || !o.StartTLS):
		// A password is sent over it: nothing without TLS.
		return nil, fmt.Errorf("controller %s: only ldaps:// is allowed, and ldap:// with StartTLS", u.Redacted())
	case u.Hostname() == "", u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("controller %s: not of the form %s://host:port", u.Redacted(), u.Scheme)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldaps": "636", "ldap": "389"}[u.Scheme]
	}
	serverName := o.ServerName
	switch {
	case serverName != "":
	case o.Discover:
		serverName = o.Domain
	default:
		serverName = u.Hostname()
	}
	return &controller{
		url:      raw,
		address:  net.JoinHostPort(u.Hostname(), port),
		resolver: o.resolver(),
		starts:   u.Scheme == "ldap",
		dials:    make(chan struct{}, mostDials),
		tls:      &tls.Config{RootCAs: o.CA, ServerName: serverName, MinVersion: tls.VersionTLS12},
	}, nil
}

// inOrder returns the controllers as they are to be asked: the configuration's
// order, or DNS's, those that did not answer when they were asked last behind the
// others.
func (d *Directory) inOrder(ctx context.Context) ([]*controller, error) {
	all, err := d.controllers(ctx)
	if err != nil {
		return nil, err
	}
	now := d.now().UnixNano()
	order := make([]*controller, 0, len(all))
	var down []*controller
	for _, c := range all {
		switch until := c.down.Load(); {
		case until == 0:
			order = append(order, c)
			continue
		case until <= now:
			d.revive(c)
		}
		down = append(down, c)
	}
	return append(order, down...), nil
}

// answers notes that a controller does.
func (d *Directory) answers(c *controller) {
	if c.down.Swap(0) != 0 {
		d.log.Info("the domain controller answers again", "controller", c.url)
	}
}

func isUnreachable(err error) bool {
	var gone *unreachable
	return errors.As(err, &gone)
}

// ask tries one controller after the other until one answers. An error that is
// not *unreachable is an answer.
func (d *Directory) ask(ctx context.Context, try func(*controller) error) error {
	controllers, err := d.inOrder(ctx)
	if err != nil {
		return down(err)
	}
	var errs []error
	for _, c := range controllers {
		err := try(c)
		if !isUnreachable(err) {
			d.answers(c)
			return err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return down(ctx.Err()) // the caller went away: that says nothing of the controller
		}
		if c.down.Swap(d.now().Add(downFor).UnixNano()) == 0 {
			d.log.Warn("a domain controller does not answer", "controller", c.url, "error", err)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return down(errors.Join(errs...))
}

// down is the failure when no controller answers.
func down(err error) *auth.Failure {
	return &auth.Failure{Cause: auth.CauseDirectoryDown, Detail: clip(err.Error()), Err: err}
}

// clip bounds what a directory says to what a record should hold of it.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
