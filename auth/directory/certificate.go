package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Controllers returns the URLs of the controllers, in the order in which they are
// asked.
func (d *Directory) Controllers(ctx context.Context) ([]string, error) {
	list, err := d.controllers(ctx)
	if err != nil {
		return nil, failure(err)
	}
	urls := make([]string, len(list))
	for i, c := range list {
		urls[i] = c.url
	}
	return urls, nil
}

// Certificate returns what the first controller that answers shows, which is in order.
func (d *Directory) Certificate(ctx context.Context) (leaf *x509.Certificate, err error) {
	err = d.ask(ctx, func(c *controller) error {
		fresh, err := dial(ctx, c, d.options.Timeout)
		if err != nil {
			return err
		}
		defer fresh.close()
		leaf, err = fresh.certificate()
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	return leaf, nil
}

func (c *conn) certificate() (*x509.Certificate, error) {
	state, ok := c.ldap.TLSConnectionState()
	if first, is := c.net.Conn.(*tls.Conn); is {
		state, ok = first.ConnectionState(), true
	}
	if !ok || len(state.PeerCertificates) == 0 {
		return nil, &unreachable{errors.New("no certificate was shown")}
	}
	return state.PeerCertificates[0], nil
}
