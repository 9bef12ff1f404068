package peers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/proxy"
)

// Serve takes cancels from other nodes until ctx ends, and closes l.
func (p *Peers) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	places := make(chan struct{}, mostAtOnce)
	var work sync.WaitGroup
	defer work.Wait()
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			p.options.Load().Log.Warn("accept another node", "error", err)
			select { // out of descriptors, say
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = c.Close() // whoever holds the places is thrown out soon
			continue
		}
		work.Go(func() {
			defer func() { <-places }()
			o := p.options.Load()
			if err := o.take(ctx, c); err != nil {
				// Strangers could fill a log with it.
				o.Log.Debug("no cancel was taken", "from", c.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// take takes one cancel.
func (o *Options) take(ctx context.Context, conn net.Conn) error {
	config := o.config()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, o.Authorities
	c := tls.Server(conn, config)
	defer c.Close() //nolint:errcheck // it has its answer
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	state := c.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return errors.New("it speaks another protocol")
	}
	node, err := o.names(state.PeerCertificates[0])
	if err != nil {
		return err
	}
	var key proxy.CancelKey
	if err := readLine(c, &key); err != nil {
		return err
	}
	key.Via = node
	return json.NewEncoder(c).Encode(&answer{Found: o.Cancel(ctx, key)})
}
