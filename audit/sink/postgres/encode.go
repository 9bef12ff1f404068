package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// The records travel in the binary form of COPY (sql-copy, "Binary Format"): its
// fields have lengths, so that nothing in a text can end one.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// columns are those of pgcustos.events, in the order in which appendRow writes.
const columns = `"time", stream, sequence, node, type, session, account, upn, sid, guid, kind, source, source_port,
	method, rule, matched_group, backend, database, role, application_name, reason, decision, incident, cause, detail,
	missing, command, class, tags, objects, text, text_raw, text_digest, text_length, parameters, parameters_digest, fingerprint, trace_id, span_id, transaction, statement, result, fate, sqlstate,
	message, rows, bytes, duration, copy_digest, record`

const copyStatement = "COPY pgcustos.events (" + columns + ") FROM STDIN (FORMAT binary)"

var columnCount = uint16(strings.Count(columns, ",") + 1)

// maxBodyText bounds the text inside the column record: one copy of a large text is
// enough.
const maxBodyText = 16 << 10

// row is a buffer with what encodes fields into it.
type row struct{ b []byte }

// appendRow appends a record as one row.
func appendRow(b []byte, r *journal.Record) ([]byte, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	w := row{binary.BigEndian.AppendUint16(b, columnCount)}
	w.time(r.Time)
	w.text(r.Stream)
	w.bigint(int64(r.Sequence))
	w.text(r.Node)
	w.text(string(r.Type))
	p := &r.Principal
	w.texts(head(r.Session), head(p.Account), p.UPN, p.SID, p.GUID, p.Kind)
	w.source(r.Source.Address)
	w.texts(r.Method, r.Rule, r.Group, r.Backend, r.Database, r.Role, r.ApplicationName, r.Reason,
		string(r.Decision), r.Incident, r.Cause, r.Detail, r.Missing, r.Command)
	w.list(r.Class)
	w.list(r.Tags)
	w.list(objects(r))
	w.statement(r)
	w.texts(string(r.Result), string(r.Fate), r.SQLSTATE, r.Message)
	w.count(r.Rows)
	w.count(r.Bytes)
	if r.Duration != 0 || r.Bytes >= 0 {
		w.interval(r.Duration)
	} else {
		w.null()
	}
	w.texts(r.CopyDigest)
	w.jsonb(body)
	return w.b, nil
}

// statement writes text, text_raw, text_digest, text_length, parameters and their digest, fingerprint, trace_id,
// span_id, transaction and statement.
func (w *row) statement(r *journal.Record) {
	switch {
	case r.Text == "" && (r.Form == "" || r.Withheld()):
		w.null()
		w.null()
	case clean(r.Text) != r.Text:
		w.bytes([]byte(clean(r.Text)))
		w.bytes([]byte(r.Text))
	default:
		w.string(r.Text)
		w.null()
	}
	w.texts(r.TextDigest)
	w.number(uint64(r.TextLength()))
	w.parameters(r.Parameters)
	if r.Fingerprint != 0 {
		w.string(fmt.Sprintf("%016x", r.Fingerprint))
	} else {
		w.null()
	}
	w.texts(r.TraceID, r.SpanID)
	w.number(r.Transaction)
	w.number(r.Statement)
}

func objects(r *journal.Record) []string {
	out := make([]string, 0, len(r.Objects))
	for _, o := range r.Objects {
		name := o.Name
		if o.Schema != "" {
			name = o.Schema + "." + name
		}
		out = append(out, name)
	}
	return out
}

// clean replaces what a column of type text cannot hold.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// head cuts what is indexed to what an index can hold (2704 bytes, nbtree.h); the
// column record has it whole.
func head(s string) string { return s[:min(len(s), 512)] }

// storable returns t, or the nearest time that has a partition.
func storable(t time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Date(2299, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

func (w *row) null() { w.size(-1) }

func (w *row) size(n int) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(int32(n))) }

func (w *row) bytes(v []byte) {
	w.size(len(v))
	w.b = append(w.b, v...)
}

