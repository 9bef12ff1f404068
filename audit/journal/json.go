package journal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
)

// timeLayout is RFC 3339 with all nine digits, so that times sort as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// jsonRecord is a record as JSON. The names stay.
type jsonRecord struct {
	Time          string          `json:"time"`
	Type          string          `json:"type"`
	Stream        string          `json:"stream"`
	Sequence      uint64          `json:"sequence"`
	Node          string          `json:"node"`
	Decision      string          `json:"decision,omitempty"`
	Incident      string          `json:"incident,omitempty"`
	Cause         string          `json:"cause,omitempty"`
	Detail        string          `json:"detail,omitempty"`
	Count         uint64          `json:"count,omitempty"`
	Session       string          `json:"session,omitempty"`
	Principal     *jsonPrincipal  `json:"principal,omitempty"`
	Claimed       *jsonClaimed    `json:"claimed,omitempty"`
	Source        *jsonSource     `json:"source,omitempty"`
	Method        string          `json:"method,omitempty"`
	Rule          string          `json:"rule,omitempty"`
	Group         string          `json:"group,omitempty"`
	Backend       string          `json:"backend,omitempty"`
	Database      string          `json:"database,omitempty"`
	Role          string          `json:"role,omitempty"`
	CurrentRole   string          `json:"current_role,omitempty"`
	Doubt         string          `json:"doubt,omitempty"`
	BackendPID    uint64          `json:"backend_pid,omitempty"`
	DecisionRule  string          `json:"decision_rule,omitempty"`
	Missing       string          `json:"missing,omitempty"`
	Command       string          `json:"command,omitempty"`
	Class         []string        `json:"class,omitempty"`
	Tags          []string        `json:"tags,omitempty"`
	Objects       []jsonObject    `json:"objects,omitempty"`
	Resolution    string          `json:"resolution,omitempty"`
	Resolved      []jsonResolved  `json:"resolved,omitempty"`
	LeftOut       uint64          `json:"left_out,omitempty"`
	Text          *string         `json:"text,omitempty"`
	TextBase64    string          `json:"text_base64,omitempty"`
	TextDigest    string          `json:"text_digest,omitempty"`
	TextLength    int64           `json:"text_length,omitempty"` // where text is not all of it
	TextBlob      *jsonBlob       `json:"text_blob,omitempty"`
	TextFault     string          `json:"text_fault,omitempty"`
	Form          string          `json:"form,omitempty"`
	Name          string          `json:"name,omitempty"`
	Fingerprint   string          `json:"fingerprint,omitempty"`
	Index         uint64          `json:"index,omitempty"`
	Of            uint64          `json:"of,omitempty"`
	Transaction   uint64          `json:"transaction,omitempty"`
	Protocol      string          `json:"protocol,omitempty"`
	Statement     uint64          `json:"statement,omitempty"`
	Result        string          `json:"result,omitempty"`
	Fate          string          `json:"fate,omitempty"`
	SQLSTATE      string          `json:"sqlstate,omitempty"`
	Message       string          `json:"message,omitempty"`
	MessageLength uint64          `json:"message_length,omitempty"`
	Rows          *int64          `json:"rows,omitempty"`
	Bytes         *int64          `json:"bytes,omitempty"`
	Duration      *int64          `json:"duration_ns,omitempty"`
	Parameters    *jsonParameters `json:"parameters,omitempty"`
	CopyDigest    string          `json:"copy_digest,omitempty"`
	Digest        string          `json:"digest,omitempty"`
	Change        string          `json:"change,omitempty"`
	Reader        *jsonReader     `json:"reader,omitempty"`
	Checkpoint    *jsonCheckpoint `json:"checkpoint,omitempty"`
	Earlier       []jsonEarlier   `json:"earlier,omitempty"`
	Cut           bool            `json:"cut,omitempty"`
}

