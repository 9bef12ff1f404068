package view

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// OCSFVersion is the version of the Open Cybersecurity Schema Framework that the
// events follow: https://schema.ocsf.io/1.8.0/, classes datastore_activity (6005),
// authentication (3002), entity_management (3004) and base_event (0), profile security_control.
const OCSFVersion = "1.8.0"

// ocsfEvents prints entries as OCSF events, one JSON object on each line.
//
// Statements with their outcomes, sessions' starts and refusals to start one are
// Datastore Activity; log-ins and the ends of sessions are Authentication; changes of the
// configuration, holds and removals are Entity Management. What has
// no class of its own, or not what its class requires, is a Base Event. What OCSF has
// no attribute for stands under unmapped, by the names of audit/FORMAT.md.
type ocsfEvents struct{ out *bufio.Writer }

func newOCSF(w io.Writer) *ocsfEvents { return &ocsfEvents{bufio.NewWriterSize(w, 64<<10)} }

func (o *ocsfEvents) put(e *entry) error {
	event, err := ocsf(e)
	if err != nil {
		return err
	}
	return writeJSON(o.out, event)
}

func (o *ocsfEvents) flush() error { return o.out.Flush() }
func (o *ocsfEvents) end() error   { return o.out.Flush() }

// attributes is an object of OCSF.
type attributes map[string]any

// set sets what is not empty; strings become valid UTF-8.
func (a attributes) set(name string, value any) {
	switch v := value.(type) {
	case string:
		if v != "" {
			a[name] = strings.ToValidUTF8(v, "\uFFFD")
		}
	case attributes:
		if len(v) > 0 {
			a[name] = v
		}
	default:
		a[name] = value
	}
}

// ocsf maps an entry.
func ocsf(e *entry) (attributes, error) {
	rest, err := unmapped(e)
	if err != nil {
		return nil, err
	}
	a := attributes{
		"time":     e.Time.UnixMilli(),
		"metadata": ocsfMetadata(e),
		"severity": "Informational", "severity_id": 1,
	}
	a.set("message", ocsfMessage(e))
	ocsfStatus(a, e)
	ocsfDecision(a, e)
	if e.times() > 1 {
		a["count"] = e.times()
		a["start_time"], a["end_time"] = e.Time.UnixMilli(), e.last().UnixMilli()
	}
	ocsfClass(a, e, rest)
	a.set("unmapped", attributes(rest))
	return a, nil
}

func ocsfMetadata(e *entry) attributes {
	m := attributes{
		"version":  OCSFVersion,
		"product":  attributes{"name": "pgcustos", "vendor_name": "pgcustos"},
		"profiles": []string{"security_control"},
		"log_name": "journal",
		"sequence": e.Sequence,
	}
	m.set("uid", e.Stream+"/"+natural(int64(e.Sequence)))
	m.set("log_provider", e.Node)
	m.set("original_time", stamp(e.Time))
	m.set("correlation_uid", e.Session)
	m.set("event_code", string(e.Type))
	return m
}

// ocsfClass chooses the class, and sets what is its own.
func ocsfClass(a attributes, e *entry, rest map[string]any) {
	source := ocsfSource(e.Record)
	user := ocsfUser(e.Record)
	switch {
	case ocsfManaged(a, e):
		return
	case e.Type == audit.Reading:
		ocsfClassify(a, 6, "Application Activity", 5, "Datastore Activity", 4, "Query")
		ocsfReading(a, e, rest)
		return
	case len(source) == 0 || len(user) == 0:
	case e.Type == audit.Authentication:
		ocsfClassify(a, 3, "Identity & Access Management", 2, "Authentication", 1, "Logon")
		ocsfLogon(a, e, source, user, rest)
		return
	case e.Type == audit.SessionEnd:
		ocsfClassify(a, 3, "Identity & Access Management", 2, "Authentication", 2, "Logoff")
		ocsfLogon(a, e, source, user, rest)
		return
	case e.Database == "":
	case isStatement(e.Record), e.Type == audit.Outcome, e.Type == audit.SessionStart, e.Type == audit.Authorization:
		id, name := ocsfActivity(e.Record)
		ocsfClassify(a, 6, "Application Activity", 5, "Datastore Activity", id, name)
		ocsfDatastore(a, e, source, user, rest)
		return
	}
	ocsfClassify(a, 0, "Uncategorized", 0, "Base Event", 99, string(e.Type))
}