func (w *row) string(v string) {
	w.size(len(v))
	w.b = append(w.b, v...)
}

// text writes a string, texts several, of which empty ones are NULL.
func (w *row) text(v string) { w.string(clean(v)) }

func (w *row) texts(values ...string) {
	for _, v := range values {
		if v == "" {
			w.null()
		} else {
			w.text(v)
		}
	}
}

func (w *row) bigint(v int64) {
	w.size(8)
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(v))
}

// number writes a number, 0 as NULL; count one that is NULL below 0.
func (w *row) number(v uint64) {
	if v == 0 {
		w.null()
	} else {
		w.bigint(int64(min(v, math.MaxInt64)))
	}
}

func (w *row) count(v int64) {
	if v < 0 {
		w.null()
	} else {
		w.bigint(v)
	}
}

// epoch is PostgreSQL's, in microseconds of Unix time.
const epoch = 946684800 * 1000000

func (w *row) time(t time.Time) { w.bigint(storable(t).UnixMicro() - epoch) }

// interval writes microseconds, days and months (timestamp.h).
func (w *row) interval(d time.Duration) {
	w.size(16)
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(d.Microseconds()))
	w.b = append(w.b, 0, 0, 0, 0, 0, 0, 0, 0)
}

// source writes an address and a port (inet_send in network.c).
func (w *row) source(s string) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		w.null()
		w.null()
		return
	}
	const inet, inet6 = 2, 3 // PGSQL_AF_INET and PGSQL_AF_INET6
	family := byte(inet6)
	ip := a.Addr().Unmap()
	if ip.Is4() {
		family = inet
	}
	raw := ip.AsSlice()
	w.size(4 + len(raw))
	w.b = append(w.b, family, byte(ip.BitLen()), 0, byte(len(raw)))
	w.b = append(w.b, raw...)
	w.size(4)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(a.Port()))
}

// array begins a text[] of so many elements, and returns where its size is to be put.
func (w *row) array(n int) (at int) {
	at = len(w.b)
	w.size(0)
	const textOID = 25
	for _, v := range []uint32{1, 1, textOID, uint32(n), 1} { // dimensions, may hold NULLs, type, length, first index
		w.b = binary.BigEndian.AppendUint32(w.b, v)
	}
	return at
}

// list writes a text[], NULL where it is empty (array_send in arrayfuncs.c).
func (w *row) list(values []string) {
	if len(values) == 0 {
		w.null()
		return
	}
	at := w.array(len(values))
	for _, v := range values {
		w.text(v)
	}
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at-4))
}

// parameters writes the values as text[], in which NULL is NULL, and their digest.
func (w *row) parameters(p *journal.Parameters) {
	switch {
	case p == nil:
		w.null()
		w.null()
		return
	case len(p.Values) == 0:
		w.null()
	default:
		at := w.array(len(p.Values))
		for i := range p.Values {
			switch v := &p.Values[i]; v.Kind {
			case audit.ParameterNull:
				w.null()
			case audit.ParameterRedacted:
				w.text("<redacted>")
			default:
				w.text(v.Value)
			}
		}
		binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at-4))
	}
	w.texts(p.Digest)
}

func (w *row) jsonb(v []byte) {
	w.size(1 + len(v))
	w.b = append(w.b, 1) // the version (jsonb_recv)
	w.b = append(w.b, v...)
}

// bodyOf is the whole record as JSON that jsonb can hold: it has no NUL in it.
func bodyOf(r *journal.Record) ([]byte, error) {
	if len(r.Text) > maxBodyText {
		r = r.Shortened("")
	}
	b, err := r.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("record %d of %s: %w", r.Sequence, r.Stream, err)
	}
	return withoutNUL(b), nil
}

// withoutNUL replaces each \u0000 in JSON, which jsonb refuses, by \ufffd.
func withoutNUL(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u0000`)) {
		return b
	}
	for i := 0; i < len(b)-1; i++ {
		if b[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(b[i:], []byte(`\u0000`)) {
			copy(b[i+2:], "fffd")
		}
		i++ // what is escaped is no beginning of an escape
	}
	return b
}
