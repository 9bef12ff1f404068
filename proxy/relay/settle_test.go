package relay

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// A portal at its end answers each further Execute without rows: that is no
// second outcome of its statement.
func TestFinishedPortalHasOneOutcome(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT 1"), bind("p", ""), execute("p", 1), execute("p", 0), execute("p", 0), syncMsg)
	h.notes.lines = nil
	h.backend(parseOK, bindOK, row, suspended, row, complete("SELECT 1"), complete("SELECT 0"), ready('I'))
	h.recorded(`3 outcome of 2 completed rows=2 tx=1 SELECT 1`, `4 transaction tx=1 committed`)
	h.settledAll()
}

// Executes that are sent before it is known what their portal came to: the one
// that was suspended keeps the outcome that it is owed.
func TestSuspendedPortalIsNotMistakenForALaterOne(t *testing.T) {
	h := newHarness(t)
	h.client(parse("s", "SELECT 1"), syncMsg)
	h.backend(parseOK, ready('I'))
	h.client(bind("", "s"), syncMsg, bind("", "s"), execute("", 1), syncMsg, execute("", 1), syncMsg)
	h.notes.lines = nil
	h.backend(bindOK, ready('I'), bindOK, row, suspended, ready('I'), failed("34000", "no such portal"), ready('I'))
	h.recorded(
		`4 outcome of 2 suspended rows=1 tx=1`,
		`5 transaction tx=1 committed`,
		`6 outcome of 3 failed rows=-1 tx=2 rolled_back 34000`)
	h.settledAll()
}

// A portal outlives what is rolled back to a savepoint behind it. An Execute that was
// skipped, or refused in the failed transaction, has not run it: the next one does.
func TestPortalRunsBehindWhatDidNotRunIt(t *testing.T) {
	const first = `statement allowed WRITE "INSERT a"`
	inBlock := func(t *testing.T) *harness {
		t.Helper()
		h := newHarness(t)
		h.judge.known["ROLLBACK TO"] = phrase("TO a") // no end of the transaction
		h.client(query("BEGIN"), parse("s", "INSERT a"), bind("p", "s"), syncMsg, query("SAVEPOINT a"))
		h.backend(complete("BEGIN"), ready('T'), parseOK, bindOK, ready('T'), complete("SAVEPOINT"), ready('T'))
		return h
	}
	last := func(h *harness) {
		h.t.Helper()
		h.notes.lines = nil
		h.client(execute("p", 0), syncMsg)
		if len(h.notes.lines) != 1 || !strings.Contains(h.notes.lines[0], first) {
			h.t.Errorf("recorded %q", h.notes.lines)
		}
		h.notes.lines = nil
		h.backend(complete("INSERT 0 1"), ready('T'))
		if len(h.notes.lines) != 1 || !strings.Contains(h.notes.lines[0], "completed rows=1") {
			h.t.Errorf("recorded %q", h.notes.lines)
		}
		h.settledAll()
	}
	t.Run("skipped", func(t *testing.T) {
		h := inBlock(t)
		h.client(parse("", "SELECT b"), execute("p", 0), syncMsg, query("ROLLBACK TO"))
		h.backend(failed("42P01", "no b"), ready('E'), complete("ROLLBACK"), ready('T'))
		last(h)
	})
	t.Run("refused", func(t *testing.T) {
		h := inBlock(t)
		h.client(query("SELECT b"), execute("p", 0), syncMsg, query("ROLLBACK TO"))
		h.backend(failed("42P01", "no b"), ready('E'), failed("25P02", "aborted"), ready('E'), complete("ROLLBACK"), ready('T'))
		last(h)
	})
	t.Run("unanswered", func(t *testing.T) {
		h := inBlock(t)
		h.client(parse("", "SELECT b"), execute("p", 0), syncMsg, query("ROLLBACK TO"))
		h.notes.lines = nil
		h.client(execute("p", 0), syncMsg)
		if len(h.notes.lines) != 1 || !strings.Contains(h.notes.lines[0], first) {
			t.Errorf("recorded %q", h.notes.lines)
		}
		h.backend(failed("42P01", "no b"), ready('E'), complete("ROLLBACK"), ready('T'), complete("INSERT 0 1"), ready('T'))
		h.settledAll()
	})
}

