package proxy

import (
	"context"
	"time"
)

// Cede stops accepting clients without turning any away: another process accepts
// from the same socket, whose queue is kept, or will. Those who were accepted get
// their sessions.
func (s *Server) Cede() {
	s.ceded.Store(true)
	if ln := s.listener.Load(); ln != nil {
		_ = (*ln).Close()
	}
}

// Idle waits until there is neither a session nor a client on the way to one, or ctx
// ends. It ends none.
func (s *Server) Idle(ctx context.Context) {
	select {
	case <-s.gone: // from here on all that were accepted are counted
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(watchPeriod / 4)
	defer tick.Stop()
	for s.arriving.Load() > 0 || s.Sessions() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