type jsonPrincipal struct {
	Account string `json:"account,omitempty"`
	UPN     string `json:"upn,omitempty"`
	SID     string `json:"sid,omitempty"`
	GUID    string `json:"guid,omitempty"`
	DN      string `json:"dn,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Owner   string `json:"owner,omitempty"`
}

// jsonClaimed is what the client said of itself.
type jsonClaimed struct {
	User            string `json:"user,omitempty"`
	ApplicationName string `json:"application_name,omitempty"`
	Reason          string `json:"reason,omitempty"`
	TraceID         string `json:"trace_id,omitempty"`
	SpanID          string `json:"span_id,omitempty"`
	Filter          string `json:"filter,omitempty"`
}

// jsonReader is who read the record.
type jsonReader struct {
	User  string `json:"user,omitempty"`
	UID   uint32 `json:"uid"`
	Login string `json:"login,omitempty"`
	PID   uint32 `json:"pid,omitempty"`
}

type jsonSource struct {
	Address string `json:"address,omitempty"`
	Via     string `json:"via,omitempty"`
	TLS     string `json:"tls,omitempty"`
	Cipher  string `json:"cipher,omitempty"`
}

type jsonObject struct {
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name"`
	Kind   string `json:"kind,omitempty"`
	Use    string `json:"use,omitempty"`
}

// jsonResolved is an object of the catalog.
type jsonResolved struct {
	jsonObject
	Through string `json:"through,omitempty"`
	Facts   string `json:"facts,omitempty"`
}

// jsonBlob is a reference to a blob.
type jsonBlob struct {
	Digest string `json:"digest"`
	Length int64  `json:"length"`
	Sum    string `json:"sha256"` // of its file
}

func refJSON(ref *audit.BlobRef) *jsonBlob {
	if ref == nil {
		return nil
	}
	return &jsonBlob{hex.EncodeToString(ref.Digest[:]), ref.Length, hex.EncodeToString(ref.Sum[:])}
}

// MarshalJSON implements json.Marshaler. What is not UTF-8 becomes U+FFFD, and
// the text then stands in text_base64 too. Runes that act in a terminal are
// written as \u escapes.
func (r *Record) MarshalJSON() ([]byte, error) {
	j := r.json()
	return r.encode(&j)
}

func (r *Record) encode(j *jsonRecord) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(j); err != nil {
		return nil, err
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(r.Unknown) > 0 {
		var err error
		if out, err = r.withUnknown(out); err != nil {
			return nil, err
		}
	}
	return EscapeActing(out), nil
}

// withUnknown puts the fields that this version does not know behind the others.
func (r *Record) withUnknown(object []byte) ([]byte, error) {
	values := map[uint16][]string{}
	var order []uint16
	for _, f := range r.Unknown {
		if values[f.ID] == nil {
			order = append(order, f.ID)
		}
		values[f.ID] = append(values[f.ID], base64.StdEncoding.EncodeToString(f.Value))
	}
	out := bytes.TrimSuffix(object, []byte("}"))
	for _, id := range order {
		list, err := json.Marshal(values[id])
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, `,"field_%d":%s`, id, list)
	}
	return append(out, '}'), nil
}

func (r *Record) json() jsonRecord {
	j := jsonRecord{
		Time: r.Time.UTC().Format(timeLayout), Type: valid(string(r.Type)), Stream: valid(r.Stream),
		Sequence: r.Sequence, Node: valid(r.Node), Decision: valid(string(r.Decision)),
		Incident: valid(r.Incident), Cause: valid(r.Cause), Detail: valid(r.Detail), Count: r.Count,
		Session: valid(r.Session), Method: valid(r.Method), Rule: valid(r.Rule), Group: valid(r.Group),
		Backend: valid(r.Backend), Database: valid(r.Database), Role: valid(r.Role), CurrentRole: valid(r.CurrentRole), Doubt: valid(r.Doubt), BackendPID: r.BackendPID,
		DecisionRule: valid(r.DecisionRule), Missing: valid(r.Missing), Command: valid(r.Command),
		Class: r.Class, Tags: r.Tags, Objects: r.jsonObjects(),
		Resolution: valid(r.Resolution), Resolved: r.jsonResolved(), LeftOut: r.LeftOut, Form: valid(r.Form), Name: valid(r.Name),
		Index: r.Index, Of: r.Of, Transaction: r.Transaction, Protocol: valid(r.Protocol),
		Statement: r.Statement, Result: valid(string(r.Result)), Fate: valid(string(r.Fate)),
		SQLSTATE: valid(r.SQLSTATE), Message: valid(r.Message), MessageLength: r.MessageLength,
		CopyDigest: r.CopyDigest, Parameters: r.jsonParameters(),
		Digest: valid(r.Digest), Change: valid(r.Change), Cut: r.Cut,
	}
	j.Checkpoint, j.Earlier = r.jsonChain()
	r.jsonPeers(&j)
	r.jsonNumbers(&j)
	r.jsonText(&j)
	return j
}