// A cursor that a function opened: nobody saw it being made.
func TestPortalThatNobodySawBeingMade(t *testing.T) {
	h := newHarness(t)
	h.m.SetGrant(&auth.Grant{Rule: "all", Role: "app", Classes: ^statement.Class(0), Tags: ^statement.Tag(0)})
	h.client(execute("refcursor", 1), execute("refcursor", 1), syncMsg)
	h.notes.lines = nil
	h.backend(row, suspended, complete("SELECT 0"), ready('T'))
	h.recorded(`3 outcome of 1 suspended rows=1 tx=1`, `4 outcome of 2 completed rows=0 tx=1 SELECT 0`)
	h.settledAll()
}

// What a later error undid is told, also where the error belongs to no statement.
func TestFateOfWhatALaterErrorUndid(t *testing.T) {
	for name, step := range map[string]struct {
		client, backend [][]byte
		want            []string
	}{
		"at Bind": {
			[][]byte{parse("", "INSERT a"), bind("", ""), execute("", 0), bind("", ""), syncMsg},
			[][]byte{parseOK, bindOK, complete("INSERT 0 1"), failed("22P02", "bad parameter"), ready('I')},
			[]string{`3 outcome of 2 completed rows=1 tx=1 INSERT 0 1`, `4 transaction tx=1 rolled_back`},
		},
		"at Sync": {
			[][]byte{parse("", "INSERT a"), bind("", ""), execute("", 0), syncMsg},
			[][]byte{parseOK, bindOK, complete("INSERT 0 1"), failed("23503", "deferred constraint"), ready('I')},
			[]string{`3 outcome of 2 completed rows=1 tx=1 INSERT 0 1`, `4 transaction tx=1 rolled_back`},
		},
		"at COMMIT": {
			[][]byte{query("BEGIN"), query("INSERT a"), query("COMMIT")},
			[][]byte{complete("BEGIN"), ready('T'), complete("INSERT 0 1"), ready('T'), failed("23503", "deferred constraint"), ready('I')},
			[]string{
				`4 outcome of 1 completed rows=-1 tx=1 BEGIN`, `5 outcome of 2 completed rows=1 tx=1 INSERT 0 1`,
				`6 outcome of 3 failed rows=-1 tx=1 23503`, `7 transaction tx=1 rolled_back`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.client(step.client...)
			h.notes.lines = nil
			h.backend(step.backend...)
			h.recorded(step.want...)
			h.settledAll()
		})
	}
}

// A session that ends with a transaction open and nothing outstanding: the server
// rolls it back, and there is no doubt about it.
func TestFinishKnowsOfARollback(t *testing.T) {
	h := newHarness(t)
	h.client(query("BEGIN"), query("INSERT a"))
	h.backend(complete("BEGIN"), ready('T'), complete("INSERT 0 1"), ready('T'))
	h.notes.lines = nil
	h.m.Finish()
	h.recorded(`5 transaction tx=1 rolled_back`)
}

// Behind a COPY by Query that fails nothing is skipped: whether Syncs inside its
// data are answered or not, the session goes on, and rests in between.
func TestSyncsInsideASimpleCopyThatFails(t *testing.T) {
	for name, answered := range map[string]int{"swallowed": 0, "one answered": 1, "answered": 2} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.client(query("COPY t"))
			h.backend(msg('G', byte(0), int16(0)))
			h.client(syncMsg, msg('d', []byte("bad\n")), syncMsg, msg('c'))
			h.backend(failed("22P02", "bad input"), ready('I'))
			for range answered {
				h.backend(ready('I'))
			}
			if !h.m.IdlePoint() || h.m.Outstanding() {
				t.Error("the session does not rest")
			}
			h.notes.lines = nil
			h.client(query("SELECT 1"))
			h.backend(row, complete("SELECT 1"), ready('I'))
			h.recorded(`3 statement allowed READ "SELECT 1"`, `4 outcome of 3 completed rows=1 tx=2 SELECT 1 committed`)
			h.settledAll()
		})
	}
}

