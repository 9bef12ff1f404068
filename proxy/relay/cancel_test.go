package relay

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// step gives the machine bytes once.
func (h *harness) step(in []byte) (sent []byte, n int, next Next) {
	h.t.Helper()
	h.now += 1000
	h.out.Reset()
	n, next = h.m.Client(h.now, in, &h.out)
	return bytes.Join(h.out.Chunks, nil), n, next
}

// judge answers what the machine asks its driver.
func (h *harness) judgeText() {
	text, encoding := h.m.Text()
	h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
}

func TestCancelOfAStatementThatIsJudged(t *testing.T) {
	for _, test := range []struct {
		name    string
		message []byte
		when    func(*harness)
	}{
		{"while", query("SELECT 1"), func(h *harness) {}},
		{"just behind", query("SELECT 1"), (*harness).judgeText},
		{"Parse", parse("s", "SELECT 1"), func(h *harness) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.judge.missing = true
			sent, _, next := h.step(test.message)
			if len(sent) > 0 || next != JudgeText {
				t.Fatalf("%q went, next is %d", sent, next)
			}
			test.when(h)
			if h.m.Cancel() {
				t.Error("the cancel goes to a backend that does not know the statement")
			}
			if h.m.text != nil {
				h.judgeText()
			}
			sent, n, _ := h.step(test.message)
			if n != len(test.message) || !bytes.Contains(sent, []byte("pgcustos incident")) || bytes.Contains(sent, []byte("SELECT 1")) {
				t.Errorf("%q went", sent)
			}
			if h.m.Sent() {
				t.Error("the cancel goes to the backend as well")
			}
			told := h.backend(failed("42601", `at or near "pgcustos incident 0123456789abcdef"`))
			f := pgwire.ReadFields(told[pgwire.HeaderSize:])
			if string(f.Code) != "57014" || string(f.Message) != "canceling statement due to user request" || bytes.Contains(told, []byte("0123456789")) {
				t.Errorf("the client is told %q", told)
			}
			if test.message[0] == pgwire.Parse {
				h.client(syncMsg)
			}
			h.backend(ready('I'))
			if got := h.notes.lines[0]; !strings.Contains(got, `statement refused READ "SELECT 1" cancelled`) {
				t.Errorf("recorded: %s", got)
			}
			// The next one is nobody's business.
			h.judge.missing = false
			if sent := h.client(query("SELECT 2")); !bytes.Equal(sent, query("SELECT 2")) {
				t.Errorf("%q went", sent)
			}
		})
	}
}

// TestCancelOfADeniedStatement: what is denied is denied.
func TestCancelOfADeniedStatement(t *testing.T) {
	h := newHarness(t)
	h.judge.missing = true
	m := query("DROP everything")
	h.step(m)
	h.m.Cancel()
	h.judgeText()
	h.step(m)
	told := h.backend(failed("42601", `at or near "pgcustos incident 0123456789abcdef"`), ready('I'))
	if f := pgwire.ReadFields(told[pgwire.HeaderSize:]); string(f.Code) != pgwire.InsufficientPrivilege {
		t.Errorf("the client is told %q", told)
	}
	h.judge.missing = false
	if sent := h.client(query("SELECT 2")); !bytes.Equal(sent, query("SELECT 2")) {
		t.Errorf("%q went", sent)
	}
}

// TestCancelOfAStatementThatIsNotSent: it waits for its record, say. The cancel goes
// behind it, and until that has arrived nothing else goes.
func TestCancelOfAStatementThatIsNotSent(t *testing.T) {
	h := newHarness(t)
	m := query("SELECT 1")
	h.step(m)
	if h.m.Cancel() {
		t.Fatal("the cancel overtakes the statement")
	}
	if !h.m.Sent() {
		t.Fatal("the cancel does not go behind the statement")
	}
	h.backend(complete("SELECT 1"), ready('I'))
	next := query("SELECT 2")
	if sent, n, wait := h.step(next); len(sent) > 0 || n > 0 || wait != Cancelling {
		t.Errorf("%q went, next is %d", sent, wait)
	}
	calm := h.m.Calm()
	select {
	case <-calm:
		t.Error("it is calm while the cancel is on its way")
	default:
	}
	h.m.Passed()
	<-calm
	if sent, _, _ := h.step(next); !bytes.Equal(sent, next) || h.m.Sent() {
		t.Errorf("%q went", sent)
	}
}

// TestCancelOfWhatRuns: the backend hears of it at once, also where the client's next
// statement is being judged; and what comes behind the answer waits.
func TestCancelOfWhatRuns(t *testing.T) {
	h := newHarness(t)
	h.client(query("SELECT 1"))
	h.m.Sent()
	h.judge.missing = true
	behind := query("SELECT 2")
	if _, _, next := h.step(behind); next != JudgeText {
		t.Fatalf("next is %d", next)
	}
	if !h.m.Cancel() {
		t.Fatal("the cancel is kept for the statement behind")
	}
	h.backend(failed("57014", "canceling statement due to user request"), ready('I'))
	h.judgeText()
	if sent, _, next := h.step(behind); len(sent) > 0 || next != Cancelling {
		t.Errorf("%q went, next is %d", sent, next)
	}
	h.m.Passed()
	if sent, _, _ := h.step(behind); !bytes.Equal(sent, behind) {
		t.Errorf("%q went", sent)
	}
}

// TestCancelOfAnIdleSession hits nothing, not even what comes next.
func TestCancelOfAnIdleSession(t *testing.T) {
	h := newHarness(t)
	if !h.m.Cancel() {
		t.Fatal("the cancel is kept")
	}
	h.m.Passed()
	if sent := h.client(query("SELECT 1")); !bytes.Equal(sent, query("SELECT 1")) || h.m.Sent() {
		t.Errorf("%q went", sent)
	}
}

// TestCancelOfASpooledStatement: judged from a file, or on its way from it.
func TestCancelOfASpooledStatement(t *testing.T) {
	h := newHarness(t)
	h.m.opt.SpoolOver = 10
	m := query("SELECT 'a long one'")
	spooled := func() (forward bool, sent []byte) {
		if _, _, next := h.step(m); next != Spool {
			t.Fatalf("next is %d", next)
		}
		h.m.Judging()
		s, err := ReadSpooled(bytes.NewReader(m), int64(len(m)))
		if err != nil {
			t.Fatal(err)
		}
		s.Text, s.Encoding = m[5:len(m)-1], statement.UTF8
		s.Judgement = h.judge.Judge(context.Background(), s.Text, s.Encoding)
		if sent == nil && h.notes.seq == 0 {
			h.m.Cancel()
		}
		h.out.Reset()
		forward, _ = h.m.Spooled(h.now, s, &h.out)
		return forward, bytes.Join(h.out.Chunks, nil)
	}
	if forward, sent := spooled(); forward || !bytes.Contains(sent, []byte("pgcustos incident")) {
		t.Errorf("forwarded %v, sent %q", forward, sent)
	}
	h.m.Sent()
	h.backend(failed("42601", "pgcustos incident 0123456789abcdef"), ready('I'))

	forward, _ := spooled()
	if !forward || h.m.Sent() || h.m.Cancel() {
		t.Fatal("the cancel overtakes the statement")
	}
	h.m.Forwarded(len(m))
	if !h.m.Sent() {
		t.Error("the cancel does not go behind the statement")
	}
	h.m.Passed()
}
