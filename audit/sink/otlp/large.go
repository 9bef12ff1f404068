package otlp

import (
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// maxPart bounds each part of a record that no request has room for as it is: escaped,
// and beside the attributes, all of them fit into one.
const maxPart = 64 << 10

// fitting makes a log record that a request has room for. A collector refuses a larger
// one for ever, and with it all that is behind it.
func fitting(r *journal.Record, body sink.Line) (*logs.LogRecord, error) {
	l, err := logRecord(r, body)
	for _, smaller := range []func(*journal.Record) *journal.Record{shortened, outlined} {
		if err != nil || proto.Size(l) <= requestSize {
			return l, err
		}
		if l, err = logRecord(smaller(r), body); err == nil {
			l.Attributes = marked(l.Attributes, r)
		}
	}
	return l, err
}

// marked says that the journal has more.
func marked(a attributes, r *journal.Record) attributes {
	a = a.truth("pgcustos.truncated")
	if n := len(r.Objects); n > 0 {
		a = a.number("pgcustos.objects_count", int64(n))
	}
	return a
}

// shortened cuts what a client, or a configuration, can make large.
func shortened(r *journal.Record) *journal.Record {
	short := r.Shortened(upTo(r.Text, maxPart))
	short.Detail, short.Change, short.Message, short.Name = upTo(r.Detail, maxPart), upTo(r.Change, maxPart), upTo(r.Message, maxPart), upTo(r.Name, maxPart)
	short.Unknown = nil
	if p := r.Parameters; p != nil {
		digest := *p
		digest.Values = nil
		short.Parameters = &digest
	}
	room := maxPart
	for i := range r.Objects {
		if room -= 64 + len(r.Objects[i].Schema) + len(r.Objects[i].Name); room < 0 {
			short.Objects = r.Objects[:i]
			break
		}
	}
	return short
}

// outlined leaves who, where and when, and what became of it.
func outlined(r *journal.Record) *journal.Record {
	short := r.Shortened("")
	short.Detail, short.Change, short.Message, short.Name = "", "", "", ""
	short.Objects, short.Resolved, short.Parameters, short.Unknown = nil, nil, nil, nil
	return short
}
