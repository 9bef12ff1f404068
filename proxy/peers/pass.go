package peers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/proxy"
)

// Peers passes cancels on.
type Peers struct {
	options atomic.Pointer[Options]
	places  chan struct{} // one for each cancel under way
}

// New makes Peers, which connect to nobody before there is a cancel.
func New(o Options) *Peers {
	p := &Peers{places: make(chan struct{}, mostAtOnce)}
	p.Renew(o)
	return p
}

// Renew has cancels passed on and taken by other options from now on: certificates
// end, and nodes come and go.
func (p *Peers) Renew(o Options) { p.options.Store(&o) }

// errBusy says that too many cancels are under way.
var errBusy = errors.New("too many cancels are being passed on")

// Cancel passes a cancel on to the nodes that its key may be of, and reports whether
// one of them has its session. For nearly every key that is one node, or none.
func (p *Peers) Cancel(ctx context.Context, key proxy.CancelKey) bool {
	o := p.options.Load()
	var work sync.WaitGroup
	found := make(chan bool, len(o.Nodes))
	for _, n := range o.Nodes {
		if !proxy.KeyOf(n.Name, key.Secret) {
			continue
		}
		work.Go(func() {
			there, err := p.pass(ctx, o, n, key)
			if err != nil {
				o.Log.Warn("a cancel could not be passed on", "node", n.Name, "address", n.Address, "source", key.Source, "error", err)
			}
			found <- there
		})
	}
	work.Wait()
	close(found)
	anywhere := false
	for there := range found {
		anywhere = anywhere || there
	}
	return anywhere
}

// pass asks one node.
func (p *Peers) pass(ctx context.Context, o *Options, n Node, key proxy.CancelKey) (bool, error) {
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	default:
		return false, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config := o.config()
	config.RootCAs, config.ServerName = o.Authorities, n.Name
	c, err := (&tls.Dialer{NetDialer: dialer(), Config: config}).DialContext(ctx, "tcp", n.Address)
	if err != nil {
		return false, err
	}
	defer c.Close() //nolint:errcheck // the answer is what counts
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if err := json.NewEncoder(c).Encode(&key); err != nil {
		return false, err
	}
	var a answer
	if err := readLine(c, &a); err != nil {
		return false, err
	}
	return a.Found, nil
}
