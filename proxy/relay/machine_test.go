package relay

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n%q\nwant\n%q", what, got, want)
	}
}

func TestSimpleQueryIsRecordedThenForwarded(t *testing.T) {
	h := newHarness(t)
	q := query("SELECT 1")
	same(t, "to the backend", h.client(q), q)
	h.recorded(`1 statement allowed READ "SELECT 1"`)
	answer := bytes.Join([][]byte{msg('T', int16(0)), row, complete("SELECT 1"), ready('I')}, nil)
	same(t, "to the client", h.backend(answer), answer)
	h.recorded(`2 outcome of 1 completed rows=1 tx=1 SELECT 1 committed`)
	h.settledAll()
}

func TestDeniedQueryIsReplacedAndItsErrorRewritten(t *testing.T) {
	h := newHarness(t)
	sent := h.client(query("DELETE FROM orders"))
	same(t, "to the backend", sent, query(`"pgcustos incident 0123456789abcdef"`))
	h.recorded(`1 statement denied WRITE "DELETE FROM orders" tag destructive`)
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('E'))
	f := pgwire.ReadFields(got[pgwire.HeaderSize:])
	if string(f.Code) != "42501" || !strings.Contains(string(f.Message), "DELETE without WHERE") {
		t.Errorf("the client was told %q", got)
	}
	if !bytes.Contains(got, []byte("0123456789abcdef")) || !bytes.Contains(got, []byte("readers")) || !bytes.HasSuffix(got, ready('E')) {
		t.Errorf("the client was told %q", got)
	}
	h.settledAll()
}

func TestRefusalRewritesNoOtherError(t *testing.T) {
	h := newHarness(t)
	h.client(query("DELETE FROM orders"))
	cancelled := failed("57014", "canceling statement due to user request")
	same(t, "to the client", h.backend(cancelled), cancelled)
}

func TestBatchIsDeniedWhole(t *testing.T) {
	h := newHarness(t)
	sent := h.client(query("INSERT a; DELETE FROM b; SELECT 1"))
	if bytes.Contains(sent, []byte("INSERT")) {
		t.Errorf("part of the batch was forwarded: %q", sent)
	}
	h.recorded(
		`1 statement denied WRITE "INSERT a" 1/3`,
		`2 statement denied WRITE "DELETE FROM b" 2/3 tag destructive`,
		`3 statement denied READ "SELECT 1" 3/3`)
}

func TestBatchOutcomesBelongToTheirStatements(t *testing.T) {
	h := newHarness(t)
	h.client(query("INSERT a; SELECT 1; INSERT b"))
	h.notes.lines = nil
	h.backend(complete("INSERT 0 1"), row, row, complete("SELECT 2"), failed("23505", "duplicate key"), ready('I'))
	h.recorded(
		`4 outcome of 1 completed rows=1 tx=1 INSERT 0 1`,
		`5 outcome of 2 completed rows=2 tx=1 SELECT 2`,
		`6 outcome of 3 failed rows=-1 tx=1 rolled_back 23505`)
	h.settledAll()
}

func TestTransactionBlock(t *testing.T) {
	h := newHarness(t)
	for _, step := range []struct {
		sql, tag string
		status   byte
	}{
		{"BEGIN", "BEGIN", 'T'}, {"INSERT a", "INSERT 0 1", 'T'}, {"COMMIT", "COMMIT", 'I'}, {"SELECT 1", "SELECT 1", 'I'},
	} {
		h.client(query(step.sql))
		h.backend(complete(step.tag), ready(step.status))
	}
	h.recorded(
		`1 statement allowed MISC "BEGIN"`, `2 outcome of 1 completed rows=-1 tx=1 BEGIN`,
		`3 statement allowed WRITE "INSERT a"`, `4 outcome of 3 completed rows=1 tx=1 INSERT 0 1`,
		`5 statement allowed MISC "COMMIT"`, `6 outcome of 5 completed rows=-1 tx=1 COMMIT committed`,
		`7 statement allowed READ "SELECT 1"`, `8 outcome of 7 completed rows=1 tx=2 SELECT 1 committed`)
}

func TestCommitOfAFailedTransactionIsARollback(t *testing.T) {
	h := newHarness(t)
	h.client(query("BEGIN"))
	h.backend(complete("BEGIN"), ready('T'))
	h.client(query("SELECT x"))
	h.backend(failed("42703", "no column"), ready('E'))
	h.client(query("COMMIT"))
	h.backend(complete("ROLLBACK"), ready('I'))
	h.notes.lines = h.notes.lines[len(h.notes.lines)-1:]
	h.recorded(`6 outcome of 5 completed rows=-1 tx=1 ROLLBACK rolled_back`)
}