func (r *Record) jsonText(j *jsonRecord) {
	if r.Form != "" && !r.Withheld() || r.Text != "" {
		text := valid(r.Text)
		j.Text = &text
		if !utf8.ValidString(r.Text) {
			j.TextBase64 = base64.StdEncoding.EncodeToString([]byte(r.Text))
		}
	}
	j.TextBlob, j.TextFault = refJSON(r.TextBlob), valid(r.TextFault)
	if length := r.TextLength(); length > int64(len(r.Text)) {
		j.TextLength = length
	}
	j.TextDigest = r.TextDigest
}

func (r *Record) jsonPeers(j *jsonRecord) {
	p := r.Principal
	principal := jsonPrincipal{valid(p.Account), valid(p.UPN), valid(p.SID), valid(p.GUID), valid(p.DN), valid(p.Kind), valid(p.Owner)}
	if principal != (jsonPrincipal{}) {
		j.Principal = &principal
	}
	claimed := jsonClaimed{valid(r.User), valid(r.ApplicationName), valid(r.Reason), r.TraceID, r.SpanID, valid(r.Filter)}
	if o := r.Reader; o != nil {
		j.Reader = &jsonReader{valid(o.User), o.UID, valid(o.Login), o.PID}
	}
	if claimed != (jsonClaimed{}) {
		j.Claimed = &claimed
	}
	source := jsonSource{valid(r.Source.Address), valid(r.Source.Via), valid(r.Source.TLS), valid(r.Source.Cipher)}
	if source != (jsonSource{}) {
		j.Source = &source
	}
}

func (r *Record) jsonNumbers(j *jsonRecord) {
	if r.Rows >= 0 {
		j.Rows = &r.Rows
	}
	if r.Bytes >= 0 {
		j.Bytes = &r.Bytes
		duration := r.Duration.Nanoseconds()
		j.Duration = &duration
	} else if r.Duration != 0 {
		duration := r.Duration.Nanoseconds()
		j.Duration = &duration
	}
	if r.Fingerprint != 0 {
		j.Fingerprint = fmt.Sprintf("%016x", r.Fingerprint)
	}
}

func (r *Record) jsonObjects() []jsonObject {
	var out []jsonObject
	for _, o := range r.Objects {
		out = append(out, jsonObject{valid(o.Schema), valid(o.Name), valid(o.Kind), o.Use})
	}
	return out
}

func (r *Record) jsonResolved() []jsonResolved {
	var out []jsonResolved
	for _, o := range r.Resolved {
		out = append(out, jsonResolved{jsonObject{valid(o.Schema), valid(o.Name), valid(o.Kind), o.Use}, o.Through, valid(o.Facts)})
	}
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// EscapeActing writes the runes that act in a terminal as \u escapes. In JSON
// they can only stand inside strings; encoding/json has dealt with C0.
func EscapeActing(b []byte) []byte {
	if isPlain(b) || bytes.IndexFunc(b, Acts) < 0 {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if Acts(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// isPlain says whether all is printable ASCII, as most records are.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// Acts says whether a terminal may act on the rune instead of showing it: C0,
// DEL, C1, the line and paragraph separators, and what changes the direction of
// writing or is not seen (Unicode Standard Annex 9; CVE-2021-42574).
func Acts(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r == 0x061c, r == 0x00ad, r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return false
}
