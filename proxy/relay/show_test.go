package relay

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// texts is a recorder that keeps what events say of texts.
type texts struct {
	notes
	list []audit.Event
	blob bool // makes blobs of long ones
}

func (n *texts) Record(e *audit.Event) (audit.Receipt, error) {
	if n.blob && len(e.Text) > audit.InlineText {
		e.TextBlob = audit.BlobRef{Digest: sha256.Sum256([]byte(e.Text)), Length: int64(len(e.Text))}
	}
	n.list = append(n.list, audit.Event{
		Type: e.Type, Text: strings.Clone(e.Text), Form: e.Form, TextDigest: e.TextDigest, TextBlob: e.TextBlob,
		Fingerprint: e.Fingerprint, Message: strings.Clone(e.Message),
	})
	return n.notes.Record(e)
}

// last is the newest event of a type.
func (n *texts) last(t *testing.T, typ audit.Type) *audit.Event {
	t.Helper()
	for i := len(n.list) - 1; i >= 0; i-- {
		if n.list[i].Type == typ {
			return &n.list[i]
		}
	}
	t.Fatalf("there is no %s", typ)
	return nil
}

func showing(t *testing.T, rule auth.Record) (*harness, *texts) {
	t.Helper()
	h, n := newHarness(t), &texts{}
	h.m.opt.Recorder = n
	h.rule(rule)
	return h, n
}

func (h *harness) rule(r auth.Record) {
	g := *h.m.grant.Load()
	g.Record = r
	h.m.SetGrant(&g)
}

