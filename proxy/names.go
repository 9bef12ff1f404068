package proxy

import (
	"github.com/pgcustos/pgcustos/proxy/catalog"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// enterCatalog counts the session in its database's catalog under a policy, and in
// none without one. It returns what it is counted in; nil for none. A replication
// connection names nothing, and may be in no database.
func (c *session) enterCatalog(p *Policy) *catalog.Database {
	var next *catalog.Database
	if p != nil && c.hello.Request.Replication == startup.NoReplication {
		next = p.Catalogs[c.context.Backend].Database(c.context.Database)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	c.gone = p == nil
	if next != nil {
		next.Enter()
	}
	if c.catalog != nil {
		c.catalog.Leave()
	}
	c.catalog = next
	return next
}

// followCatalog has a live session go by the catalog of another policy.
func (c *session) followCatalog(p *Policy) { c.machine.SetCatalog(c.enterCatalog(p)) }