func TestExtendedQuery(t *testing.T) {
	h := newHarness(t)
	in := bytes.Join([][]byte{parse("", "SELECT 1"), bind("", ""), describe('P', ""), execute("", 0), syncMsg}, nil)
	same(t, "to the backend", h.client(in), in)
	h.recorded(`1 statement.prepare allowed READ "SELECT 1"`, `2 statement allowed READ "SELECT 1"`)
	h.backend(parseOK, bindOK, msg('T', int16(0)), row, complete("SELECT 1"), ready('I'))
	h.recorded(`3 outcome of 2 completed rows=1 tx=1 SELECT 1 committed`)
	h.settledAll()
}

func TestDeniedParseIsSkippedToSync(t *testing.T) {
	h := newHarness(t)
	b, e := bind("", ""), execute("", 0)
	sent := h.client(parse("", "DROP TABLE a"), b, e, syncMsg)
	want := bytes.Join([][]byte{parse(reservedName, `"pgcustos incident 0123456789abcdef"`), b, e, syncMsg}, nil)
	same(t, "to the backend", sent, want)
	h.recorded(`1 statement denied WRITE "DROP TABLE a" tag destructive`)
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "42501" {
		t.Errorf("the client was told %q", got)
	}
	h.settledAll()
}

func TestFailedPipelineSkipsTheQueryInIt(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT x"), bind("", ""), execute("", 0), query("INSERT a"), syncMsg)
	h.notes.lines = nil
	h.backend(failed("42703", "no column"), ready('I'))
	h.recorded(
		`4 outcome of 1 failed rows=-1 tx=1 42703`,
		`5 outcome of 2 skipped rows=-1 tx=1 42703`,
		`6 outcome of 3 skipped rows=-1 tx=1 42703`)
	h.settledAll()
}

func TestPortalSuspendedAndResumed(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT n"), bind("p", ""), execute("p", 2), msg('H'))
	h.backend(parseOK, bindOK, row, row, suspended)
	h.notes.lines = nil
	h.client(execute("p", 2), syncMsg)
	h.backend(row, complete("SELECT 1"), ready('I'))
	h.recorded(`3 outcome of 2 completed rows=3 tx=1 SELECT 1 committed`)
	h.settledAll()
}

func TestPortalLeftBeforeItsEnd(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT n"), bind("", ""), execute("", 2), syncMsg)
	h.notes.lines = nil
	h.backend(parseOK, bindOK, row, row, suspended, ready('I'))
	h.recorded(`3 outcome of 2 suspended rows=2 tx=1`, `4 transaction tx=1 committed`)
	h.settledAll()
}

func TestPortalKeepsItsStatementAfterClose(t *testing.T) {
	h := newHarness(t)
	h.client(parse("s", "SELECT 1"), bind("p", "s"), closeName('S', "s"), execute("p", 0), syncMsg)
	h.recorded(`1 statement.prepare allowed READ "SELECT 1"`, `2 statement allowed READ "SELECT 1"`)
	h.backend(parseOK, bindOK, closeOK, complete("SELECT 1"), ready('I'))
	h.settledAll()
}

