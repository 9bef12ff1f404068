package relay

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Each test is a way to have the server do something else than the record says.

// last returns the newest record.
func (h *harness) last() string {
	h.t.Helper()
	if len(h.notes.lines) == 0 {
		h.t.Fatal("nothing was recorded")
	}
	return h.notes.lines[len(h.notes.lines)-1]
}

func (h *harness) wantLast(parts ...string) {
	h.t.Helper()
	for _, part := range parts {
		if got := h.last(); !strings.Contains(got, part) {
			h.t.Errorf("recorded %s, want %s", got, part)
		}
	}
}

// Since PostgreSQL 14 a change of standard_conforming_strings is reported with
// ReadyForQuery only: behind a Flush it is in force, and nobody was told.
func TestTextIsUnknownWhileSettingsAreUnreported(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SET scs"), bind("", ""), execute("", 0), msg('H'))
	h.backend(parseOK, bindOK, complete("SET"))
	h.client(parse("", `SELECT '\' , ' FROM salaries --'`))
	h.wantLast("denied UNKNOWN", "strings")
	h.client(syncMsg)
	h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	h.client(query(`SELECT '\'`))
	h.wantLast("allowed READ")
	h.backend(complete("SELECT 1"), ready('I'))
	h.settledAll()
}

// A session that began with standard_conforming_strings off has it off behind each RESET, which
// is given to everybody.
func TestTextIsUnknownWhereSettingsMayComeBack(t *testing.T) {
	for value, want := range map[string]string{"on": "allowed READ", "off": "denied UNKNOWN"} {
		h := newHarness(t)
		h.m = New(Options{
			Judge: h.judge, Recorder: h.notes, Grant: reader(), MaxMessage: 1 << 16, Incident: func() string { return "0123456789abcdef" },
			Parameters: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": value},
		})
		h.client(query("SET scs"))
		h.backend(complete("SET"), msg('S', "standard_conforming_strings", "on"), ready('I'))
		h.client(query(`SELECT '\'`))
		h.wantLast(want)
	}
}

// client_encoding changes while the parser reads a text as UTF-8.
func TestTextIsUnknownWhenItsEncodingChangesMeanwhile(t *testing.T) {
	h := newHarness(t)
	h.client(query("SET client_encoding"))
	h.judge.missing = true
	h.out.Reset()
	in := query(`SELECT 'é'`)
	if _, next := h.m.Client(h.now, in, &h.out); next != JudgeText {
		t.Fatalf("next %d", next)
	}
	h.backend(complete("SET"), msg('S', "client_encoding", "SJIS"), ready('I'))
	text, _ := h.m.Text()
	h.m.Judged(phrase(string(text)))
	h.out.Reset()
	h.m.Client(h.now, in, &h.out)
	h.wantLast("denied UNKNOWN", "encoding")
}