// An Execute that does not come to its portal says nothing of the statement that the
// portal had begun: that was left.
func TestPortalIsLeftByWhatDoesNotComeToIt(t *testing.T) {
	begun := func(t *testing.T) *harness {
		t.Helper()
		h := newHarness(t)
		h.client(query("BEGIN"), parse("", "SELECT n"), bind("p", ""), execute("p", 1), syncMsg)
		h.backend(complete("BEGIN"), ready('T'), parseOK, bindOK, row, suspended, ready('T'))
		h.notes.lines = nil
		return h
	}
	const was = "outcome of 3 suspended rows=1 tx=1"
	t.Run("refused", func(t *testing.T) {
		h := begun(t)
		h.m.SetGrant(&auth.Grant{Rule: "none", Role: "app_ro", Mode: auth.Enforce})
		h.client(execute("p", 1), syncMsg)
		h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('E'))
		h.recorded(`5 statement denied READ "SELECT n" class READ`, "6 "+was)
		h.settledAll()
	})
	for _, code := range []string{"34000", "25P02"} {
		t.Run(code, func(t *testing.T) {
			h := begun(t)
			h.client(execute("p", 1), syncMsg)
			h.backend(failed(code, "no portal"), ready('E'))
			h.recorded("5 " + was)
			h.settledAll()
		})
	}
	t.Run("34000 within", func(t *testing.T) {
		h := begun(t)
		h.client(execute("p", 1), syncMsg)
		h.backend(msg('E', "SERROR", "VERROR", "C34000", "Mno portal", "WPL/pgSQL function f()", byte(0)), ready('E'))
		h.recorded("5 outcome of 3 failed rows=-1 tx=1 34000")
		h.settledAll()
	})
}

// Whether AND CHAIN began another block is known of what could be read.
func TestErrorBehindAChainIsNoEnd(t *testing.T) {
	h := newHarness(t)
	chain := phrase("COMMIT")
	chain.Statements[0].Effect.Hold = true
	h.judge.known["COMMIT AND CHAIN"] = chain
	h.client(query("BEGIN"), parse("", "COMMIT AND CHAIN"), bind("", ""), execute("", 0), parse("", "INSERT a"), bind("", ""), execute("", 0), syncMsg)
	h.backend(complete("BEGIN"), ready('T'), parseOK, bindOK, complete("COMMIT"), parseOK, bindOK)
	h.notes.lines = nil
	h.backend(failed("23505", "twice"), ready('E'))
	h.recorded("8 outcome of 5 failed rows=-1 tx=2 23505")
	h.settledAll()
}

// A text that could not be read ends a transaction where its tag says so, and nothing
// else of the same Query or pipeline follows.
func TestUnreadEnds(t *testing.T) {
	for _, c := range []struct {
		tags []string
		want string
	}{
		{[]string{"COMMIT"}, "COMMIT committed"},
		{[]string{"ROLLBACK"}, "ROLLBACK rolled_back"},
		{[]string{"PREPARE TRANSACTION"}, "PREPARE TRANSACTION prepared"},
		{[]string{"COMMIT", "INSERT 0 1"}, "COMMIT, INSERT 0 1 committed"},
		{[]string{"ROLLBACK", "INSERT 0 1"}, "ROLLBACK, INSERT 0 1 unknown"},
		{[]string{"COMMIT", "BEGIN", "ROLLBACK"}, "COMMIT, BEGIN, ROLLBACK unknown"},
	} {
		h := newHarness(t)
		h.m.SetGrant(&auth.Grant{Rule: "all", Mode: auth.Enforce, Classes: ^statement.Class(0)})
		h.client(query("BEGIN"))
		h.backend(complete("BEGIN"), ready('T'))
		h.client(query("garbage"))
		h.notes.lines = nil
		for _, tag := range c.tags {
			h.backend(complete(tag))
		}
		h.backend(ready('I'))
		if len(h.notes.lines) != 1 || !strings.HasSuffix(h.notes.lines[0], c.want) {
			t.Errorf("recorded %q, want %q", h.notes.lines, c.want)
		}
		h.settledAll()
	}
}

