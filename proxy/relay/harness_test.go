package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// notes is a recorder that keeps what it is given as lines of text.
type notes struct {
	lines    []string
	full     bool
	seq      uint64
	promised int
	quiet    bool
	allowed  []string // the texts of what may go on; "" for one that was masked
	detail   string   // of the newest record
	form     statement.Form
	message  string
}

func (*notes) Prepare(*audit.Context) *audit.Prepared { return new(audit.Prepared) }

func (n *notes) Release(k int) { n.promised -= k }

func (*notes) Wait(context.Context, audit.Receipt) error { return nil }

func (*notes) Keyed() hash.Hash { return sha256.New() }

func (*notes) Blob() (audit.BlobWriter, error) { return nil, audit.ErrBroken }

func (n *notes) Record(e *audit.Event) (audit.Receipt, error) {
	if n.full && e.Type == audit.Statement && e.Decision == audit.Allowed {
		return audit.Receipt{}, audit.ErrFull
	}
	n.seq++
	n.detail, n.form, n.message = strings.Clone(e.Detail), e.Form, strings.Clone(e.Message)
	switch {
	case (e.Type == audit.Statement || e.Type == audit.Prepare) && (e.Decision == audit.Allowed || e.Decision == audit.WouldDeny):
		n.promised++
		if !n.quiet {
			n.allowed = append(n.allowed, recordedText(e))
		}
	case e.Type == audit.Outcome:
		n.promised--
	}
	if !n.quiet {
		n.lines = append(n.lines, describeEvent(n.seq, e))
	}
	return audit.Receipt{Sequence: n.seq, Position: int64(n.seq)}, nil
}

func recordedText(e *audit.Event) string {
	if e.Form == statement.Masked {
		return ""
	}
	return strings.Clone(e.Text)
}

func describeEvent(seq uint64, e *audit.Event) string {
	switch e.Type {
	case audit.Outcome:
		s := fmt.Sprintf("%d outcome of %d %s rows=%d tx=%d", seq, e.Statement, e.Result, e.Rows, e.Tx)
		if e.CopyDigest != nil {
			s += fmt.Sprintf(" bytes=%d copy=%x", e.Bytes, e.CopyDigest[:4])
		}
		for _, extra := range []string{strings.Clone(e.Command), string(e.Fate), strings.Clone(e.SQLSTATE)} {
			if extra != "" {
				s += " " + extra
			}
		}
		return s
	case audit.Transaction:
		return fmt.Sprintf("%d transaction tx=%d %s", seq, e.Tx, e.Fate)
	default:
		s := fmt.Sprintf("%d %s %s %s %q", seq, e.Type, e.Decision, e.Class, e.Text)
		if e.Of > 0 {
			s += fmt.Sprintf(" %d/%d", e.Index, e.Of)
		}
		if !e.Trace.IsZero() {
			s += fmt.Sprintf(" trace=%x/%x", e.Trace.ID[15:], e.Trace.Span[7:])
		}
		if e.Parameters != nil {
			s += spellParameters(e.Parameters)
		}
		for _, extra := range []string{e.Cause, e.Missing} {
			if extra != "" {
				s += " " + extra
			}
		}
		return s
	}
}

// phrasebook is a judge that knows a few words. The real one is tested where it
// lives; the machine needs one that is quick and has no process.
type phrasebook struct {
	known   map[string]*statement.Judgement
	missing bool // every text has to be asked for
}

func newPhrasebook() *phrasebook { return &phrasebook{known: make(map[string]*statement.Judgement)} }

func (p *phrasebook) Cached(text []byte, _ statement.Encoding) (*statement.Judgement, bool) {
	j, ok := p.known[string(text)]
	if !ok && !p.missing {
		j = phrase(string(text))
		p.known[string(text)] = j
		ok = true
	}
	return j, ok
}

func (p *phrasebook) Judge(_ context.Context, text []byte, _ statement.Encoding) *statement.Judgement {
	return phrase(string(text))
}