// A client that changes its encoding need not wait for that: in SJIS the operator behind
// the letter is a letter's second half, and no literal begins there.
func TestTextIsUnknownWhileItsEncodingMayChange(t *testing.T) {
	h := newHarness(t)
	j := phrase("SET client_encoding")
	j.Statements[0].Objects = []statement.Object{{Name: "client_encoding", Kind: "setting", Use: statement.UseAlter}}
	h.judge.known["SET client_encoding"] = j
	const text = "SELECT ぉ|$a$ FROM q; DELETE FROM orders; --$a$"
	encoding := func(value string) []byte { return msg('S', "client_encoding", value) }

	h.client(query("SET client_encoding"), query("SELECT 1"))
	h.wantLast("allowed READ")
	h.client(query(text))
	h.wantLast("denied UNKNOWN", "encoding")
	refused := failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`)
	h.backend(complete("SET"), encoding("SJIS"), ready('I'), complete("SELECT 1"), ready('I'), refused, ready('I'))

	h.client(parse("s", "SET client_encoding"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(bind("", "s"), execute("", 0), msg('H'))
	h.backend(bindOK, complete("SET"))
	h.client(parse("", text))
	h.wantLast("denied UNKNOWN", "encoding")
	h.client(syncMsg)
	h.backend(refused, encoding("UTF8"), ready('T'))

	h.client(query("SELECT 'é'"))
	h.wantLast("allowed READ")
	h.backend(complete("SELECT 1"), ready('T'))
	h.client(query("ROLLBACK"), query(text)) // gives SJIS back
	h.wantLast("denied UNKNOWN", "encoding")
	h.backend(complete("ROLLBACK"), encoding("SJIS"), ready('I'), refused, ready('I'))
	h.settledAll()
}

// A session that never changed its encoding is not held to what it might do.
func TestTextIsKnownInPipelinesOfOneEncoding(t *testing.T) {
	h := newHarness(t)
	h.client(query("BEGIN"), query("SELECT f()"), query("SELECT 'é'"), query("COMMIT"), query("SELECT 'é'"))
	h.wantLast("allowed READ")
}

// EXECUTE of a SET that a Parse gave a name to.
func TestSearchPathChangesThroughExecute(t *testing.T) {
	private, err := auth.NewPattern("private.*")
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(*harness){
		"SQL":  func(h *harness) { h.client(query("EXECUTE s")) },
		"wire": func(h *harness) { h.client(parse("", "EXECUTE s"), bind("", ""), execute("", 0)) },
	} {
		h := newHarness(t)
		g := reader()
		g.DeniedObjects = []auth.Pattern{private}
		h.m.SetGrant(g)
		for text, o := range map[string]statement.Object{
			"SELECT salaries": {Name: "salaries", Kind: "relation", Use: statement.UseRead},
			"SET search_path": {Name: "search_path", Kind: "setting", Use: statement.UseAlter},
		} {
			j := phrase(text)
			j.Statements[0].Objects = []statement.Object{o}
			h.judge.known[text] = j
		}
		h.client(parse("s", "SET search_path"), syncMsg)
		h.backend(parseOK, ready('I'))
		h.client(query("SELECT salaries"))
		h.wantLast("allowed")
		run(h)
		h.client(query("SELECT salaries"))
		if got := h.last(); !strings.Contains(got, "denied") {
			t.Errorf("%s: recorded %s", name, got)
		}
	}
}

// EXECUTE of an EXECUTE, or of what makes another name, is not followed.
func TestExecuteOfWhatUsesNamesIsUnknown(t *testing.T) {
	for _, hidden := range []string{"EXECUTE s", "FETCH c", "PREPARE s AS SELECT 2", "DEALLOCATE s", "DECLARE c AS SELECT 2", "BEGIN"} {
		h := newHarness(t)
		h.client(parse("s", "SELECT 1"), parse("t", hidden), syncMsg)
		h.backend(parseOK, parseOK, ready('I'))
		h.client(query("EXECUTE t"))
		h.wantLast("denied", "UNKNOWN", "name")
	}
}

// A definition that fails leaves the old one in force, and the client need not
// wait to see that: the record says what else may have run.
func TestUncertainNameTellsOfTheOtherRecord(t *testing.T) {
	h := newHarness(t)
	h.client(parse("s", "SELECT salaries"), syncMsg)
	h.recorded(`1 statement.prepare allowed READ "SELECT salaries"`)
	h.backend(parseOK, ready('I'))
	h.client(parse("s", "SELECT 1"), syncMsg, bind("", "s"), execute("", 0), syncMsg)
	h.wantLast(`allowed READ "SELECT 1"`)
	if got := h.notes.detail; !strings.Contains(got, "record [1]") {
		t.Errorf("the record says %q", got)
	}
	h.backend(failed("42P05", "exists"), ready('I'), bindOK, complete("SELECT 1"), ready('I'))
	h.client(query("PREPARE s AS SELECT 3"), query("EXECUTE s"))
	if got := h.notes.detail; !strings.Contains(got, "record [1]") {
		t.Errorf("the record says %q", got)
	}
}

// Which name bytes outside ASCII are depends on client_encoding at the time.
func TestNamesOutsideASCIIAreUnknown(t *testing.T) {
	h := newHarness(t)
	h.client(parse("é", "SELECT 1"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(query("EXECUTE é"))
	h.wantLast("denied", "UNKNOWN", "name")
	h.client(bind("é", ""), execute("é", 0))
	h.wantLast("denied", "UNKNOWN", "name")
}

// Of two Closes of one name, the second must not take what was defined since.
func TestSecondCloseLeavesTheNewDefinition(t *testing.T) {
	h := newHarness(t)
	h.client(parse("s", "SELECT 1"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(closeName('S', "s"), closeName('S', "s"), msg('H'))
	h.backend(closeOK)
	h.client(parse("s", "SELECT 2"))
	h.backend(closeOK, parseOK)
	h.client(bind("", "s"), execute("", 0), syncMsg)
	h.wantLast(`allowed READ "SELECT 2"`)
}

// COPY into a view fails behind its CopyInResponse and before it reads: the Sync
// that was sent ahead of the data is answered, and what follows is not skipped.
func TestCopyThatFailsBeforeItReadsLeavesTheSync(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "COPY v"), bind("", ""), execute("", 0), syncMsg)
	h.backend(parseOK, bindOK, msg('G', byte(0), int16(0)), failed("42809", "cannot copy to view"), ready('I'))
	h.settledAll()
	h.client(parse("", "SELECT 1"), bind("", ""), execute("", 0), syncMsg)
	h.wantLast(`statement allowed READ "SELECT 1"`)
	h.backend(parseOK, bindOK, complete("SELECT 1"), ready('I'))
	h.wantLast("completed")
	h.settledAll()
}

// A CopyDone that nothing asked for, and a Flush without a Sync, do not make a
// session that waits for its client an active one.
func TestActivityOfASessionThatWaits(t *testing.T) {
	h := newHarness(t)
	h.client(msg('c'))
	if phase, _ := h.m.Activity(); phase != PhaseIdle || !h.m.IdlePoint() {
		t.Errorf("phase %d behind a CopyDone", phase)
	}
	h.client(parse("", "SELECT 1"), bind("", ""), execute("", 0), msg('H'))
	if phase, _ := h.m.Activity(); phase != PhaseActive {
		t.Errorf("phase %d while a statement runs", phase)
	}
	h.backend(parseOK, bindOK, complete("SELECT 1"))
	if phase, _ := h.m.Activity(); phase != PhaseIdleInTransaction {
		t.Errorf("phase %d behind a Flush", phase)
	}
	h.client(syncMsg)
	h.backend(ready('I'))
	if phase, _ := h.m.Activity(); phase != PhaseIdle {
		t.Errorf("phase %d behind a Sync", phase)
	}
}

// What is executed has the form of the text that was prepared.
func TestExecutedTextKeepsItsForm(t *testing.T) {
	h := newHarness(t)
	j := phrase("SELECT secret")
	j.Form = statement.Redacted
	h.judge.known["SELECT secret"] = j
	h.client(parse("", "SELECT secret"), bind("", ""), execute("", 0), syncMsg)
	if h.notes.form != statement.Redacted {
		t.Errorf("recorded as %s", h.notes.form)
	}
}

// The server's error says again what was redacted, whatever name it runs by.
func TestErrorsKeepSecrets(t *testing.T) {
	const said = `invalid input syntax for type integer: "s3cr3t"`
	hidden := func(text string) *statement.Judgement {
		j := phrase(text)
		j.Form = statement.Redacted
		for s := &j.Statements[0]; s != nil; s = s.Effect.Inner {
			s.Fingerprint, s.Hides = 1, true
		}
		return j
	}
	for name, run := range map[string]func(*harness){
		"simple":  func(h *harness) { h.client(query("SELECT secret")) },
		"execute": func(h *harness) { h.client(query("EXECUTE p")) },
		"extended": func(h *harness) {
			h.client(parse("", "EXECUTE p"), bind("", ""), execute("", 0), syncMsg)
			h.backend(parseOK, bindOK)
		},
		"values": func(h *harness) { h.client(query("SELECT set_config")) },
	} {
		h := newHarness(t)
		h.judge.known["SELECT secret"], h.judge.known["PREPARE p AS SELECT secret"] = hidden("SELECT secret"), hidden("PREPARE p AS SELECT secret")
		names(h, statement.MiscSet, "SELECT set_config", statement.Object{Name: "app.secret", Kind: "setting", Use: statement.UseAlter})
		h.judge.known["EXECUTE p"] = phrase("EXECUTE p")
		for _, known := range []string{"EXECUTE p", "SELECT set_config"} {
			h.judge.known[known].Statements[0].Fingerprint = 2
		}
		h.client(query("PREPARE p AS SELECT secret"))
		h.backend(complete("PREPARE"), ready('I'))
		run(h)
		h.backend(failed("22P02", said), ready('I'))
		h.wantLast("outcome", "22P02")
		if got := h.notes.message; got != "invalid input syntax for type integer: ?" {
			t.Errorf("%s: recorded %q", name, got)
		}
	}
}

// The server's error says a value again that is not on record: one that was bound, or of a
// COPY's data.
func TestErrorsKeepData(t *testing.T) {
	const said = `invalid input syntax for type integer: "4711"`
	for _, c := range []struct {
		how, code  string
		parameters auth.Recording
		tags       statement.Tag
		kept       bool
	}{
		{"extended", "22P02", auth.RecordNone, 0, true},
		{"extended", "22P02", auth.RecordDigest, 0, true},
		{"extended", "22P02", auth.RecordFull, 0, false},
		{"extended", "42703", auth.RecordNone, 0, false},
		{"simple", "22P02", auth.RecordNone, 0, false}, // the value is in the text
		{"simple", "22P02", auth.RecordFull, statement.TagBulkLoad, true},
		{"extended", "22P02", auth.RecordFull, statement.TagBulkLoad, true},
	} {
		h := newHarness(t)
		g := anything()
		g.Record.Parameters = c.parameters
		h.m.SetGrant(g)
		j := phrase("SELECT a")
		j.Statements[0].Fingerprint, j.Statements[0].Tags = 1, c.tags
		h.judge.known["SELECT a"] = j
		if c.how == "simple" {
			h.client(query("SELECT a"))
		} else {
			h.client(parse("", "SELECT a"), bind("", ""), execute("", 0), syncMsg)
			h.backend(parseOK, bindOK)
		}
		h.backend(failed(c.code, said), ready('I'))
		want := said
		if c.kept {
			want = "invalid input syntax for type integer: ?"
		}
		if got := h.notes.message; got != want {
			t.Errorf("%+v: recorded %q", c, got)
		}
	}
}

// What EXECUTE gives to a statement that takes secrets is one.
func TestExecuteKeepsSecrets(t *testing.T) {
	const text = "EXECUTE p('s3cr3t')"
	for _, c := range []struct{ function, want string }{{"crypt", `"EXECUTE p(?)"`}, {"lower", `"EXECUTE p('s3cr3t')"`}} {
		for how, run := range map[string][]byte{
			"simple": query(text), "extended": join(parse("", text), bind("", ""), execute("", 0), syncMsg),
		} {
			h := newHarness(t)
			h.judge.known["PREPARE p AS SELECT "+c.function] = phrase("PREPARE p AS SELECT " + c.function)
			j := phrase(text)
			j.Statements[0].Effect.Name = "p"
			h.judge.known[text] = j
			h.client(query("PREPARE p AS SELECT " + c.function))
			h.backend(complete("PREPARE"), ready('I'))
			h.client(run)
			if got := strings.Join(h.notes.lines[2:], "\n"); !strings.Contains(got, c.want) || c.function == "crypt" && strings.Contains(got, "s3cr3t") {
				t.Errorf("%s, %s: recorded %s", c.function, how, got)
			}
		}
	}
}

// A portal of a name that may stand for two statements is neither of them alone: that
// one is a COMMIT, which is never denied, lets the other not pass.
func TestUncertainPortalIsNoCommit(t *testing.T) {
	private, err := auth.NewPattern("private.*")
	if err != nil {
		t.Fatal(err)
	}
	listen, _ := auth.NewCommand("SELECT")
	for name, narrow := range map[string]func(*auth.Grant){
		"objects":  func(g *auth.Grant) { g.DeniedObjects = []auth.Pattern{private} },
		"classes":  func(g *auth.Grant) { g.Classes &^= statement.Read },
		"commands": func(g *auth.Grant) { g.DeniedCommands = []auth.Command{listen} },
		"unknown":  func(g *auth.Grant) { g.DeniedObjects, g.Classes = []auth.Pattern{private}, g.Classes|statement.Unknown },
	} {
		for _, end := range []string{"COMMIT", "ROLLBACK", "BEGIN", "INSERT a"} {
			h := newHarness(t)
			names(h, statement.Read, "SELECT salaries", reads("salaries"))
			names(h, statement.MiscSet, "SET path", statement.Object{Name: "search_path", Kind: "setting", Use: statement.UseAlter})
			h.client(parse("s", "SELECT salaries"), syncMsg)
			h.backend(parseOK, ready('I'))
			h.client(query("SET path"))
			h.backend(complete("SET"), ready('I'))
			g := reader()
			narrow(g)
			h.m.SetGrant(g) // as a reload does
			sent := h.client(parse("s", end), syncMsg, bind("p", "s"), execute("p", 0), syncMsg)
			if strings.Contains(string(sent), string(execute("p", 0))) {
				t.Errorf("%s, %s: the Execute was forwarded", name, end)
			}
			h.wantLast("denied")
		}
	}
}

// A body that may give and take names of prepared statements need not have done so: the
// definition that comes after it can fail.
func TestNamesOutOfSight(t *testing.T) {
	hides := func(h *harness) {
		names(h, statement.Misc, "DO names")
		h.judge.known["DO names"].Statements[0].Effect = statement.Effect{Kind: statement.EffectDeallocateAll}
	}
	h := newHarness(t)
	hides(h)
	h.client(parse("s", "SELECT salaries"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(query("DO names"))
	h.backend(complete("DO"), ready('I'))
	h.client(parse("s", "COMMIT"), syncMsg, bind("p", "s"), execute("p", 0), syncMsg)
	h.wantLast("denied", "UNKNOWN")
	// What the server took since is no ghost, nor is the unnamed statement.
	h = newHarness(t)
	hides(h)
	h.client(query("DO names"))
	h.backend(complete("DO"), ready('I'))
	h.client(parse("s", "SELECT 1"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(bind("", "s"), execute("", 0), syncMsg)
	h.wantLast(`allowed READ "SELECT 1"`)
	h.client(parse("", "COMMIT"), syncMsg, bind("", ""), execute("", 0), syncMsg)
	h.wantLast(`allowed MISC "COMMIT"`)
	h.client(parse("t", "SELECT 2"), bind("", "t"), execute("", 0), syncMsg)
	h.wantLast(`allowed READ "SELECT 2"`)
	// Before it has run, it may come between.
	h.client(parse("u", "SELECT 3"), parse("", "DO names"), bind("", ""), execute("", 0), bind("", "u"), execute("", 0), syncMsg)
	h.wantLast("denied", "UNKNOWN")
}

// Where there is no doubt, what ends a transaction is not denied.
func TestCertainPortalOfCommitIsNotDenied(t *testing.T) {
	h := newHarness(t)
	h.m.SetGrant(&auth.Grant{Mode: auth.Enforce})
	h.client(parse("s", "COMMIT"), syncMsg, bind("p", "s"), execute("p", 0), syncMsg)
	h.wantLast(`allowed MISC "COMMIT"`)
	h.client(parse("s", "COMMIT"), syncMsg, bind("p", "s"), execute("p", 0), syncMsg)
	h.wantLast(`allowed MISC "COMMIT"`)
}