// A text that could not be read has the rows of all its statements, and none only where
// none of them counts any.
func TestRowsOfWhatIsUnread(t *testing.T) {
	for tags, want := range map[string]string{
		"BEGIN,INSERT 0 5,COMMIT": "rows=5 ", "SELECT 2,SELECT 3": "rows=5 ", "BEGIN,COMMIT": "rows=-1 ", "SELECT 0,BEGIN": "rows=0 ",
	} {
		h := newHarness(t)
		h.m.SetGrant(&auth.Grant{Rule: "all", Mode: auth.Enforce, Classes: ^statement.Class(0)})
		h.client(query("garbage"))
		h.notes.lines = nil
		for tag := range strings.SplitSeq(tags, ",") {
			h.backend(complete(tag))
		}
		h.backend(ready('I'))
		if len(h.notes.lines) != 1 || !strings.Contains(h.notes.lines[0], want) {
			t.Errorf("%s: recorded %q", tags, h.notes.lines)
		}
		h.settledAll()
	}
}

// A base backup has answers of its own before and behind the data (SendXlogRecPtrResult and
// SendTablespaceList in basebackup_copy.c): it is not over with the first of them.
func TestBaseBackupHasSeveralAnswers(t *testing.T) {
	begun := func(t *testing.T) *harness {
		t.Helper()
		h := newHarness(t)
		h.judge.known["BASE_BACKUP"] = statement.Walsender(h.judge).Judge(t.Context(), []byte("BASE_BACKUP"), statement.UTF8)
		h.m.SetGrant(&auth.Grant{Rule: "all", Mode: auth.Enforce, Classes: ^statement.Class(0), Tags: ^statement.Tag(0), Replication: auth.ReplicationPhysical})
		h.client(query("BASE_BACKUP"))
		h.recorded(`1 statement allowed READ "BASE_BACKUP"`)
		h.backend(msg('T', int16(0)), row, complete("SELECT"), msg('T', int16(0)), row, complete("SELECT"), msg('H'), msg('d', []byte("data")))
		h.recorded()
		return h
	}
	t.Run("whole", func(t *testing.T) {
		h := begun(t)
		h.backend(msg('c'), msg('T', int16(0)), row, complete("SELECT"), complete("BASE_BACKUP"), ready('I'))
		h.recorded("2 outcome of 1 completed rows=-1 tx=1 SELECT, SELECT, SELECT, BASE_BACKUP committed")
		h.settledAll()
	})
	t.Run("failed", func(t *testing.T) {
		h := begun(t)
		h.backend(failed("58030", "could not read file"), ready('I'))
		h.recorded("2 outcome of 1 failed rows=-1 tx=1 SELECT, SELECT rolled_back 58030")
		h.settledAll()
	})
}

// What names take is told while they are there, and not for longer.
func TestNamesAreCounted(t *testing.T) {
	h := newHarness(t)
	begin := h.m.Held()
	h.client(query("BEGIN"))
	h.backend(complete("BEGIN"), ready('T'))
	for _, name := range []string{"", "s", "s"} {
		h.client(parse(name, "SELECT 1"), bind(name, name), syncMsg)
		h.backend(parseOK, bindOK, ready('T'))
	}
	if n := h.m.Held() - begin; n < 4*nameOverhead {
		t.Errorf("four names take %d bytes", n)
	}
	h.client(parse("x", "SELECT x"), parse("y", "SELECT y"), syncMsg)
	h.backend(failed("42601", "no"), ready('E'))
	h.client(query("ROLLBACK"), parse("", ""), syncMsg, closeName('S', "s"), closeName('S', ""), syncMsg)
	h.backend(complete("ROLLBACK"), ready('I'), parseOK, ready('I'), closeOK, closeOK, ready('I'))
	if n := h.m.Held(); n != begin {
		t.Errorf("no names take %d bytes", n-begin)
	}
	h.settledAll()
}
