package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// cancelKey is what the client was given to cancel its statements with: both
// parts are random, and none is the backend's.
type cancelKey struct {
	pid    uint32
	secret []byte // 4 bytes, 32 since protocol 3.2
}

// obtainKey gives the session its cancel key. It fails only while the server
// ends.
func (c *session) obtainKey() bool {
	s := c.server
	secret := make([]byte, c.hello.Request.KeyLength())
	_, _ = rand.Read(secret) // never fails: it ends the program instead
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.draining.Load() {
		var b [4]byte
		_, _ = rand.Read(b[:])
		pid := binary.BigEndian.Uint32(b[:]) &^ (1 << 31) // drivers print it as an int32
		if _, taken := s.keys[pid]; pid != 0 && !taken {
			c.key = cancelKey{pid: pid, secret: secret}
			s.keys[pid] = c
			return true
		}
	}
	return false
}

// cancelRequest passes a CancelRequest on to the backend of the session whose
// key it shows. The client learns nothing, as with PostgreSQL.
func (c *session) cancelRequest(ctx context.Context) {
	defer func() { _ = c.conn.Close() }()
	defer c.hello.Release()
	source := c.hello.Client
	if c.server.strangers.barred(source) {
		c.server.metrics.Cancels.WithLabelValues("throttled").Inc()
		c.server.strangers.note(source, "cancel_throttled", "")
		return
	}
	target := c.server.byKey(c.hello.Cancel.PID, c.hello.Cancel.Secret)
	if target == nil {
		c.server.metrics.Cancels.WithLabelValues("unknown_key").Inc()
		c.server.strangers.wrongKey(source)
		return
	}
	_, err := c.server.recorder.Record(&audit.Event{
		Type: audit.Cancel, Prepared: target.prepared, Decision: audit.Allowed, Cause: "client", Detail: "from " + source.String(),
	})
	if err != nil {
		c.server.log.Error("record", "type", audit.Cancel, "session", target.id, "error", err)
		return
	}
	c.server.metrics.Cancels.WithLabelValues("forwarded").Inc()
	if err := target.backend.Cancel(ctx); err != nil {
		c.server.log.Warn("cancel at backend", "session", target.id, "backend", target.context.Backend, "error", err)
	}
}

// byKey finds the session of a cancel key. Comparing takes as long for a wrong
// secret as for a right one.
func (s *Server) byKey(pid uint32, secret []byte) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, want := s.keys[pid], make([]byte, len(secret))
	if target != nil {
		want = target.key.secret
	}
	if subtle.ConstantTimeCompare(want, secret) != 1 {
		return nil
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
	if err := c.backend.Cancel(ctx); err != nil {
		c.server.log.Warn("cancel at backend", "session", c.id, "backend", c.context.Backend, "cause", cause, "error", err)
	}
}
