package journal

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fields writes fields to b, or counts their bytes where b is nil. Both passes
// run the same code, so that the room asked for is the room used.
type fields struct {
	b   []byte
	n   int
	cut bool // a string was cut to its bound

	text *keptText // of the event; nil for none

	shared int64 // where the session's fields stand already; 0: nowhere
	whole  bool  // they were written, all of them
}

// keptText is what the journal makes of an event's text.
type keptText struct {
	digest [32]byte
	blob   audit.BlobRef // where it does not stand in the record
}

func (f *fields) head(id uint16, size int) {
	binary.LittleEndian.PutUint16(f.b[f.n:], id)
	binary.LittleEndian.PutUint32(f.b[f.n+2:], uint32(size))
}

func (f *fields) str(id uint16, v string) {
	if v == "" {
		return
	}
	f.full(id, v)
}

// full is str that writes the empty string too.
func (f *fields) full(id uint16, v string) {
	if f.b != nil {
		f.head(id, len(v))
		copy(f.b[f.n+6:], v)
	}
	f.n += 6 + len(v)
}

// short is str with a bound.
func (f *fields) short(id uint16, v string, bound int) {
	if len(v) > bound {
		v = cutString(v, bound)
		f.cut = true
	}
	f.str(id, v)
}

func (f *fields) num(id uint16, v uint64) {
	if v != 0 {
		f.always(id, v)
	}
}

// always is num that writes 0 too.
func (f *fields) always(id uint16, v uint64) {
	if f.b != nil {
		f.head(id, 8)
		binary.LittleEndian.PutUint64(f.b[f.n+6:], v)
	}
	f.n += 14
}

func (f *fields) raw(b []byte) {
	if f.b != nil {
		copy(f.b[f.n:], b)
	}
	f.n += len(b)
}

func (f *fields) address(id uint16, a netip.AddrPort) {
	if a.IsValid() {
		f.str(id, a.String())
	}
}

func (f *fields) object(o *statement.Object) {
	size := objectSize(o)
	if f.b != nil {
		f.head(fObject, size)
		putObject(f.b[f.n+6:], o)
	}
	f.n += 6 + size
}

func kindOf(o *statement.Object) string { return o.Kind[:min(len(o.Kind), maxKind)] }

func objectSize(o *statement.Object) int {
	return 1 + 2 + len(kindOf(o)) + 4 + len(o.Schema) + len(o.Name)
}

func putObject(b []byte, o *statement.Object) {
	kind := kindOf(o)
	b[0] = byte(o.Use)
	binary.LittleEndian.PutUint16(b[1:], uint16(len(kind)))
	b = b[3:]
	b = b[copy(b, kind):]
	binary.LittleEndian.PutUint32(b, uint32(len(o.Schema)))
	b = b[4:]
	b = b[copy(b, o.Schema):]
	copy(b, o.Name)
}

// resolved writes an object of the catalog: how it is meant, what is known of it, and
// then an object like any other.
func (f *fields) resolved(r *statement.Resolved) {
	facts := r.Facts[:min(len(r.Facts), maxFacts)]
	size := 1 + 2 + len(facts) + objectSize(&r.Object)
	if f.b != nil {
		f.head(fResolved, size)
		b := f.b[f.n+6:]
		b[0] = byte(r.Through)
		binary.LittleEndian.PutUint16(b[1:], uint16(len(facts)))
		b = b[3:]
		putObject(b[copy(b, facts):], &r.Object)
	}
	f.n += 6 + size
}

func (f *fields) context(c *audit.Context) {
	f.str(fSession, c.Session)
	p := &c.Principal
	f.str(fAccount, p.Account)
	f.str(fUPN, p.UPN)
	f.str(fSID, p.SID)
	f.str(fGUID, p.GUID)
	f.str(fDN, p.DN)
	f.str(fKind, p.Kind)
	f.str(fOwner, p.Owner)
	f.address(fSourceAddress, c.Source.Address)
	f.address(fSourceVia, c.Source.Via)
	f.str(fTLS, c.Source.TLS)
	f.str(fCipher, c.Source.Cipher)
	f.str(fMethod, c.Method)
	f.str(fRule, c.Rule)
	f.str(fGroup, c.Group)
	f.str(fBackend, c.Backend)
	f.str(fDatabase, c.Database)
	f.str(fRole, c.Role)
	f.num(fBackendPID, uint64(c.BackendPID))
	f.str(fAppName, c.ApplicationName)
	f.str(fWhy, c.Reason)
}

// body writes the fields of any event.
func (f *fields) body(ev *audit.Event) {
	if ev.Type == audit.Outcome {
		f.outcome(ev)
		return
	}
	f.session(ev)
	f.str(fDecision, string(ev.Decision))
	f.str(fIncident, ev.Incident)
	f.str(fCause, ev.Cause)
	f.str(fDetail, ev.Detail)
	f.str(fUser, ev.Claimed)
	if ev.Count > 1 {
		f.always(fCount, ev.Count)
	}
	f.statement(ev)
	f.num(fStatement, ev.Statement)
	f.str(fResult, string(ev.Result))
	f.str(fFate, string(ev.Fate))
	f.str(fSQLSTATE, ev.SQLSTATE)
	f.str(fMessage, ev.Message)
	f.num(fRows, uint64(max(ev.Rows, 0)))
	f.num(fBytes, uint64(ev.Bytes))
	f.num(fNS, uint64(ev.Duration))
	f.bytes(fCopyDigest, ev.CopyDigest)
	f.str(fDigest, ev.Digest)
	f.str(fChange, ev.Change)
	if r := ev.Reader; r != nil {
		f.str(fReader, r.User)
		f.always(fReaderUID, uint64(r.UID))
		f.str(fReaderLogin, r.Login)
		f.num(fReaderPID, uint64(r.PID))
		f.str(fFilter, ev.Filter)
	}
}