func ocsfClassify(a attributes, category int, categoryName string, class int, className string, activity int, activityName string) {
	uid := category*1000 + class
	a["category_uid"], a["category_name"] = category, categoryName
	a["class_uid"], a["class_name"] = uid, className
	a["activity_id"], a["type_uid"] = activity, uid*100+activity
	a.set("activity_name", activityName)
	a.set("type_name", className+": "+activityName)
}

func ocsfLogon(a attributes, e *entry, source, user attributes, rest map[string]any) {
	a["src_endpoint"], a["user"] = source, user
	a["is_remote"] = true
	a["service"] = attributes{"name": "pgcustos"}
	a.set("dst_endpoint", ocsfBackend(e.Record))
	switch e.Method {
	case "kerberos":
		a["auth_protocol_id"], a["auth_protocol"] = 2, "Kerberos"
	case "password":
		a["auth_protocol_id"], a["auth_protocol"] = 12, "LDAP"
	case "":
	default:
		a["auth_protocol_id"] = 99
		a.set("auth_protocol", e.Method)
	}
	a["logon_type_id"], a["logon_type"] = 3, "Network"
	a.set("session", ocsfSession(e.Record))
	forget(rest, "principal", "source.address", "source.via", "session", "method", "backend")
}

func ocsfDatastore(a attributes, e *entry, source, user attributes, rest map[string]any) {
	a["src_endpoint"] = source
	actor := attributes{"user": user}
	actor.set("app_name", e.ApplicationName)
	actor.set("session", ocsfSession(e.Record))
	a["actor"] = actor
	database := attributes{"type_id": 1, "type": "Relational"}
	database.set("name", e.Database)
	a["database"] = database
	a["type_id"], a["type"] = 1, "Database"
	a.set("dst_endpoint", ocsfBackend(e.Record))
	if isStatement(e.Record) {
		query := attributes{"query_string": strings.ToValidUTF8(e.Text, "\uFFFD")}
		query.set("uid", fingerprint(e.Record))
		if e.bytes() >= 0 {
			query["bytes"] = e.bytes()
		}
		a["query_info"] = query
		forget(rest, "text", "fingerprint", "outcome.bytes")
	}
	if tables := ocsfTables(e.Record); len(tables) == 1 {
		a["table"] = attributes{"name": tables[0]}
	}
	forget(rest, "principal", "source.address", "source.via", "session", "backend", "database", "claimed.application_name")
}

// ocsfReading maps a reading of the record itself: from this machine, by a user of
// its operating system.
func ocsfReading(a attributes, e *entry, rest map[string]any) {
	user := attributes{"type_id": 0, "type": "Unknown", "uid": strconv.FormatUint(uint64(e.Reader.UID), 10)}
	user.set("name", e.Reader.User)
	actor := attributes{"user": user, "app_name": "pgcustos"}
	if e.Reader.PID != 0 {
		actor["process"] = attributes{"pid": e.Reader.PID}
	}
	a["actor"] = actor
	source := attributes{}
	source.set("name", e.Node)
	a["src_endpoint"] = source
	a["database"] = attributes{"type_id": 99, "type": "audit journal", "name": "pgcustos"}
	a["type_id"], a["type"] = 1, "Database"
	a["query_info"] = attributes{"query_string": strings.ToValidUTF8(strings.TrimSpace(e.Command+" "+e.Filter), "\uFFFD")}
	forget(rest, "command", "claimed.filter", "reader.uid", "reader.user", "reader.pid")
}

// ocsfTables names the relations of a statement.
func ocsfTables(r *journal.Record) []string {
	var out []string
	for i := range r.Objects {
		switch r.Objects[i].Kind {
		case "table", "view", "relation", "materialized view", "foreign table":
			out = append(out, strings.ToValidUTF8(objectName(&r.Objects[i]), "\uFFFD"))
		}
	}
	return out
}

