package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// field is what entries can be counted by: its name, and its values in an entry,
// none or more.
type field struct {
	name   string
	values func(e *entry) []string
}

// one is a field with at most one value.
func one(name string, value func(e *entry) string) field {
	return field{name, func(e *entry) []string {
		if v := value(e); v != "" {
			return []string{v}
		}
		return nil
	}}
}

var countFields = []field{
	one("principal", func(e *entry) string { return principal(e.Record) }),
	one("upn", func(e *entry) string { return e.Principal.UPN }),
	one("sid", func(e *entry) string { return e.Principal.SID }),
	one("kind", func(e *entry) string { return e.Principal.Kind }),
	one("source", func(e *entry) string { return address(e.Source.Address) }),
	one("backend", func(e *entry) string { return e.Backend }),
	one("database", func(e *entry) string { return e.Database }),
	one("role", func(e *entry) string { return e.Role }),
	one("rule", func(e *entry) string { return e.Rule }),
	one("group", func(e *entry) string { return e.Group }),
	one("method", func(e *entry) string { return e.Method }),
	one("application", func(e *entry) string { return e.ApplicationName }),
	one("session", func(e *entry) string { return e.Session }),
	one("type", func(e *entry) string { return string(e.Type) }),
	one("decision", func(e *entry) string { return string(e.Decision) }),
	one("cause", func(e *entry) string { return e.Cause }),
	one("missing", func(e *entry) string { return e.Missing }),
	one("incident", func(e *entry) string { return e.Incident }),
	one("command", func(e *entry) string { return e.Command }),
	{"class", func(e *entry) []string { return e.Class }},
	{"tag", func(e *entry) []string { return e.Tags }},
	{"object", objectNames},
	{"resolved", resolvedNames},
	one("resolution", func(e *entry) string { return e.Resolution }),
	one("result", func(e *entry) string { return string(e.answer().Result) }),
	one("sqlstate", func(e *entry) string { return e.answer().SQLSTATE }),
	one("fingerprint", func(e *entry) string { return fingerprint(e.Record) }),
	one("trace", func(e *entry) string { return e.TraceID }),
	one("day", func(e *entry) string { return e.Time.UTC().Format(time.DateOnly) }),
	one("hour", func(e *entry) string { return e.Time.UTC().Format("2006-01-02T15") }),
}

// FieldNames lists what entries can be counted by.
func FieldNames() []string {
	var out []string
	for _, f := range countFields {
		out = append(out, f.name)
	}
	return out
}

func findFields(names []string) ([]field, error) {
	var out []field
	for _, name := range names {
		i := slices.IndexFunc(countFields, func(f field) bool { return strings.EqualFold(f.name, strings.TrimSpace(name)) })
		if i < 0 {
			return nil, fmt.Errorf("nothing is counted by %q; there are %s", name, strings.Join(FieldNames(), ", "))
		}
		if slices.ContainsFunc(out, func(f field) bool { return f.name == countFields[i].name }) {
			return nil, fmt.Errorf("%s is there twice", countFields[i].name)
		}
		out = append(out, countFields[i])
	}
	return out, nil
}

// principal names who it was: by account, by UPN, or by what was claimed.
func principal(r *journal.Record) string {
	switch {
	case r.Principal.Account != "":
		return r.Principal.Account
	case r.Principal.UPN != "":
		return r.Principal.UPN
	case r.User != "":
		return r.User + " (claimed)"
	case r.Reader != nil:
		return localName(r.Reader) + " (local)"
	}
	return ""
}

func fingerprint(r *journal.Record) string {
	if r.Fingerprint == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", r.Fingerprint)
}

// objectName is how an object is written: the schema where the text has it.
func objectName(o *journal.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}