func (f *fields) session(ev *audit.Event) {
	switch {
	case f.shared != 0:
	case ev.Prepared != nil:
		f.raw(ev.Prepared.Fields)
		f.whole = true
	case ev.Context != nil:
		f.context(ev.Context)
	}
}

func (f *fields) statement(ev *audit.Event) {
	f.str(fDecisionRule, ev.Rule)
	f.str(fMissing, ev.Missing)
	f.str(fCurrentRole, ev.CurrentRole)
	f.str(fDoubt, ev.Doubt.String())
	f.str(fCommand, ev.Command)
	f.num(fClass, uint64(ev.Class))
	f.num(fTags, uint64(ev.Tags))
	for i := range ev.Objects {
		f.object(&ev.Objects[i])
	}
	f.str(fResolution, string(ev.Resolution))
	for i := range ev.Resolved {
		f.resolved(&ev.Resolved[i])
	}
	f.num(fLeftOut, ev.LeftOut)
	f.textOf(ev)
	f.str(fName, ev.Name)
	f.num(fFingerprint, ev.Fingerprint)
	f.place(ev)
	if !ev.Trace.IsZero() {
		f.bytes(fTraceID, ev.Trace.ID[:])
		f.bytes(fSpanID, ev.Trace.Span[:])
	}
	if p := ev.Parameters; p != nil {
		f.parameters(p)
	}
}

func (f *fields) textOf(ev *audit.Event) {
	t := f.text
	if t == nil || t.digest == [32]byte{} {
		return
	}
	switch {
	case ev.Form == statement.Withheld:
	case t.blob.Length == 0:
		f.full(fText, ev.Text)
	default:
		f.ref(fTextBlob, &t.blob)
	}
	f.full(fForm, ev.Form.String())
	f.bytes(fTextDigest, t.digest[:])
}

// ref writes a reference to a blob.
func (f *fields) ref(id uint16, ref *audit.BlobRef) {
	if f.b != nil {
		f.head(id, blobField)
		appendRef(f.b[f.n+6:f.n+6], ref)
	}
	f.n += 6 + blobField
}

func (f *fields) parameters(p *audit.Parameters) {
	f.str(fParamForm, string(p.Form))
	f.always(fParamCount, uint64(p.Count))
	if p.Digest != [32]byte{} {
		f.bytes(fParamDigest, p.Digest[:])
	}
	f.bytes(fParams, p.Values)
	if p.Blob.Length > 0 {
		f.ref(fParamBlob, &p.Blob)
	}
}

func (f *fields) place(ev *audit.Event) {
	f.num(fIndex, uint64(ev.Index))
	f.num(fOf, uint64(ev.Of))
	f.num(fTx, ev.Tx)
	f.short(fProtocol, ev.Protocol, outcomeString)
}

// outcome writes what an outcome has, within outcomeRoom.
func (f *fields) outcome(ev *audit.Event) {
	start := f.n
	f.short(fDecision, string(ev.Decision), outcomeString)
	f.short(fIncident, ev.Incident, outcomeString)
	f.short(fCause, ev.Cause, outcomeString)
	f.short(fDetail, ev.Detail, outcomeString)
	f.short(fCommand, ev.Command, outcomeString)
	f.place(ev)
	f.num(fStatement, ev.Statement)
	f.short(fResult, string(ev.Result), outcomeString)
	f.short(fFate, string(ev.Fate), outcomeString)
	f.short(fSQLSTATE, ev.SQLSTATE, outcomeString)
	f.short(fMessage, ev.Message, outcomeMessage)
	if len(ev.Message) > outcomeMessage {
		f.always(fMessageLen, uint64(len(ev.Message)))
	}
	if ev.Rows >= 0 {
		f.always(fRows, uint64(ev.Rows))
	}
	f.always(fBytes, uint64(ev.Bytes))
	f.always(fNS, uint64(ev.Duration))
	f.bytes(fCopyDigest, ev.CopyDigest)
	f.outcomeSession(ev, outcomeRoom-recordHeader-(f.n-start))
}

// ofSession says whether what is prepared is of a session.
func ofSession(fields []byte) bool {
	return len(fields) >= 6 && binary.LittleEndian.Uint16(fields) == fSession
}

// outcomeSession writes the session's fields where they fit into room, and the
// session's id otherwise.
func (f *fields) outcomeSession(ev *audit.Event, room int) {
	if f.shared != 0 || ev.Prepared == nil && ev.Context == nil {
		return
	}
	var size fields
	size.session(ev)
	if size.n <= room {
		f.session(ev)
		return
	}
	f.cut = true
	if ev.Prepared == nil {
		f.short(fSession, ev.Context.Session, outcomeString)
		return
	}
	if p := ev.Prepared.Fields; ofSession(p) {
		size := int(binary.LittleEndian.Uint32(p[2:]))
		f.short(fSession, string(p[6:6+size]), outcomeString)
	}
}

// cutString returns the first bytes of s, at most bound, without half a rune.
func cutString(s string, bound int) string {
	for i := bound; i > bound-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:bound]
}

func (f *fields) bytes(id uint16, v []byte) {
	if len(v) == 0 {
		return
	}
	if f.b != nil {
		f.head(id, len(v))
		copy(f.b[f.n+6:], v)
	}
	f.n += 6 + len(v)
}
