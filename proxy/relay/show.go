package relay

import (
	"hash"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// shown makes of a statement's text what its rule wants on record.
type shown struct {
	masked []byte // scratch
	hash   hash.Hash
	sum    [32]byte
}

// keptMasked bounds the memory that a session keeps from one text to the next.
const keptMasked = 64 << 10

// show puts into the event what the rule wants of the text. The digest is always that
// of the text as it is on record under statement_text: full: the same statement has
// the same one under any rule.
func (m *Machine) show(ev *audit.Event, r *record) {
	rule := &m.ruling.Record
	ev.Text, ev.TextDigest, ev.TextBlob, ev.Form = r.st.Text, r.st.Digest, r.st.Blob, r.form
	if p := rule.Patterns; p != nil && r.st.Searched != p {
		m.shown.search(ev, p, m.opt.Recorder)
	}
	if !rule.Hides() || ev.Form == statement.Withheld {
		return
	}
	m.shown.identify(ev, m.opt.Recorder)
	switch {
	case rule.StatementText == auth.TextNone, ev.Text == "" && ev.Form != statement.Masked:
		// A text that another rule let into a blob is not named again.
		withhold(ev)
	default:
		ev.Text, ev.Form = view(m.shown.mask(ev.Text)), statement.Masked
	}
}

// search puts a text through patterns that it has not been through: a statement was
// prepared before a reload brought them, or its text came to be unknown only here.
// The session's loop waits, so a long text is withheld.
func (s *shown) search(ev *audit.Event, p *statement.Patterns, store audit.Store) {
	if len(ev.Text) > audit.InlineText {
		s.identify(ev, store)
		withhold(ev)
		return
	}
	text, form := p.Redact(ev.Text)
	if form == statement.Verbatim {
		return
	}
	ev.Text, ev.TextDigest, ev.Fingerprint = text, [32]byte{}, 0
	ev.Form = max(ev.Form, form)
}

func withhold(ev *audit.Event) {
	ev.Text, ev.TextBlob, ev.Form = "", audit.BlobRef{}, statement.Withheld
}

// identify sets the digest of a text that is not to be on record.
func (s *shown) identify(ev *audit.Event, store audit.Store) {
	switch {
	case ev.TextDigest != [32]byte{}:
	case ev.TextBlob.Length > 0:
		ev.TextDigest = ev.TextBlob.Digest
	default:
		if s.hash == nil {
			s.hash = store.Keyed()
		}
		s.hash.Reset()
		_, _ = s.hash.Write(bytesOf(ev.Text)) // a hash.Hash never fails
		s.hash.Sum(s.sum[:0])
		ev.TextDigest = s.sum
	}
}

// mask returns the text without its literals and comments, until the next call.
func (s *shown) mask(text string) []byte {
	if cap(s.masked) > keptMasked {
		s.masked = nil
	}
	s.masked = statement.AppendMasked(s.masked[:0], text)
	return s.masked
}

// discreetly returns what may be recorded of an error's message. Where the rule hides
// texts there is none: the server may say again what stands in them.
func (m *Machine) discreetly(st *statement.Statement, k kind, res *result) string {
	rule := &m.grant.Load().Record
	if rule.Hides() {
		return ""
	}
	message, _ := rule.Patterns.Redact(res.message)
	if ofData(st, k, rule) && strings.HasPrefix(res.code, dataException) {
		return unquoted(message)
	}
	return discreet(st, message)
}

// dataException is the class of the errors in which the server says a value again.
const dataException = "22"

// ofData tells whether a statement works on values that are not on record: the data of a
// COPY, and what was bound, where the rule does not record that in full.
func ofData(st *statement.Statement, k kind, rule *auth.Record) bool {
	return st.Tags&statement.TagBulkLoad != 0 || (k == kindExecute || k == kindFunctionCall) && rule.Parameters != auth.RecordFull
}
