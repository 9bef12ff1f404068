package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// openCatalogs makes those that the configuration asks for. They connect to nothing
// before a session does.
func openCatalogs(c *config.Config, backends map[string]*backend.Backend, hooks catalog.Hooks) map[string]*catalog.Catalog {
	all := make(map[string]*catalog.Catalog, len(c.Catalogs))
	for name, o := range c.Catalogs {
		all[name] = catalog.Open(o, sortedRoles(roleDatabases(c, name)), backends[name], hooks)
	}
	return all
}

// readAhead reads the databases that rules name, once their catalogs are in force.
func (d *daemon) readAhead() {
	for name, known := range d.policy.Catalogs {
		databases := catalogDatabases(roleDatabases(d.config, name))
		known.Ahead(slices.DeleteFunc(databases, func(s string) bool { return s == "*" }))
	}
}

// replication is what a rule calls a connection of that kind, which is in no database.
const replication = "replication"

// catalogDatabases lists the databases that rules let any role into, each once: there
// the catalog is read. "*" is all.
func catalogDatabases(uses map[string][]string) []string {
	all := slices.Concat(slices.Collect(maps.Values(uses))...)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == replication })
}

// catalogHooks puts on record, and into the metrics, what catalogs do.
func (d *daemon) catalogHooks() catalog.Hooks {
	return catalog.Hooks{Log: d.log, Signing: d.recordCatalogSignature, Read: func(r catalog.Reading) {
		d.metrics.CatalogReads.WithLabelValues(r.Backend, string(r.Result)).Inc()
		d.metrics.CatalogObjects.WithLabelValues(r.Backend, r.Database).Set(float64(r.Objects))
		d.metrics.CatalogBytes.WithLabelValues(r.Backend, r.Database).Set(float64(r.Size))
		up := 0.0
		if r.Result == catalog.Done {
			up = 1
		}
		d.metrics.CatalogUp.WithLabelValues(r.Backend, r.Database).Set(up)
	}}
}

// recordedWithin is how long a signature waits for the disk.
const recordedWithin = 10 * time.Second

// recordCatalogSignature puts a certificate for the role that reads on record, before
// it is signed.
func (d *daemon) recordCatalogSignature(of, database string, s backend.Signature) error {
	receipt, err := d.recorder.Record(&audit.Event{
		Type: audit.Issued, Decision: audit.Allowed, Detail: s.String() + ", to read the catalog",
		Context: &audit.Context{Backend: of, Database: database, Role: s.Role},
	})
	if err != nil {
		return err
	}
	d.metrics.Signatures.WithLabelValues(of).Inc()
	ctx, cancel := context.WithTimeout(context.Background(), recordedWithin)
	defer cancel()
	return d.recorder.Wait(ctx, receipt)
}
