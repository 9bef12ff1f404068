package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
)

// Serve accepts clients until ctx ends or the listener fails. Live sessions go
// on: Shutdown ends them.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	s.listener.Store(&ln)
	defer s.left()
	s.work.Go(func() { s.watch(ctx) })
	s.work.Go(func() { s.followDirectory(ctx) })
	s.work.Go(func() { s.strangers.run(ctx) })
	s.work.Go(func() { s.keepMemory(ctx) })
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) && s.ceded.Load():
			s.left()
			<-ctx.Done() // live sessions are watched until then
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the listener was closed: %w", err)
		case err != nil:
			// Out of descriptors, or the client left already: wait for better times.
			s.log.Error("accept", "error", err)
			if !pause(ctx, 50*time.Millisecond) {
				return nil
			}
			continue
		}
		s.admit(conn)
	}
}

// admit gives the connection a goroutine, or turns it away.
func (s *Server) admit(conn net.Conn) {
	place := s.limiter.Load().Enter(ipaddr.Of(conn.RemoteAddr()).Addr(), func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if why := s.unwelcome(place != nil); why != nil {
		if place != nil {
			place.Leave()
		}
		s.turnAway(conn, why)
		return
	}
	tune(conn)
	c := &session{server: s, id: newSessionID(), conn: handover.New(conn), place: place}
	s.arriving.Add(1)
	s.work.Go(func() {
		defer s.arriving.Add(-1)
		defer place.Leave()
		defer c.contain()
		reserveStack()
		c.run()
	})
}

// unwelcoming is why a connection is turned away that nobody has looked at.
type unwelcoming struct{ code, message, cause string }

// unwelcome says why nobody can come in now, nil where somebody can.
func (s *Server) unwelcome(placeLeft bool) *unwelcoming {
	switch {
	case !placeLeft:
		return &unwelcoming{pgwire.TooManyConnections, "sorry, too many clients already", "limit"}
	case s.draining.Load():
		return &unwelcoming{pgwire.CannotConnectNow, "the proxy is shutting down", "draining"}
	case s.memory.Crowded():
		s.metrics.MemoryRefusals.WithLabelValues("connection").Inc()
		s.keptOut.Store(true)
		return &unwelcoming{pgwire.OutOfMemory, "out of memory", "memory"}
	default:
		return nil
	}
}

// turnAway refuses a connection that nobody has looked at, in clear and without
// waiting: libpq shows the message.
func (s *Server) turnAway(conn net.Conn, why *unwelcoming) {
	s.strangers.note(ipaddr.Of(conn.RemoteAddr()), why.cause, "")
	e := pgwire.Error{Severity: pgwire.SeverityFatal, Code: why.code, Message: why.message}
	_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = conn.Write(e.Append(nil))
	_ = conn.Close()
}

// contain ends a session that met a fault of ours, and it alone (invariant 9).
func (c *session) contain() {
	p := recover()
	if p == nil {
		return
	}
	c.server.metrics.SessionPanics.Inc()
	incident := newIncident()
	c.server.log.Error("a session ended by a fault of the proxy",
		"incident", incident, "session", c.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	_, err := c.server.recorder.Record(&audit.Event{
		Type: audit.SessionEnd, Prepared: c.prepared, Context: c.contextIfUnprepared(), Incident: incident, Cause: "panic",
	})
	if err != nil {
		c.server.log.Error("record", "incident", incident, "error", err)
	}
	_ = c.conn.Close()
	if c.hello != nil {
		c.hello.Release()
	}
	if c.backend != nil {
		_ = c.backend.Close()
	}
	c.trace.End("panic")
	c.leave()
}

// pause waits, and reports whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stackOfLogin is what a log-in takes of its goroutine's stack, in bytes.
const stackOfLogin = 14 << 10

// reserveStack has the goroutine's stack grow once, while there is nothing on it to
// copy, and not four times in the midst of a log-in.
//
//go:noinline
func reserveStack() byte {
	var room [stackOfLogin]byte
	return room[len(os.Args)%stackOfLogin]
}
