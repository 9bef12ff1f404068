package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// mostReaders bounds the reading connections in use at once, over all
// controllers: a read takes some 10 ms.
const mostReaders = 8

// read gives a reading connection to a function, which returns what the
// directory said. A connection that ended while it was idle is replaced.
func (d *Directory) read(ctx context.Context, use func(*conn) error) error {
	if err := acquire(ctx, d.readers, d.options.Timeout); err != nil {
		return err
	}
	defer func() { <-d.readers }()
	return d.ask(ctx, func(c *controller) error { return d.readAt(ctx, c, use) })
}

// readAt is read at one controller, for who holds a place.
func (d *Directory) readAt(ctx context.Context, c *controller, use func(*conn) error) error {
	return c.readers.with(ctx, func() (*conn, error) { return d.dialReader(ctx, c) }, use)
}

// acquire takes a place in a bounded number of them. It waits for twice the
// timeout: those before may have to find out first that a controller is dead.
func acquire(ctx context.Context, places chan struct{}, timeout time.Duration) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return down(fmt.Errorf("all %d connections to the directory are in use: %w", cap(places), ctx.Err()))
	}
}

// dialReader opens a connection and binds it as the reading account.
func (d *Directory) dialReader(ctx context.Context, c *controller) (*conn, error) {
	secret, err := d.options.BindPassword()
	if err != nil {
		return nil, fmt.Errorf("the password of the reading account: %w", &auth.Failure{
			Cause: auth.CauseDirectoryDown, Detail: "the reading account's password cannot be read", Err: err,
		})
	}
	defer secret.Wipe()
	if secret.Len() == 0 {
		return nil, &auth.Failure{Cause: auth.CauseDirectoryDown, Detail: "the reading account's password is empty"}
	}
	if err := d.refused.check(secret, d.now()); err != nil {
		return nil, err
	}
	reader, err := dial(ctx, c, d.options.Timeout)
	if err != nil {
		return nil, err
	}
	err = reader.do(ctx, d.options.Timeout, func(l *ldap.Conn) error {
		return l.Bind(d.options.BindName, secret.Reveal())
	})
	if err == nil {
		reader.names = &c.names
		return reader, nil
	}
	reader.close()
	var gone *unreachable
	if errors.As(err, &gone) {
		return nil, err
	}
	f := bindFailure(err)
	if f.Cause == auth.CauseDirectoryDown {
		return nil, &unreachable{fmt.Errorf("%s: %w", c.url, f.Err)}
	}
	return nil, d.refused.remember(secret, d.now(), f)
}
