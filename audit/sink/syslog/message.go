package syslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// The severities in use (RFC 5424, section 6.2.1).
const (
	warning = 4
	notice  = 5
	info    = 6
)

// severity says how much attention a record deserves.
func severity(r *journal.Record) int {
	switch {
	case r.Decision == audit.Denied, r.Decision == audit.Unavailable:
		return warning
	case r.Type == audit.Released, r.Type == audit.Removed && r.Cause == "size", r.Type == audit.Revocation, r.Type == audit.ParserDied, r.Type == audit.JournalOpened && r.Cause != "clean":
		return warning
	case r.Decision == audit.WouldDeny, r.Result == audit.Failed, r.Type == audit.Configuration, r.Type == audit.Reading, r.Type == audit.Held, r.Type == audit.Removed, r.Type == audit.JournalOpened:
		return notice
	}
	for _, tag := range r.Tags {
		if tag == "destructive" || tag == "privilege" {
			return notice
		}
	}
	return info
}

// timestamp has six digits behind the second, as many as RFC 5424 allows.
const timestamp = "2006-01-02T15:04:05.000000Z"

// sdID names the structured data. A private one needs an enterprise number; 32473
// is the one that stands for nobody's (RFC 5612).
const sdID = "pgcustos@32473"

// message makes the message of a record, without its frame.
func (o *Options) message(r *journal.Record) ([]byte, error) {
	b := fmt.Appendf(nil, "<%d>1 %s %s pgcustos - %s [%s", o.Facility*8+severity(r), r.Time.UTC().Format(timestamp),
		token(o.Hostname, 255), token(string(r.Type), 32), sdID)
	principal := r.Principal.UPN
	if principal == "" {
		principal = r.Principal.Account
	}
	for _, p := range []struct{ name, value string }{
		{"stream", r.Stream},
		{"sequence", strconv.FormatUint(r.Sequence, 10)},
		{"session", r.Session},
		{"principal", principal},
		{"source", r.Source.Address},
		{"database", r.Database},
		{"role", r.Role},
		{"rule", r.Rule},
		{"decision", string(r.Decision)},
		{"incident", r.Incident},
	} {
		if p.value != "" {
			b = appendParam(b, p.name, p.value)
		}
	}
	b = append(b, "] "...)
	most := o.MaxMessage
	if most == 0 {
		most = 8192
	}
	body, err := o.fitting(r, most-len(b))
	return append(b, body...), err
}

// token makes a header field: printable ASCII without spaces, "-" for nothing.
func token(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return '_'
		}
		return c
	}, s[:min(len(s), most)])
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// maxParam bounds a value in the structured data; the JSON has it whole.
const maxParam = 128

// appendParam appends a parameter with `"`, `\` and `]` escaped (section 6.3.3),
// and without what could act in a log file or a terminal.
func appendParam(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	for i, c := range value {
		if i >= maxParam {
			b = append(b, "..."...)
			break
		}
		switch {
		case journal.Acts(c):
			c = utf8.RuneError
		case c == '"', c == '\\', c == ']':
			b = append(b, '\\')
		}
		b = utf8.AppendRune(b, c)
	}
	return append(b, '"')
}

// fitting is the record as JSON of at most that many bytes. Of one that is larger,
// the text is cut first; what is cut says so, the journal has it whole.
func (o *Options) fitting(r *journal.Record, most int) ([]byte, error) {
	line, mark := o.Line, ""
	if line == nil {
		line, mark = sink.Native, `,"truncated":true}`
	}
	b, err := line(r)
	if err != nil || len(b) <= most {
		return b, err
	}
	short := r
	for keep := len(r.Text); keep > 0; {
		keep -= max(min(keep, len(b)+len(mark)-most), keep/4, 1)
		short = r.Shortened(upTo(r.Text, keep))
		if b, err = line(short); err != nil {
			return nil, err
		}
		if b = marked(b, mark); len(b) <= most {
			return b, nil
		}
	}
	short = short.Shortened("")
	short.Objects, short.Detail, short.Change, short.Message, short.Unknown = nil, "", "", "", nil
	short.Parameters = nil
	if b, err = line(short); err != nil {
		return nil, err
	}
	if b = marked(b, mark); len(b) <= most {
		return b, nil
	}
	return json.Marshal(map[string]any{
		"time": r.Time.UTC(), "type": string(r.Type), "stream": r.Stream, "sequence": r.Sequence, "truncated": true,
	})
}

func marked(b []byte, mark string) []byte {
	if mark == "" {
		return b // its format has a place for that
	}
	return append(bytes.TrimSuffix(b, []byte("}")), mark...)
}

// upTo cuts s behind at most n bytes, not within a character.
func upTo(s string, n int) string {
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// frame puts the length before a message (RFC 5425, section 4.3).
func frame(b, message []byte) []byte {
	b = strconv.AppendInt(b, int64(len(message)), 10)
	return append(append(b, ' '), message...)
}
