package config

import "github.com/pgcustos/pgcustos/internal/ration"

// leastMemory is what the proxy cannot do with less than, in bytes.
const leastMemory = 128 << 20

// readMemory reads what the process may take: three quarters of what there is, where
// the file does not say.
func (c *Config) readMemory(root *object) {
	o := root.section("memory")
	c.MemoryLimit = o.size("limit", max(leastMemory, ration.Machine()/4*3), leastMemory, 1<<50)
	o.done()
}