func objectNames(e *entry) []string {
	var out []string
	for i := range e.Objects {
		if name := objectName(&e.Objects[i]); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// resolvedNames are what the names stand for and what stands behind them.
func resolvedNames(e *entry) []string {
	var out []string
	for i := range e.Resolved {
		if name := objectName(&e.Resolved[i].Object); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// column is one of a CSV's.
type column struct {
	name  string
	value func(e *entry) string
}

var csvColumns = []column{
	{"time", func(e *entry) string { return stamp(e.Time) }},
	{"last_time", func(e *entry) string {
		if e.folded == nil {
			return ""
		}
		return stamp(e.folded.last)
	}},
	{"count", func(e *entry) string { return strconv.FormatUint(e.times(), 10) }},
	{"type", func(e *entry) string { return string(e.Type) }},
	{"stream", func(e *entry) string { return e.Stream }},
	{"sequence", func(e *entry) string { return strconv.FormatUint(e.Sequence, 10) }},
	{"session", func(e *entry) string { return e.Session }},
	{"account", func(e *entry) string { return e.Principal.Account }},
	{"upn", func(e *entry) string { return e.Principal.UPN }},
	{"sid", func(e *entry) string { return e.Principal.SID }},
	{"kind", func(e *entry) string { return e.Principal.Kind }},
	{"claimed_user", func(e *entry) string { return e.User }},
	{"claimed_application", func(e *entry) string { return e.ApplicationName }},
	{"claimed_reason", func(e *entry) string { return e.Reason }},
	{"claimed_trace_id", func(e *entry) string { return e.TraceID }},
	{"claimed_span_id", func(e *entry) string { return e.SpanID }},
	{"source_address", func(e *entry) string { return e.Source.Address }},
	{"method", func(e *entry) string { return e.Method }},
	{"rule", func(e *entry) string { return e.Rule }},
	{"backend", func(e *entry) string { return e.Backend }},
	{"database", func(e *entry) string { return e.Database }},
	{"role", func(e *entry) string { return e.Role }},
	{"decision", func(e *entry) string { return string(e.Decision) }},
	{"decision_rule", func(e *entry) string { return e.DecisionRule }},
	{"missing", func(e *entry) string { return e.Missing }},
	{"incident", func(e *entry) string { return e.Incident }},
	{"cause", func(e *entry) string { return e.Cause }},
	{"detail", func(e *entry) string { return e.Detail }},
	{"command", func(e *entry) string { return e.Command }},
	{"class", func(e *entry) string { return strings.Join(e.Class, " ") }},
	{"tags", func(e *entry) string { return strings.Join(e.Tags, " ") }},
	{"objects", func(e *entry) string { return strings.Join(objectNames(e), " ") }},
	{"result", func(e *entry) string { return string(e.answer().Result) }},
	{"fate", func(e *entry) string { return string(e.answer().Fate) }},
	{"sqlstate", func(e *entry) string { return e.answer().SQLSTATE }},
	{"message", func(e *entry) string { return e.answer().Message }},
	{"rows", func(e *entry) string { return natural(e.rows()) }},
	{"bytes", func(e *entry) string { return natural(e.bytes()) }},
	{"parameters", func(e *entry) string { return parameters(e) }},
	{"copy_digest", func(e *entry) string { return e.answer().CopyDigest }},
	{"duration_ms", func(e *entry) string { return milliseconds(e) }},
	{"text", textOf},
	{"text_digest", func(e *entry) string { return e.TextDigest }},
	{"change", func(e *entry) string { return e.Change }},
	{"reader", func(e *entry) string {
		if e.Reader == nil {
			return ""
		}
		return localName(e.Reader)
	}},
	{"claimed_filter", func(e *entry) string { return e.Filter }},
	{"current_role", func(e *entry) string { return e.CurrentRole }},
	{"doubt", func(e *entry) string { return e.Doubt }},
	{"resolution", func(e *entry) string { return e.Resolution }},
	{"resolved", func(e *entry) string { return strings.Join(resolvedNames(e), " ") }},
}

// textOf is the text, or the head of one that is a blob and was not loaded.
func textOf(e *entry) string {
	if e.TextBlob != nil && e.Text == "" {
		load(e.Record, headText)
	}
	return e.Text
}

// parameters tells those of a statement.
func parameters(e *entry) string {
	if e.Parameters == nil {
		return ""
	}
	return e.Parameters.String()
}

// stamp is RFC 3339 with all nine digits, as in JSON.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// natural writes a number that is -1 for none.
func natural(n int64) string {
	if n < 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func milliseconds(e *entry) string {
	if e.took() == 0 && e.outcome == nil && e.Type != audit.Outcome {
		return ""
	}
	return strconv.FormatFloat(float64(e.took().Microseconds())/1e3, 'f', 3, 64)
}
