package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// ErrForced says that sessions were ended before they came to an idle point.
var ErrForced = errors.New("sessions were ended in the middle of their work")

// Shutdown turns new clients away, ends each session at its next idle point with
// 57P01, and joins all goroutines. When ctx ends, the sessions that are left are
// ended where they stand, and the error is ErrForced. The listener is the
// caller's: whoever called Serve ends it by its context.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	var err error
	tick := time.NewTicker(watchPeriod / 4)
	defer tick.Stop()
	for s.Sessions() > 0 && err == nil {
		for _, c := range s.live() {
			if c.machine.Part() {
				c.terminate("shutdown", shutdownError())
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = ErrForced
		}
	}
	// Again and again: a session may come to life only now.
	for s.Sessions() > 0 {
		for _, c := range s.live() {
			c.terminate("shutdown_forced", shutdownError())
		}
		<-tick.C
	}
	s.work.Wait()
	return err
}

// Draining reports whether Shutdown was called.
func (s *Server) Draining() bool { return s.draining.Load() }

func shutdownError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.AdminShutdown,
		Message:  "terminating connection due to administrator command",
		Detail:   "The proxy is shutting down.",
		Hint:     "Connect again.",
	}
}