func phrase(text string) *statement.Judgement {
	j := &statement.Judgement{Sensitive: strings.Contains(text, `\`)}
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		s := phraseOne(part)
		j.Statements = append(j.Statements, s)
		j.Class |= s.Class
		j.Tags |= s.Tags
	}
	if strings.HasPrefix(text, "garbage") {
		return statement.UnknownText([]byte(text), statement.CauseSyntax)
	}
	return j
}

func phraseOne(text string) statement.Statement {
	words := strings.Fields(text)
	s := statement.Statement{Command: words[0], Class: statement.Misc, Text: text}
	last := words[len(words)-1]
	switch words[0] {
	case "SELECT":
		s.Class = statement.Read
		s.Objects = []statement.Object{{Name: last, Kind: "function"}}
	case "INSERT", "COPY":
		s.Class = statement.Write
	case "DELETE", "DROP":
		s.Class, s.Tags, s.Destructive = statement.Write, statement.TagDestructive, "DELETE without WHERE"
	case "BEGIN":
		s.Effect.Kind = statement.EffectBegin
	case "COMMIT":
		s.Effect.Kind = statement.EffectCommit
	case "ROLLBACK":
		s.Effect.Kind = statement.EffectRollback
	case "PREPARE", "DECLARE":
		_, body, _ := strings.Cut(text, " AS ")
		inner := phraseOne(body)
		s.Class |= inner.Class
		s.Tags |= inner.Tags
		s.Effect = statement.Effect{Kind: statement.EffectPrepare, Name: words[1], Inner: &inner}
		if words[0] == "DECLARE" {
			s.Effect.Kind = statement.EffectDeclare
		}
	case "EXECUTE":
		s.Effect = statement.Effect{Kind: statement.EffectExecute, Name: last}
	case "FETCH":
		s.Effect = statement.Effect{Kind: statement.EffectFetch, Name: last}
	case "DEALLOCATE":
		s.Effect = statement.Effect{Kind: statement.EffectDeallocate, Name: last}
	}
	return s
}

// reader may read, write and hold transactions, and destroy nothing.
func reader() *auth.Grant {
	return &auth.Grant{
		Rule: "readers", Role: "app_ro", Mode: auth.Enforce,
		Classes: statement.Read | statement.Write | statement.Misc | statement.MiscSet,
	}
}

// harness plays both peers of a machine.
type harness struct {
	t     *testing.T
	m     *Machine
	notes *notes
	judge *phrasebook
	now   int64
	out   Output
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, notes: &notes{}, judge: newPhrasebook()}
	h.m = New(Options{
		Judge: h.judge, Recorder: h.notes, Grant: reader(), MaxMessage: 1 << 16,
		Incident:   func() string { return "0123456789abcdef" },
		Parameters: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"},
	})
	return h
}

// client sends bytes as the client, and returns what goes to the backend.
func (h *harness) client(parts ...[]byte) []byte {
	h.t.Helper()
	in := bytes.Join(parts, nil)
	var sent []byte
	for {
		h.now += 1000
		h.out.Reset()
		n, next := h.m.Client(h.now, in, &h.out)
		sent = append(sent, bytes.Join(h.out.Chunks, nil)...)
		in = in[n:]
		switch next {
		case JudgeText:
			text, encoding := h.m.Text()
			h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
		case Again:
		case More, Terminated:
			return sent
		case Full, Cancelling, Broken, Adrift, Spool:
			h.t.Fatalf("the machine stopped: %d", next)
		}
	}
}

// backend answers as the backend, and returns what goes to the client.
func (h *harness) backend(parts ...[]byte) []byte {
	h.t.Helper()
	h.now += 1000
	h.out.Reset()
	in := bytes.Join(parts, nil)
	n, err := h.m.Backend(h.now, in, &h.out)
	if err != nil {
		h.t.Fatal(err)
	}
	if n != len(in) {
		h.t.Fatalf("the machine took %d of %d bytes", n, len(in))
	}
	return bytes.Join(h.out.Chunks, nil)
}

// recorded checks the lines that were recorded since the last call.
func (h *harness) recorded(want ...string) {
	h.t.Helper()
	if got := strings.Join(h.notes.lines, "\n"); got != strings.Join(want, "\n") {
		h.t.Errorf("recorded:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	h.notes.lines = nil
}

// settledAll checks that nothing is outstanding, and no outcome is owed.
func (h *harness) settledAll() {
	h.t.Helper()
	if h.m.queue.len() != 0 || h.m.runs.len() != 0 || h.notes.promised != 0 {
		h.t.Errorf("%d messages, %d statements and %d outcomes are outstanding", h.m.queue.len(), h.m.runs.len(), h.notes.promised)
	}
}

func msg(typ byte, parts ...any) []byte {
	var body []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			body = append(append(body, p...), 0)
		case []byte:
			body = append(body, p...)
		case int16:
			body = binary.BigEndian.AppendUint16(body, uint16(p))
		case int32:
			body = binary.BigEndian.AppendUint32(body, uint32(p))
		case byte:
			body = append(body, p)
		}
	}
	return pgwire.AppendMessage(nil, typ, body)
}

func query(sql string) []byte                 { return msg('Q', sql) }
func parse(name, sql string) []byte           { return msg('P', name, sql, int16(0)) }
func bind(portal, st string) []byte           { return msg('B', portal, st, int16(0), int16(0), int16(0)) }
func execute(portal string, n int32) []byte   { return msg('E', portal, n) }
func describe(kind byte, name string) []byte  { return msg('D', kind, name) }
func closeName(kind byte, name string) []byte { return msg('C', kind, name) }
func complete(tag string) []byte              { return msg('C', tag) }
func ready(status byte) []byte                { return msg('Z', status) }
func failed(code, message string) []byte {
	return msg('E', "SERROR", "VERROR", "C"+code, "M"+message, byte(0))
}

var (
	syncMsg   = msg('S')
	parseOK   = msg('1')
	bindOK    = msg('2')
	closeOK   = msg('3')
	suspended = msg('s')
	row       = msg('D', int16(1), int32(1), []byte("x"))
)
