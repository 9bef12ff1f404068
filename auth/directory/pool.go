package directory

import (
	"context"
	"sync"
	"time"
)

const (
	// idleFor is how long a connection is kept unused, below the 15 minutes after
	// which a controller ends it (MaxConnIdleTime).
	idleFor = 2 * time.Minute
	// longestLife bounds a connection's age, so that a changed password or a disabled
	// reading account does not go unnoticed, nor a controller's revoked certificate.
	longestLife = 15 * time.Minute
)

// pool keeps connections to one controller that wait to be used: those of the
// reading account, or those that carry binds. It is safe for concurrent use.
type pool struct {
	mu   sync.Mutex
	idle []*idleConn // guarded by mu; the latest last
	shut bool        // guarded by mu; nothing is kept from then on
}

// idleConn is a connection that waits to be used.
type idleConn struct {
	*conn
	expiry *time.Timer
}

// with gives a kept connection to a function, or one that it opens, and keeps it
// afterwards. One that had ended while it was kept is replaced by a fresh one, and the
// function called once more, and no oftener: a controller may count a password that it
// does not answer to.
func (p *pool) with(ctx context.Context, open func() (*conn, error), use func(*conn) error) error {
	for again := false; ; again = true {
		var c *conn
		kept := false
		if !again {
			c, kept = p.take()
		}
		if !kept {
			var err error
			if c, err = open(); err != nil {
				return err
			}
		}
		err := use(c)
		if !c.broken && !c.ldap.IsClosing() {
			p.put(c)
			return err
		}
		stale := kept && !c.timedOut() && ctx.Err() == nil
		c.close()
		if !stale {
			return err
		}
	}
}

// take returns the connection that was used last, if there is one.
func (p *pool) take() (*conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		i := p.idle[last]
		p.idle = p.idle[:last]
		i.expiry.Stop()
		if !i.ldap.IsClosing() {
			return i.conn, true
		}
		i.close()
	}
	return nil, false
}

// put keeps a connection for the next one who wants it.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut || c.spent || time.Since(c.born) > longestLife {
		c.close()
		return
	}
	if c.idle == nil {
		i := &idleConn{conn: c}
		i.expiry = time.AfterFunc(idleFor, func() { p.expire(i) })
		c.idle = i
	} else {
		c.idle.expiry.Reset(idleFor)
	}
	p.idle = append(p.idle, c.idle)
}

// expire closes a connection that nobody wanted for idleFor.
func (p *pool) expire(i *idleConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, other := range p.idle {
		if other == i {
			p.idle = append(p.idle[:k], p.idle[k+1:]...)
			i.close()
			return
		}
	}
}

func (p *pool) shutDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for _, i := range p.idle {
		i.expiry.Stop()
		i.close()
	}
	p.idle = nil
}