func ocsfUser(r *journal.Record) attributes {
	u := attributes{}
	name := r.Principal.UPN
	if name == "" {
		name = r.Principal.Account
	}
	if name == "" {
		name = r.User // claimed: nobody was authenticated; unmapped says so
	}
	u.set("name", name)
	u.set("uid", r.Principal.SID)
	u.set("uid_alt", r.Principal.GUID)
	if len(u) == 0 {
		return u
	}
	if r.Principal.Account != "" {
		account := attributes{"type_id": 99, "type": "Active Directory"}
		account.set("name", r.Principal.Account)
		u["account"] = account
	}
	switch r.Principal.Kind {
	case "person":
		u["type_id"], u["type"] = 1, "User"
	case "service":
		u["type_id"], u["type"] = 4, "Service"
	default:
		u["type_id"], u["type"] = 0, "Unknown"
	}
	if r.Group != "" {
		group := attributes{}
		group.set("name", r.Group)
		u["groups"] = []attributes{group}
	}
	return u
}

func ocsfSource(r *journal.Record) attributes {
	s := attributes{}
	a, err := netip.ParseAddrPort(r.Source.Address)
	if err != nil {
		return s
	}
	s["ip"], s["port"] = ipaddr.Plain(a.Addr()).String(), a.Port()
	if v, err := netip.ParseAddrPort(r.Source.Via); err == nil {
		s["intermediate_ips"] = []string{ipaddr.Plain(v.Addr()).String()}
	}
	return s
}

func ocsfBackend(r *journal.Record) attributes {
	d := attributes{}
	d.set("svc_name", r.Backend)
	return d
}

func ocsfSession(r *journal.Record) attributes {
	s := attributes{}
	s.set("uid", r.Session)
	if len(s) > 0 {
		s["is_remote"] = true
	}
	if r.Type == audit.SessionEnd {
		s.set("expiration_reason", r.Cause)
	}
	return s
}

// ocsfMessage is a sentence for people.
func ocsfMessage(e *entry) string {
	who := principal(e.Record)
	if who == "" {
		who = "somebody"
	}
	text := who + ": " + event(e.Record)
	if v, _ := verdict(e.Record); v != "" {
		text += ", " + strings.ToLower(v)
	}
	if out := outcome(e); out != "" {
		text += ", " + out
	}
	if e.Database != "" {
		text += " in " + at(e.Role, e.Database)
	}
	return neutral(text, 400)
}

// unmapped is the record, and its outcome, as JSON lines have them, without what
// every event maps.
func unmapped(e *entry) (map[string]any, error) {
	out, err := asMap(e.Record)
	if err != nil {
		return nil, err
	}
	forget(out, "time", "stream", "sequence", "node", "type", "count")
	if e.outcome != nil {
		answer, err := asMap(e.outcome)
		if err != nil {
			return nil, err
		}
		for name := range answer {
			if _, same := out[name]; same && name != "command" || name == "type" || name == "time" || name == "stream" || name == "node" {
				delete(answer, name)
			}
		}
		answer["time"] = stamp(e.outcome.Time)
		out["outcome"] = answer
		forget(out, "outcome.sqlstate", "outcome.message")
	} else {
		forget(out, "sqlstate", "message")
	}
	if e.folded != nil {
		out["folded"] = jsonFold{e.folded.count, stamp(e.Time), stamp(e.folded.last), e.folded.rows, e.folded.bytes, e.folded.took.Nanoseconds()}
		forget(out, "outcome")
	}
	return out, nil
}

func asMap(r *journal.Record) (map[string]any, error) {
	b, err := r.MarshalJSON()
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out map[string]any
	return out, d.Decode(&out)
}

// forget deletes names, with a dot also inside.
func forget(m map[string]any, names ...string) {
	for _, name := range names {
		outer, inner, nested := strings.Cut(name, ".")
		if !nested {
			delete(m, name)
			continue
		}
		if o, ok := m[outer].(map[string]any); ok {
			delete(o, inner)
			if len(o) == 0 {
				delete(m, outer)
			}
		}
	}
}
