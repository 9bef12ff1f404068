package tracing

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcustos/pgcustos/audit"
)

// Session is the trace of one session: a span from its start to its end, and below
// it one for each step of the log-in. Statements have spans of their own, linked to
// it: a session may last for weeks.
type Session struct {
	t    *Tracer
	ctx  context.Context //nolint:containedctx // it is nothing but the span
	span trace.Span

	mu sync.Mutex
	// Guarded by mu.
	peers []attribute.KeyValue // what all statements have in common
	open  map[uint64]trace.Span
	ended bool
}

// Begin begins a session's trace. A nil Tracer returns nil.
func (t *Tracer) Begin(id string) *Session {
	if t == nil {
		return nil
	}
	s := &Session{t: t, open: map[uint64]trace.Span{}, peers: []attribute.KeyValue{attribute.String("session.id", id), system}}
	s.ctx, s.span = t.tracer.Start(context.Background(), "session", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(s.peers...))
	return s
}

// system is that of all databases here (semantic conventions for databases).
var system = attribute.String("db.system.name", "postgresql")

// Step adds a part of the log-in that began then, and ends now. What an error says
// stays out: it stands in the record.
func (s *Session) Step(name string, began time.Time, err error) {
	if s == nil {
		return
	}
	_, span := s.t.tracer.Start(s.ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(began))
	if err != nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strings.ReplaceAll(name, " ", "_")))
	}
	span.End()
}

// Identify says who it is, and where the session leads.
func (s *Session) Identify(c *audit.Context) {
	if s == nil {
		return
	}
	user := c.Principal.UPN
	if user == "" {
		user = c.Principal.Account
	}
	more := []attribute.KeyValue{
		attribute.String("user.name", user), attribute.String("db.namespace", c.Database),
		attribute.String("pgcustos.backend", c.Backend), attribute.String("pgcustos.role", c.Role), attribute.String("pgcustos.rule", c.Rule),
	}
	s.span.SetAttributes(more...)
	s.span.SetAttributes(attribute.String("client.address", c.Source.Address.Addr().Unmap().String()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, more...)
}

// End ends the trace, for a cause; statements that are open end with it. Only the
// first call counts.
func (s *Session) End(cause string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	for _, span := range s.open {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", "connection_lost"))
		span.End()
	}
	clear(s.open)
	s.span.SetAttributes(attribute.String("pgcustos.cause", cause))
	s.span.End()
}
