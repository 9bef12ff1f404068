package config

import (
	"time"

	"github.com/pgcustos/pgcustos/auth/throttle"
)

// readThrottle reads how wrong passwords are throttled. What the domain says of
// itself counts where it is stricter.
func (c *Config) readThrottle(root *object) {
	o := root.section("throttle")
	defaults := throttle.Policy{}.WithDefaults()
	guesses := throttle.Policy{
		Threshold:    o.integer("lockout_threshold", 0, 0, 999),
		Window:       o.duration("lockout_window", 0, 0, 7*day),
		PerSource:    o.integer("failures_per_source", defaults.PerSource, 1, 1_000_000),
		SourceWindow: o.duration("source_window", defaults.SourceWindow, time.Second, day),
	}
	o.done()
	c.Directory.Guesses = guesses
	for i := range c.Directory.Domains {
		c.Directory.Domains[i].Guesses = guesses
	}
}

func (d *diff) throttle(before, after *Config) {
	b, a := before.Directory.Guesses, after.Directory.Guesses
	of(d, "throttle: lockout_threshold", b.Threshold, a.Threshold)
	of(d, "throttle: lockout_window", b.Window, a.Window)
	of(d, "throttle: failures_per_source", b.PerSource, a.PerSource)
	of(d, "throttle: source_window", b.SourceWindow, a.SourceWindow)
}
