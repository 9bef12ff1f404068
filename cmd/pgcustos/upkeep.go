package main

import (
	"math"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/internal/config"
)

// upkeep tells the journal what has to be known before a segment goes. It is
// immutable: sinks and backends are those of the start.
type upkeep struct {
	journal string
	sinks   []string
	tiers   map[string]int
}

var _ journal.Upkeep = (*upkeep)(nil)

func newUpkeep(c *config.Config) *upkeep {
	u := &upkeep{journal: c.Journal.Path, tiers: map[string]int{}}
	for i := range c.Sinks {
		u.sinks = append(u.sinks, c.Sinks[i].Name)
	}
	for i := range c.Backends {
		u.tiers[c.Backends[i].Name] = c.Backends[i].Tier
	}
	return u
}

// Taken implements journal.Upkeep. A sink without a position has taken nothing.
func (u *upkeep) Taken(stream string) (uint64, error) {
	if len(u.sinks) == 0 {
		return math.MaxUint64, nil
	}
	taken := uint64(math.MaxUint64)
	for _, name := range u.sinks {
		at, err := sink.DeliveredOf(u.journal, name, stream)
		if err != nil {
			return 0, err
		}
		taken = min(taken, at)
	}
	return taken, nil
}

// Tier implements journal.Upkeep.
func (u *upkeep) Tier(backend string) (int, bool) {
	tier, known := u.tiers[backend]
	return tier, known
}
