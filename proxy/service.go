package proxy

import (
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// Quarantine keeps out from now on the services that these SIDs are of, each for its
// reason, and ends their sessions. It returns how many it ended.
func (s *Server) Quarantine(services map[string]string, since time.Time) (ended int) {
	s.quarantined.Store(&services)
	for _, c := range s.live() {
		if why := c.quarantine(); why != "" && c.revoke(quarantined(why, since)) {
			ended++
		}
	}
	return ended
}

func quarantined(why string, since time.Time) *revocation {
	return &revocation{cause: auth.CauseServiceQuarantined, change: byDirectory, detail: why, since: since}
}

// quarantine says why the session's service is kept out, "" where it is not.
func (c *session) quarantine() string {
	services := c.server.quarantined.Load()
	if services == nil {
		return ""
	}
	return (*services)[c.context.Principal.SID]
}

// Used tells when a service last began a session in this process, the zero time for
// never, and how many it has.
func (s *Server) Used(id *auth.Identity) (last time.Time, sessions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[id.SID], len(s.byAccount[id.Key()])
}

// use notes that a service begins a session. mu is held.
func (s *Server) use(c *session) {
	if c.context.Principal.Kind == string(auth.Service) {
		s.used[c.context.Principal.SID] = time.Now()
	}
}