func TestNamesAreSharedBetweenSQLAndWire(t *testing.T) {
	h := newHarness(t)
	h.client(query("PREPARE s AS SELECT 1"))
	h.backend(complete("PREPARE"), ready('I'))
	h.client(bind("", "s"), execute("", 0), syncMsg)
	h.backend(bindOK, complete("SELECT 1"), ready('I'))
	h.client(parse("w", "SELECT 2"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.notes.lines = nil
	h.client(query("EXECUTE w"))
	h.recorded(`6 statement allowed READ,MISC "EXECUTE w"`)
}

func TestUnknownNameIsDenied(t *testing.T) {
	h := newHarness(t)
	sent := h.client(query("EXECUTE nobody"))
	h.recorded(`1 statement denied MISC,UNKNOWN "EXECUTE nobody" name class UNKNOWN`)
	if bytes.Contains(sent, []byte("EXECUTE")) {
		t.Errorf("forwarded %q", sent)
	}
}

func TestSkippedDefinitionRollsBack(t *testing.T) {
	h := newHarness(t)
	h.client(parse("s", "SELECT 1"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(parse("", "SELECT x"), parse("s", "INSERT b"), syncMsg)
	h.backend(failed("42703", "no column"), ready('I'))
	h.notes.lines = nil
	h.client(bind("", "s"), execute("", 0), syncMsg)
	h.recorded(`6 statement allowed READ "SELECT 1"`)
}

func TestUncertainNameIsDeniedIfAnyMeaningIs(t *testing.T) {
	h := newHarness(t)
	h.m.SetGrant(&auth.Grant{Rule: "all", Mode: auth.Enforce, Classes: statement.Read | statement.Write | statement.Misc, Tags: statement.TagDestructive})
	h.client(parse("s", "DELETE a"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.m.SetGrant(reader())
	// The new definition may fail: then s is still the old one.
	h.client(closeName('S', "s"), parse("s", "SELECT 1"), syncMsg)
	h.notes.lines = nil
	h.client(bind("", "s"), execute("", 0), syncMsg)
	h.recorded(`3 statement denied READ,WRITE "SELECT 1" tag destructive`)
}

func TestCopyInSwallowsSync(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "COPY t"), bind("", ""), execute("", 0), syncMsg)
	h.backend(parseOK, bindOK, msg('G', byte(0), int16(0)))
	h.client(msg('d', []byte("1\n2\n")), msg('c'), syncMsg)
	h.notes.lines = nil
	h.backend(complete("COPY 2"), ready('I'))
	h.recorded(`3 outcome of 2 completed rows=2 tx=1 COPY 2 committed`)
	h.settledAll()
}

func TestCopyThatFailsAtOnceLeavesEverySync(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "COPY t"), bind("", ""), execute("", 0), syncMsg)
	h.client(msg('d', []byte("1\n2\n")), msg('c'), syncMsg)
	h.backend(parseOK, bindOK, failed("42P01", "no table"), ready('I'), ready('I'))
	h.settledAll()
}

func TestCopyThatFailsMidwayRecoversTheQueue(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "COPY t"), bind("", ""), execute("", 0), syncMsg)
	h.backend(parseOK, bindOK, msg('G', byte(0), int16(0)))
	h.client(msg('d', []byte("x\n")), msg('c'), syncMsg)
	// The first Sync was swallowed; the second is answered.
	h.backend(failed("22P02", "bad input"), ready('I'))
	h.client(query("DELETE FROM orders"))
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "42501" {
		t.Errorf("the refusal was lost: %q", got)
	}
	h.settledAll()
}

func TestFullJournalRefuses(t *testing.T) {
	h := newHarness(t)
	h.notes.full = true
	sent := h.client(query("INSERT a; INSERT b"))
	if bytes.Contains(sent, []byte("INSERT")) {
		t.Fatalf("forwarded without a record: %q", sent)
	}
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "53100" {
		t.Errorf("the client was told %q", got)
	}
	h.notes.full = false
	h.client(query("INSERT a"))
	h.backend(complete("INSERT 0 1"), ready('I'))
	h.settledAll()
}

func TestUnknownTextListsItsTags(t *testing.T) {
	h := newHarness(t)
	h.m.SetGrant(&auth.Grant{Rule: "any", Mode: auth.Enforce, Classes: statement.Unknown})
	h.client(query("garbage 1; garbage 2"))
	h.notes.lines = nil
	h.backend(complete("INSERT 0 1"), row, complete("SELECT 1"), ready('I'))
	h.recorded(`2 outcome of 1 completed rows=2 tx=1 INSERT 0 1, SELECT 1 committed`)
	h.settledAll()
}

func TestSensitiveTextIsUnknownWhileSettingsMayChange(t *testing.T) {
	h := newHarness(t)
	h.client(query(`SELECT '\'`))
	h.recorded(`1 statement allowed READ "SELECT '\\'"`)
	h.client(query(`SELECT '\'`))
	if got := h.notes.lines[0]; !strings.Contains(got, "denied UNKNOWN") || !strings.Contains(got, "strings") {
		t.Errorf("recorded %s", got)
	}
}

func TestMalformedTextIsNeverForwarded(t *testing.T) {
	for name, in := range map[string][]byte{
		"no NUL":         msg('Q', []byte("DROP TABLE a")),
		"NUL inside":     msg('Q', "SELECT 1", "DROP TABLE a"),
		"Parse, no NUL":  msg('P', "", []byte("DROP TABLE a")),
		"Parse, short":   msg('P', "", "DROP TABLE a"),
		"Parse, trailer": msg('P', "", "DROP TABLE a", int16(0), []byte("x")),
	} {
		h := newHarness(t)
		sent := h.client(in)
		if len(sent) == 0 || sent[0] != in[0] || bytes.Contains(sent, []byte("DROP")) {
			t.Errorf("%s: forwarded %q", name, sent)
		}
		if len(h.notes.lines) != 1 || !strings.Contains(h.notes.lines[0], "refused UNKNOWN") {
			t.Errorf("%s: recorded %q", name, h.notes.lines)
		}
	}
}

