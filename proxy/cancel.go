package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// cancelKey is what the client was given to cancel its statements with. The
// process id is the backend's, for clients compare it with that in notifications
// and ask PostgreSQL for it; the secret is the proxy's own.
type cancelKey struct {
	pid    uint32
	secret []byte // 4 bytes, 32 since protocol 3.2
}

// obtainKey gives the session its cancel key. It fails only while the server
// ends.
func (c *session) obtainKey() bool {
	s := c.server
	key := cancelKey{pid: c.backend.PID, secret: make([]byte, c.hello.Request.KeyLength())}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.draining.Load() {
		_, _ = rand.Read(key.secret) // never fails: it ends the program instead
		if s.node != "" {
			mark(s.node, key.secret)
		}
		if s.holder(key) == nil {
			c.key = key
			s.keys[key.pid] = append(s.keys[key.pid], c)
			return true
		}
	}
	return false
}

// returnKey takes the session's cancel key back.
func (s *Server) returnKey(c *session) {
	held := slices.DeleteFunc(s.keys[c.key.pid], func(other *session) bool { return other == c })
	if len(held) == 0 {
		delete(s.keys, c.key.pid)
		return
	}
	s.keys[c.key.pid] = held
}

// cancelRequest passes a CancelRequest on to the backend of the session whose
// key it shows. The client learns nothing, as with PostgreSQL.
func (c *session) cancelRequest(ctx context.Context) {
	defer func() { _ = c.conn.Close() }()
	defer c.hello.Release()
	s, source := c.server, c.hello.Client
	key := CancelKey{PID: c.hello.Cancel.PID, Secret: c.hello.Cancel.Secret, Source: source}
	switch barred := s.strangers.barred(source); {
	case barred && !s.beyondGuessing(key):
		s.metrics.Cancels.WithLabelValues("throttled").Inc()
		s.strangers.note(source, "cancel_throttled", "")
	case s.Cancel(ctx, key) || !barred && s.cancelElsewhere(ctx, key):
	default:
		s.metrics.Cancels.WithLabelValues("unknown_key").Inc()
		s.strangers.wrongKey(source)
	}
}

// beyondGuessing reports whether a key is a session's, and shown by somebody who has it
// rather than one who tries them all: it is too long for that, or comes from where the
// session does. Clients that cancel what has just ended look like guessers, and share
// their address with those who cancel in time.
func (s *Server) beyondGuessing(key CancelKey) bool {
	const guessable = 4 // bytes: that of protocol 3.0
	target, _ := s.byKey(key.PID, key.Secret)
	return target != nil && (len(key.Secret) > guessable || target.hello.Client.Addr() == key.Source.Addr())
}

// CancelKey is what a CancelRequest shows, and where it came from.
type CancelKey struct {
	PID    uint32         `json:"pid"`
	Secret []byte         `json:"secret"`
	Source netip.AddrPort `json:"source"`
	// Via is the node that passed it on, which says what Source is; empty for none.
	Via string `json:"via,omitempty"`
}

// from says where a cancel came from.
func (k *CancelKey) from() string {
	if k.Via == "" {
		return "from " + k.Source.String()
	}
	return "from " + k.Source.String() + " via " + k.Via
}

// Elsewhere passes a cancel on to another process, and reports whether its key is
// that of a session there.
type Elsewhere func(context.Context, CancelKey) bool

// SetElsewhere says who is asked about keys that are none of this process's.
func (s *Server) SetElsewhere(e Elsewhere) { s.elsewhere.Store(&e) }

func (s *Server) cancelElsewhere(ctx context.Context, key CancelKey) bool {
	e := s.elsewhere.Load()
	if e == nil || !(*e)(ctx, key) {
		return false
	}
	s.metrics.Cancels.WithLabelValues("passed_on").Inc()
	return true
}

// Cancel passes a cancel on to the backend of the session with that key, when it is
// on record, and reports whether there is one.
func (s *Server) Cancel(ctx context.Context, key CancelKey) bool {
	target, machine := s.byKey(key.PID, key.Secret)
	if target == nil {
		return false
	}
	_, err := s.recorder.Record(&audit.Event{
		Type: audit.Cancel, Prepared: target.prepared, Decision: audit.Allowed, Cause: "client", Detail: key.from(),
	})
	if err != nil {
		s.log.Error("record", "type", audit.Cancel, "session", target.id, "error", err)
		return true
	}
	if machine != nil {
		target.relay.CatchUp(ctx)
	}
	passed, err := target.passCancel(ctx, machine)
	if err != nil {
		s.log.Warn("cancel at backend", "session", target.id, "backend", target.context.Backend, "error", err)
	}
	result := "kept"
	if passed {
		result = "forwarded"
	}
	s.metrics.Cancels.WithLabelValues(result).Inc()
	return true
}

// passCancel has the backend cancel what it runs. Where the statement is still in the
// proxy's hands, the machine sees to it.
func (c *session) passCancel(ctx context.Context, machine *relay.Machine) (passed bool, err error) {
	const patience = 10 * time.Second
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if machine != nil {
		if !machine.Cancel() {
			return false, nil
		}
		defer machine.Passed()
	}
	return true, c.backend.Cancel(ctx)
}

// byKey finds the session of a cancel key, and its machine; nil where it is not relayed.
func (s *Server) byKey(pid uint32, secret []byte) (*session, *relay.Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.holder(cancelKey{pid: pid, secret: secret})
	if c == nil || !c.live {
		return c, nil
	}
	return c, c.machine
}

// holder finds the session of a cancel key among those whose backends, of several
// servers, have the same process id. Comparing takes as long for a wrong secret as
// for a right one.
func (s *Server) holder(key cancelKey) *session {
	var target *session
	for _, c := range s.keys[key.pid] {
		if subtle.ConstantTimeCompare(c.key.secret, key.secret) == 1 {
			target = c
		}
	}
	return target
}

// cancelOwn cancels what the session runs for a reason of the proxy's.
func (c *session) cancelOwn(cause string) {
	const patience = 5 * time.Second
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	_, err := c.server.recorder.Record(&audit.Event{Type: audit.Cancel, Prepared: c.prepared, Decision: audit.Allowed, Cause: cause})
	if err != nil {
		c.server.log.Error("record", "type", audit.Cancel, "session", c.id, "error", err)
	}
	c.server.metrics.Cancels.WithLabelValues("own").Inc()
	if _, err := c.passCancel(ctx, c.machine); err != nil {
		c.server.log.Warn("cancel at backend", "session", c.id, "backend", c.context.Backend, "cause", cause, "error", err)
	}
}
