package relay

import (
	"strings"

	"github.com/pgcustos/pgcustos/auth"
)

// Streams tells what a grant makes of the changes that the backend streams, or has been
// asked to: they have no end, so that nothing else would judge them again.
func (m *Machine) Streams(g *auth.Grant) auth.Decision {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.runs.len() {
		st := m.runs.at(i).st
		if !strings.HasPrefix(st.Command, "START_REPLICATION") {
			continue
		}
		if d := g.DecideStatement(st, m.path); !d.Allowed && g.Mode != auth.Observe {
			return d
		}
	}
	return auth.Decision{Allowed: true}
}
