package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// controller is one domain controller.
type controller struct {
	url     string
	address string // host:port
	tls     *tls.Config
	dials   chan struct{} // a place for each connection that is being opened

	// down is until when the controller is asked last, in Unix nanoseconds.
	down atomic.Int64

	mu   sync.Mutex
	idle []*idleConn // guarded by mu; bound as the reading account, the latest last
	shut bool        // guarded by mu; nothing is kept from then on
}

// downFor is how long a controller that did not answer is asked last.
const downFor = 30 * time.Second

func newController(raw string, o *Options) (*controller, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	switch {
	case u.Scheme != "ldaps":
		// A password is sent over it: nothing but TLS from the first byte on.
		return nil, fmt.Errorf("controller %s: only ldaps:// is allowed", u.Redacted())
	case u.Hostname() == "", u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("controller %s: not of the form ldaps://host:port", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = "636"
	}
	serverName := o.ServerName
	if serverName == "" {
		serverName = u.Hostname()
	}
	return &controller{
		url:     raw,
		address: net.JoinHostPort(u.Hostname(), port),
		dials:   make(chan struct{}, mostDials),
		tls:     &tls.Config{RootCAs: o.CA, ServerName: serverName, MinVersion: tls.VersionTLS12},
	}, nil
}

// inOrder returns the controllers as they are to be asked: the configuration's
// order, those that did not answer lately behind the others.
func (d *Directory) inOrder() []*controller {
	now := d.now().UnixNano()
	order := make([]*controller, 0, len(d.controllers))
	var down []*controller
	for _, c := range d.controllers {
		if c.down.Load() > now {
			down = append(down, c)
		} else {
			order = append(order, c)
		}
	}
	return append(order, down...)
}

// ask tries one controller after the other until one answers. An error that is
// not *unreachable is an answer.
func (d *Directory) ask(ctx context.Context, try func(*controller) error) error {
	var errs []error
	for _, c := range d.inOrder() {
		err := try(c)
		var gone *unreachable
		if !errors.As(err, &gone) {
			if c.down.Swap(0) != 0 {
				d.log.Info("the domain controller answers again", "controller", c.url)
			}
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