func TestTooLargeMessageIsPassedOver(t *testing.T) {
	h := newHarness(t)
	big := query("SELECT '" + strings.Repeat("x", 1<<17) + "'")
	var sent []byte
	for len(big) > 0 { // as it comes off the wire
		n := min(1000, len(big))
		sent = append(sent, h.client(big[:n])...)
		big = big[n:]
	}
	same(t, "to the backend", sent, query(`"pgcustos incident 0123456789abcdef"`))
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "54000" {
		t.Errorf("the client was told %q", got)
	}
	after := query("SELECT 1")
	same(t, "to the backend", h.client(after), after)
}

func TestFramingOfTheClient(t *testing.T) {
	for name, length := range map[string]int32{"0": 0, "3": 3, "negative": -1, "2 GB": 1<<31 - 1} {
		h := newHarness(t)
		in := pgwire.AppendMessage(nil, 'Q')
		in[1], in[2], in[3], in[4] = byte(uint32(length)>>24), byte(length>>16), byte(length>>8), byte(length)
		h.out.Reset()
		if _, next := h.m.Client(1, in, &h.out); next != Broken || !bytes.Equal(bytes.Join(h.out.Chunks, nil), in) {
			t.Errorf("length %s: next %d, forwarded %q", name, next, h.out.Chunks)
		}
	}
}

func TestUnknownMessageTypeIsTheBackendsToRefuse(t *testing.T) {
	h := newHarness(t)
	same(t, "to the backend", h.client([]byte("~\x00\x00\x00\x10DROP TABLE a")), []byte("~"))
}

func TestObserveForwards(t *testing.T) {
	h := newHarness(t)
	g := reader()
	g.Mode = auth.Observe
	h.m.SetGrant(g)
	q := query("DELETE FROM orders")
	same(t, "to the backend", h.client(q), q)
	h.recorded(`1 statement would_deny WRITE "DELETE FROM orders" tag destructive`)
}

