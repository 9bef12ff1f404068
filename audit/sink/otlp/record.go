package otlp

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// maxText bounds the text of a statement in a log record, in bytes: two copies of
// it, one of them escaped, fit into a request. One that is cut says so; the journal
// has it whole.
const maxText = 256 << 10

// logRecord maps an audit record. Without body there are only the attributes.
func logRecord(r *journal.Record, body sink.Line) (*logs.LogRecord, error) {
	if len(r.Text) > maxText {
		r = r.Shortened(upTo(r.Text, maxText))
	}
	number, name := severity(r)
	l := &logs.LogRecord{
		TimeUnixNano: uint64(max(0, r.Time.UnixNano())), ObservedTimeUnixNano: uint64(time.Now().UnixNano()),
		SeverityNumber: number, SeverityText: name,
		EventName: eventName(r), Attributes: attributesOf(r),
	}
	l.TraceId, l.SpanId = trace(r)
	if body == nil {
		return l, nil
	}
	line, err := body(r)
	if err != nil {
		return nil, fmt.Errorf("record %d of %s: %w", r.Sequence, r.Stream, err)
	}
	l.Body = stringValue(string(line))
	return l, nil
}

func attributesOf(r *journal.Record) attributes {
	a := peers(attributes{}, r)
	a = statement(reader(a, r), r)
	a = a.text("pgcustos.text_digest", r.TextDigest)
	if length := r.TextLength(); length > int64(len(r.Text)) {
		a = a.number("pgcustos.text_length", length)
	}
	return a
}

func peers(a attributes, r *journal.Record) attributes {
	a = a.text("pgcustos.stream", r.Stream).number("pgcustos.sequence", int64(r.Sequence)).
		text("session.id", r.Session).
		text("user.name", r.Principal.Account).text("user.id", r.Principal.SID).text("pgcustos.user.upn", r.Principal.UPN).
		text("pgcustos.user.kind", r.Principal.Kind).text("pgcustos.user.owner", r.Principal.Owner).
		text("pgcustos.claimed.user", r.User).text("pgcustos.claimed.application_name", r.ApplicationName).
		text("pgcustos.claimed.reason", r.Reason)
	if source, err := netip.ParseAddrPort(r.Source.Address); err == nil {
		a = a.text("client.address", source.Addr().Unmap().String()).number("client.port", int64(source.Port()))
	}
	if version, ok := strings.CutPrefix(r.Source.TLS, "TLSv"); ok {
		a = a.text("tls.protocol.name", "tls").text("tls.protocol.version", version).text("tls.cipher", r.Source.Cipher)
	}
	return a.text("pgcustos.method", r.Method).text("pgcustos.rule", r.Rule).text("pgcustos.group", r.Group).
		text("pgcustos.backend", r.Backend).text("pgcustos.role", r.Role).
		text("pgcustos.decision", string(r.Decision)).text("pgcustos.incident", r.Incident).text("pgcustos.cause", r.Cause)
}

// reader is who read the record itself.
func reader(a attributes, r *journal.Record) attributes {
	if r.Reader == nil {
		return a
	}
	return a.text("user.name", r.Reader.User).number("pgcustos.reader.uid", int64(r.Reader.UID)).
		text("pgcustos.reader.login", r.Reader.Login).number("process.pid", int64(r.Reader.PID)).
		text("pgcustos.claimed.filter", r.Filter)
}

// resolved names what stands behind the names.
func resolved(r *journal.Record) []string {
	var names []string
	for i := range r.Resolved {
		names = append(names, r.Resolved[i].Schema+"."+r.Resolved[i].Name)
	}
	return names
}

func statement(a attributes, r *journal.Record) attributes {
	a = a.text("db.namespace", r.Database)
	if r.Database != "" || r.Backend != "" {
		a = a.text("db.system.name", "postgresql")
	}
	a = a.text("db.operation.name", r.Command).text("db.query.text", r.Text).
		list("pgcustos.class", r.Class).list("pgcustos.tags", r.Tags)
	var objects []string
	for _, o := range r.Objects {
		name := o.Name
		if o.Schema != "" {
			name = o.Schema + "." + name
		}
		objects = append(objects, name)
	}
	a = a.list("pgcustos.objects", objects)
	if len(objects) == 1 {
		a = a.text("db.collection.name", objects[0])
	}
	a = a.text("pgcustos.current_role", r.CurrentRole).text("pgcustos.doubt", r.Doubt).
		text("pgcustos.resolution", r.Resolution).list("pgcustos.resolved", resolved(r))
	a = a.text("pgcustos.missing", r.Missing).text("pgcustos.result", string(r.Result)).text("pgcustos.fate", string(r.Fate)).
		text("db.response.status_code", r.SQLSTATE)
	if r.Result == audit.Failed {
		a = a.text("error.type", r.SQLSTATE)
	}
	if r.Statement != 0 {
		a = a.number("pgcustos.statement", int64(r.Statement))
	}
	if r.Rows >= 0 {
		a = a.number("db.response.returned_rows", r.Rows)
	}
	if r.Bytes >= 0 {
		a = a.number("pgcustos.bytes", r.Bytes)
	}
	if r.Duration != 0 {
		a = a.number("pgcustos.duration_ns", r.Duration.Nanoseconds())
	}
	return a
}

// severity follows the mapping of syslog's in the data model's appendix B.
func severity(r *journal.Record) (logs.SeverityNumber, string) {
	switch {
	case r.Decision == audit.Denied, r.Decision == audit.Unavailable, r.Type == audit.Revocation, r.Type == audit.ParserDied:
		return logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	case r.Decision == audit.WouldDeny, r.Result == audit.Failed, r.Type == audit.Configuration, r.Type == audit.Reading, r.Type == audit.Held, r.Type == audit.Removed:
		return logs.SeverityNumber_SEVERITY_NUMBER_INFO2, "NOTICE"
	}
	return logs.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
}

// trace is what the client claimed in a comment of the statement's text.
func trace(r *journal.Record) (traceID, spanID []byte) {
	traceID, err1 := hex.DecodeString(r.TraceID)
	spanID, err2 := hex.DecodeString(r.SpanID)
	if err1 != nil || err2 != nil || len(traceID) != 16 || len(spanID) != 8 {
		return nil, nil
	}
	return traceID, spanID
}

// valid makes a string that protobuf takes: it refuses what is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// upTo cuts s behind at most n bytes, not within a character.
func upTo(s string, n int) string {
	n = min(n, len(s))
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