func cards(t *testing.T) *statement.Patterns {
	t.Helper()
	p, err := statement.NewPatterns([]statement.Pattern{{Name: "card", Expression: `\d{16}`, Replace: "<card>"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	cardText = "SELECT '4111111111111111' -- or 5"
	bareText = "SELECT ? /*?*/"
)

func TestStatementText(t *testing.T) {
	tests := []struct {
		rule        auth.Record
		text        string
		form        statement.Form
		digestOf    string // "" where the recorder computes it
		message     string // of a syntax error, and of an error that says the literal again
		messageBare string
	}{
		{auth.Record{}, cardText, statement.Verbatim, "", `near "4111111111111111"`, "no 4111111111111111"},
		{auth.Record{StatementText: auth.TextFull}, cardText, statement.Verbatim, "", `near "4111111111111111"`, "no 4111111111111111"},
		{auth.Record{StatementText: auth.TextMasked}, bareText, statement.Masked, cardText, "", ""},
		{auth.Record{StatementText: auth.TextNone}, "", statement.Withheld, cardText, "", ""},
		{auth.Record{Patterns: cards(t)}, "SELECT '<card>' -- or 5", statement.Redacted, "", `near "<card>"`, "no <card>"},
		{auth.Record{Patterns: cards(t), StatementText: auth.TextMasked}, bareText, statement.Masked, "SELECT '<card>' -- or 5", "", ""},
		{auth.Record{Patterns: cards(t), StatementText: auth.TextNone}, "", statement.Withheld, "SELECT '<card>' -- or 5", "", ""},
	}
	for _, tt := range tests {
		h, n := showing(t, tt.rule)
		j := phrase(cardText)
		j.Statements[0].Fingerprint = 7
		h.judge.known[cardText] = j
		check := func(what string, typ audit.Type) {
			t.Helper()
			e := n.last(t, typ)
			want := [32]byte{}
			if tt.digestOf != "" {
				want = sha256.Sum256([]byte(tt.digestOf))
			}
			if e.Text != tt.text || e.Form != tt.form || e.TextDigest != want {
				t.Errorf("%s: %q, %s, digest %x; not %q, %s, %x", what, e.Text, e.Form, e.TextDigest[:4], tt.text, tt.form, want[:4])
			}
			if tt.rule.Patterns == nil && e.Fingerprint != 7 {
				t.Errorf("%s: fingerprint %d", what, e.Fingerprint)
			}
		}
		h.client(query(cardText))
		check("simple", audit.Statement)
		h.backend(failed("42601", `near "4111111111111111"`), ready('I'))
		if got := n.last(t, audit.Outcome).Message; got != tt.message {
			t.Errorf("%+v: message %q", tt.rule, got)
		}
		h.client(parse("s", cardText), bind("", "s"), execute("", 0), syncMsg)
		check("prepare", audit.Prepare)
		check("execute", audit.Statement)
		h.backend(parseOK, bindOK, failed("P0001", "no 4111111111111111"), ready('I'))
		if got := n.last(t, audit.Outcome).Message; got != tt.messageBare {
			t.Errorf("%+v: message %q", tt.rule, got)
		}
	}
}

// What a session prepared is recorded as the rule of the day wants it.
func TestStatementTextAfterReload(t *testing.T) {
	h, n := showing(t, auth.Record{})
	long := "SELECT '" + strings.Repeat("4", 2*audit.InlineText) + "'"
	n.blob = true
	h.client(parse("s", cardText), parse("l", long), syncMsg)
	h.backend(parseOK, parseOK, ready('I'))
	blob := n.last(t, audit.Prepare).TextBlob
	run := func(name string) *audit.Event {
		h.client(bind("", name), execute("", 0), syncMsg)
		h.backend(bindOK, complete("SELECT 1"), ready('I'))
		return n.last(t, audit.Statement)
	}
	if e := run("l"); e.TextBlob != blob || e.Form != statement.Verbatim {
		t.Errorf("the long text: %+v", e)
	}
	h.rule(auth.Record{Patterns: cards(t)})
	if e := run("s"); e.Text != "SELECT '<card>' -- or 5" || e.Form != statement.Redacted || e.TextDigest != [32]byte{} {
		t.Errorf("with patterns: %+v", e)
	}
	h.rule(auth.Record{StatementText: auth.TextMasked})
	if e := run("s"); e.Text != bareText || e.Form != statement.Masked {
		t.Errorf("masked: %+v", e)
	}
	if e := run("l"); e.TextBlob.Length != 0 || e.Form != statement.Withheld || e.TextDigest != blob.Digest {
		t.Errorf("a blob of the whole text is named again: %+v", e)
	}
	h.client(parse("m", long+" -- x"), syncMsg)
	h.backend(parseOK, ready('I'))
	if e := n.last(t, audit.Prepare); e.Text != bareText {
		t.Errorf("masked: %+v", e)
	}
	h.rule(auth.Record{})
	if e := run("s"); e.Text != cardText || e.Form != statement.Verbatim {
		t.Errorf("full again: %+v", e)
	}
}

// A masked text that is long is a blob of its own, which an Execute names again.
func TestMaskedTextInBlob(t *testing.T) {
	h, n := showing(t, auth.Record{StatementText: auth.TextMasked})
	n.blob = true
	names := strings.Repeat("abcdefgh, ", audit.InlineText/8)
	text := "SELECT " + names + "'4111'"
	masked := "SELECT " + names + "?"
	h.client(parse("s", text), bind("", "s"), execute("", 0), syncMsg)
	for _, typ := range []audit.Type{audit.Prepare, audit.Statement} {
		e := n.last(t, typ)
		if e.TextBlob.Digest != sha256.Sum256([]byte(masked)) || e.TextDigest != sha256.Sum256([]byte(text)) || e.Form != statement.Masked {
			t.Errorf("%s: %.40q, %s, digest %x, blob %x", typ, e.Text, e.Form, e.TextDigest[:4], e.TextBlob.Digest[:4])
		}
	}
	if e := n.last(t, audit.Statement); e.Text != "" {
		t.Errorf("the session keeps %.40q", e.Text)
	}
}

// A long text that nobody searched is not searched while a loop waits.
func TestUnsearchedTextIsWithheld(t *testing.T) {
	h, n := showing(t, auth.Record{Patterns: cards(t)})
	text := "SELECT '" + strings.Repeat("4", 2*audit.InlineText) + "'"
	h.client(query(text))
	if e := n.last(t, audit.Statement); e.Text != "" || e.Form != statement.Withheld || e.TextDigest != sha256.Sum256([]byte(text)) {
		t.Errorf("%.40q, %s", e.Text, e.Form)
	}
}