func TestFastpath(t *testing.T) {
	h := newHarness(t)
	sent := h.client(msg('F', int32(2078), int16(0), int16(0), int16(0)))
	same(t, "to the backend", sent, msg('F', int32(0), int16(0), int16(0), int16(0)))
	got := h.backend(failed("42883", "function with OID 0 does not exist"), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "42501" {
		t.Errorf("the client was told %q", got)
	}
	h.settledAll()
}

func TestFinishTellsWhatNobodyKnows(t *testing.T) {
	h := newHarness(t)
	h.client(query("INSERT a"))
	h.notes.lines = nil
	h.m.Finish()
	h.recorded(`2 outcome of 1 unknown rows=-1 tx=1`)
	h.settledAll()
}

// Work behind a Sync that a failing COPY may have swallowed: whether it runs
// nobody can tell, so the session ends rather than record what may not be true.
func TestWorkBehindAnUncertainSyncEndsTheSession(t *testing.T) {
	start := func() *harness {
		h := newHarness(t)
		h.client(parse("", "COPY t"), bind("", ""), execute("", 0))
		h.backend(parseOK, bindOK, msg('G', byte(0), int16(0)))
		h.client(msg('d', []byte("x\n")), syncMsg)
		return h
	}
	h := start()
	h.client(query("SELECT 1"))
	h.out.Reset()
	if _, err := h.m.Backend(1, failed("22P02", "bad input"), &h.out); !errors.Is(err, ErrAdrift) {
		t.Errorf("sent before the error was known: %v", err)
	}
	h = start()
	h.backend(failed("22P02", "bad input"))
	h.out.Reset()
	if _, next := h.m.Client(1, query("SELECT 1"), &h.out); next != Adrift {
		t.Errorf("sent after the error was known: next %d", next)
	}
}

func TestWhatIsSentBehindAnErrorIsSkipped(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT x"))
	h.backend(failed("42703", "no column"))
	h.notes.lines = nil
	h.client(bind("", ""), execute("", 0), query("INSERT a"))
	h.recorded(
		`3 statement allowed WRITE "INSERT a"`, `4 outcome of 3 skipped rows=-1 tx=1 42703`)
	h.client(syncMsg)
	h.backend(ready('I'))
	h.settledAll()
}

// A rule that keeps the session from a schema does so for names without one too,
// once something may have put that schema into search_path.
func TestSearchPathPutsNamesInDoubt(t *testing.T) {
	private, err := auth.NewPattern("private.*")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t)
	g := reader()
	g.DeniedObjects = []auth.Pattern{private}
	h.m.SetGrant(g)
	table := statement.Object{Name: "salaries", Kind: "relation", Use: statement.UseRead}
	path := statement.Object{Name: "search_path", Kind: "setting", Use: statement.UseAlter}
	for text, o := range map[string]statement.Object{"SELECT salaries": table, "SET search_path": path} {
		j := phrase(text)
		j.Statements[0].Objects = []statement.Object{o}
		h.judge.known[text] = j
	}
	for i, want := range []string{"allowed", "allowed", "denied"} {
		text := []string{"SELECT salaries", "SET search_path", "SELECT salaries"}[i]
		h.client(query(text))
		if got := h.notes.lines[len(h.notes.lines)-1]; !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestTooManyStatementsAreRefused(t *testing.T) {
	h := newHarness(t)
	h.m.opt.MaxMessage = 1 << 20
	same(t, "to the backend", h.client(query(strings.Repeat("SELECT 1;", maxStatements+1))), query(`"pgcustos incident 0123456789abcdef"`))
	got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "54000" {
		t.Errorf("the client was told %q", got)
	}
	h.settledAll()
}

// TestAtOnce: a call takes as many messages as it may, and any number of data.
func TestAtOnce(t *testing.T) {
	h := newHarness(t)
	h.m.opt.AtOnce = 2
	in := bytes.Join([][]byte{query("SELECT 1"), query("SELECT 2"), query("SELECT 3")}, nil)
	n, next := h.m.Client(1, in, &h.out)
	if n != len(in)*2/3 || next != Again {
		t.Errorf("%d bytes of %d, then %d", n, len(in), next)
	}
	if n, next = h.m.Client(1, in[n:], &h.out); n != len(in)/3 || next != More {
		t.Errorf("then %d bytes, and %d", n, next)
	}
}

// A session that is to end does so at its next idle point, though its client never rests:
// what comes behind that is neither forwarded nor recorded.
func TestPart(t *testing.T) {
	h := newHarness(t)
	h.client(query("SELECT 1"))
	if h.m.Part() {
		t.Error("a statement runs")
	}
	begin := query("BEGIN")
	same(t, "to the backend", h.client(begin), begin) // sent before the answer: it is no idle point yet
	h.backend(complete("SELECT 1"), ready('I'))
	h.backend(complete("BEGIN"), ready('T'))
	after := query("SELECT 2")
	same(t, "to the backend", h.client(after), after)
	h.backend(complete("SELECT 1"), ready('T'))
	commit := query("COMMIT")
	same(t, "to the backend", h.client(commit), commit)
	recorded := len(h.notes.lines)
	h.backend(complete("COMMIT"), ready('I'))
	recorded = len(h.notes.lines) - recorded
	before := len(h.notes.lines)
	if sent := h.client(query("SELECT 3")); len(sent) > 0 || len(h.notes.lines) != before {
		t.Errorf("sent %q, recorded %q", sent, h.notes.lines[before:])
	}
	if recorded == 0 || !h.m.Part() {
		t.Error("the session is at an idle point, and what ran is on record")
	}
}

// TestFullQueueIsFlushed: behind what a full queue takes, the backend is asked for its
// answers, which it would keep for a Sync that the proxy does not let through.
func TestFullQueueIsFlushed(t *testing.T) {
	h := newHarness(t)
	one := bytes.Join([][]byte{parse("", "SELECT 1"), bind("", ""), execute("", 0)}, nil)
	in := bytes.Repeat(one, maxExecuting+1)
	n, next := h.m.Client(1, in, &h.out)
	sent := bytes.Join(h.out.Chunks, nil)
	if next != Full || h.m.Room() || !bytes.Equal(sent, append(in[:n:n], flush...)) {
		t.Errorf("of %d bytes it took %d, then %d, and sent %d", len(in), n, next, len(sent))
	}
	if want := maxExecuting * len(one); n < want || n > want+len(one) {
		t.Errorf("it took %d bytes, want %d", n, want)
	}
	h = newHarness(t)
	in = bytes.Repeat(query("SELECT 1"), maxExecuting+1)
	n, next = h.m.Client(1, in, &h.out)
	if sent := bytes.Join(h.out.Chunks, nil); next != Full || !bytes.Equal(sent, in[:n]) {
		t.Error("statements of the simple protocol, which are answered at once, are flushed")
	}
}
