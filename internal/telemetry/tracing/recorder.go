package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// recorder sees the records of a session's statements go by: what is told in a span
// is on record already.
type recorder struct {
	audit.Recorder
	s *Session
}

// Recorder puts the trace of statements beside their records. A nil Session returns
// r itself.
func (s *Session) Recorder(r audit.Recorder) audit.Recorder {
	if s == nil {
		return r
	}
	return &recorder{r, s}
}

// Record implements audit.Recorder.
func (r *recorder) Record(e *audit.Event) (audit.Receipt, error) {
	receipt, err := r.Recorder.Record(e)
	if err != nil {
		return receipt, err
	}
	switch e.Type { //nolint:exhaustive // the others have no span
	case audit.Statement:
		r.s.statement(e, receipt.Sequence)
	case audit.Outcome:
		r.s.outcome(e)
	}
	return receipt, nil
}

// maxOpen bounds the statements of a session that are open.
const maxOpen = 4096

// statement begins a span: of the client's trace where the text names one, otherwise
// of one of its own. The event's strings are copied: they live for this call alone.
func (s *Session) statement(e *audit.Event, sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.open) >= maxOpen {
		return
	}
	ctx := context.Background()
	if !e.Trace.IsZero() {
		var flags trace.TraceFlags
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: e.Trace.ID, SpanID: e.Trace.Span, TraceFlags: flags.WithSampled(e.Trace.Sampled), Remote: true,
		}))
	}
	summary := summaryOf(e)
	_, span := s.t.tracer.Start(ctx, summary, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(trace.Link{SpanContext: s.span.SpanContext()}))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(s.peers...)
	span.SetAttributes(attribute.String("db.operation.name", strings.Clone(e.Command)), attribute.String("db.query.summary", summary),
		attribute.String("pgcustos.decision", string(e.Decision)), attribute.Int64("pgcustos.sequence", int64(sequence)))
	if len(e.Objects) == 1 {
		span.SetAttributes(attribute.String("db.collection.name", objectName(&e.Objects[0])))
	}
	if s.t.o.MaskedText && e.Form != statement.Withheld {
		span.SetAttributes(attribute.String("db.query.text", masked(e)))
	}
	if e.Decision == audit.Denied || e.Decision == audit.Unavailable {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", "pgcustos."+string(e.Decision)), attribute.String("pgcustos.incident", strings.Clone(e.Incident)))
		span.End()
		return
	}
	s.open[sequence] = span
}

// outcome ends the span of a statement.
func (s *Session) outcome(e *audit.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := s.open[e.Statement]
	if span == nil {
		return
	}
	delete(s.open, e.Statement)
	if e.Rows >= 0 {
		span.SetAttributes(attribute.Int64("db.response.returned_rows", e.Rows))
	}
	if e.Result != audit.Completed && e.Result != audit.Suspended {
		kind := string(e.Result)
		if e.SQLSTATE != "" {
			kind = strings.Clone(e.SQLSTATE)
			span.SetAttributes(attribute.String("db.response.status_code", kind))
		}
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", kind))
	}
	span.End()
}

const (
	maxSummary = 255     // bytes, as the conventions say
	maxMasked  = 4 << 10 // bytes of a text
)

// summaryOf is what the statement does, and to what: of few different values, and
// without literals.
func summaryOf(e *audit.Event) string {
	parts := []string{e.Command}
	if e.Command == "" {
		parts[0] = "statement"
	}
	for i := range e.Objects {
		if e.Objects[i].Kind == "setting" || e.Objects[i].Kind == "function" {
			continue
		}
		parts = append(parts, objectName(&e.Objects[i]))
		if len(parts) == 4 {
			break
		}
	}
	summary := strings.ToValidUTF8(strings.Join(parts, " "), "\uFFFD")
	return strings.ToValidUTF8(summary[:min(len(summary), maxSummary)], "")
}

func objectName(o *statement.Object) string {
	if o.Schema == "" {
		return strings.Clone(o.Name)
	}
	return o.Schema + "." + o.Name
}

// masked is the beginning of the text without its literals. What has been masked
// or redacted is masked again: it changes nothing.
func masked(e *audit.Event) string {
	return statement.Mask([]byte(e.Text[:min(len(e.Text), maxMasked)]))
}
