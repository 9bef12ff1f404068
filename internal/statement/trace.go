package statement

import (
	"bytes"
	"encoding/hex"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// Trace names the trace that a text says it belongs to, and the span in it that
// sent it (W3C Trace Context, sections 3.2.2.3 and 3.2.2.4). Both are the client's
// own word. The zero value is none.
type Trace struct {
	ID      [16]byte
	Span    [8]byte
	Sampled bool // the client's own spans are kept
}

// IsZero reports whether there is no trace.
func (t Trace) IsZero() bool { return t == Trace{} }

const (
	// maxTraced is the longest text, in bytes, that a trace is looked for in.
	maxTraced = 1 << 20
	// maxTraceComment is the longest comment that is taken for a sqlcommenter's.
	maxTraceComment = 8 << 10
	traceKey        = "traceparent"
	// traceSize is the length of a traceparent of version 00.
	traceSize = 55
)

// ReadTrace finds what a sqlcommenter comment of the text says: pairs such as
// traceparent='00-…-…-01', with commas between, in a /* */ comment anywhere
// outside literals (https://google.github.io/sqlcommenter/spec). Values may be
// URL-encoded, and without quotes, as some clients leave them. The last one in
// the text that is well-formed counts; whatever else there is, is none. It
// allocates nothing, and takes time in proportion to the text.
func ReadTrace(text []byte) (t Trace) {
	last := -1
	if len(text) <= maxTraced && bytes.Contains(text, []byte(traceKey)) {
		last = bytes.LastIndex(text, []byte(traceKey)) // slower, and rarely asked for
	}
	for l := sqllex.New(text); last >= 0; {
		token := l.Next()
		if token.Kind == sqllex.End || token.Start > last {
			break
		}
		if token.Kind != sqllex.Comment || token.Open || text[token.Start] != '/' || token.End-token.Start > maxTraceComment {
			continue
		}
		if found, ok := traceIn(text[token.Start+2 : token.End-2]); ok {
			t = found
		}
	}
	return t
}

// traceIn reads the pairs of a comment.
func traceIn(comment []byte) (t Trace, ok bool) {
	for len(comment) > 0 && !ok {
		var key, value []byte
		key, value, comment = cutPair(comment)
		if string(key) == traceKey {
			t, ok = parseTrace(value)
		}
	}
	return t, ok
}

// cutPair takes the first key='value' off, with the comma behind it. A quote in
// a value is escaped by a backslash.
func cutPair(b []byte) (key, value, rest []byte) {
	i := bytes.IndexAny(b, "=,")
	if i < 0 {
		return nil, nil, nil
	}
	if b[i] == ',' {
		return nil, nil, b[i+1:]
	}
	key, b = bytes.TrimSpace(b[:i]), bytes.TrimLeft(b[i+1:], " \t\r\n")
	if len(b) > 0 && b[0] == '\'' {
		end := 1
		for end < len(b) && b[end] != '\'' {
			if b[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(b))
		value, b = b[1:end], b[end:]
	} else {
		end := bytes.IndexByte(b, ',')
		if end < 0 {
			end = len(b)
		}
		value, b = bytes.TrimSpace(b[:end]), b[end:]
	}
	if i := bytes.IndexByte(b, ','); i >= 0 {
		return key, value, b[i+1:]
	}
	return key, value, nil
}

// parseTrace reads a traceparent: version, trace, span and flags in lower-case
// hexadecimal. A version above 00 may have more behind them; ff is none, and so
// are ids of zeros alone.
func parseTrace(value []byte) (t Trace, ok bool) {
	var room [3 * traceSize]byte
	v, ok := unescape(room[:0], value)
	if !ok || len(v) < traceSize || v[2] != '-' || v[35] != '-' || v[52] != '-' || bytes.ContainsAny(v[:traceSize], "ABCDEF") {
		return Trace{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct{ to, from []byte }{
		{version[:], v[:2]}, {t.ID[:], v[3:35]}, {t.Span[:], v[36:52]}, {flags[:], v[53:55]},
	} {
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return Trace{}, false
		}
	}
	switch {
	case version[0] == 0xff, t.ID == [16]byte{}, t.Span == [8]byte{}:
		return Trace{}, false
	case len(v) > traceSize && (version[0] == 0 || v[traceSize] != '-'):
		return Trace{}, false
	}
	t.Sampled = flags[0]&1 != 0
	return t, true
}

// unescape decodes %XX into dst, as far as its capacity goes: a traceparent is
// no longer.
func unescape(dst, value []byte) ([]byte, bool) {
	for i := 0; i < len(value); i++ {
		if len(dst) == cap(dst) {
			return nil, false
		}
		c := value[i]
		if c == '%' {
			var b [1]byte
			if i+2 >= len(value) {
				return nil, false
			}
			if _, err := hex.Decode(b[:], value[i+1:i+3]); err != nil {
				return nil, false
			}
			c, i = b[0], i+2
		}
		dst = append(dst, c)
	}
	return dst, true
}
