package relay

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

var badFlush = msg('H', []byte("x"))

// until gives the machine bytes as the client until it wants something else.
func (h *harness) until(in []byte) (rest []byte, next Next) {
	h.t.Helper()
	for {
		h.out.Reset()
		n, next := h.m.Client(h.now, in, &h.out)
		in = in[n:]
		if next != JudgeText {
			return in, next
		}
		text, encoding := h.m.Text()
		h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
	}
}

// rests checks that the session is idle.
func (h *harness) rests() {
	h.t.Helper()
	if phase, _ := h.m.Activity(); phase != PhaseIdle || !h.m.IdlePoint() || h.m.Outstanding() {
		h.t.Errorf("phase %d, idle point %v, outstanding %v", phase, h.m.IdlePoint(), h.m.Outstanding())
	}
	h.settledAll()
}

// The server ignores a CopyDone or CopyFail that it did not ask for, and answers nothing.
func TestSessionRestsBehindAnEndOfNoCopy(t *testing.T) {
	for _, end := range [][]byte{copyDone, msg('f', "no")} {
		h := newHarness(t)
		h.client(query("SELECT 1"), end, end)
		h.backend(row, complete("SELECT 1"), ready('I'))
		h.rests()
		h.client(parse("", "SELECT 1"), bind("", ""), execute("", 0), end, syncMsg, end)
		h.backend(parseOK, bindOK, complete("SELECT 1"), ready('I'))
		h.rests()
	}
}

// A full queue that ends in what nothing answers has the backend asked for the answers
// that it keeps, and is not full of it any more once they are there.
func TestEndsOfNoCopyDoNotFillTheQueue(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "SELECT 1"), bind("", ""), execute("", 0))
	rest, next := h.until(append(bytes.Repeat(copyDone, maxOutstanding), syncMsg...))
	if sent := bytes.Join(h.out.Chunks, nil); next != Full || !bytes.HasSuffix(sent, flush) {
		t.Fatalf("next %d, the last bytes sent are %q", next, sent[max(0, len(sent)-10):])
	}
	h.backend(parseOK, bindOK, complete("SELECT 1"))
	if rest, next = h.until(rest); next != More || len(rest) > 0 {
		t.Fatalf("next %d with %d bytes left", next, len(rest))
	}
	h.backend(ready('I'))
	h.rests()
}

func TestSyncsInsideCopyDoNotFillTheQueue(t *testing.T) {
	for name, answered := range map[string]bool{"before the answer": false, "behind it": true} {
		h := newHarness(t)
		h.client(query("COPY t"))
		rest := append(bytes.Repeat(syncMsg, maxOutstanding+10), join(data("1\n"), copyDone)...)
		if !answered {
			var next Next
			if rest, next = h.until(rest); next != Full {
				t.Fatalf("%s: next %d", name, next)
			}
		}
		h.backend(copyIn)
		if n := h.m.queue.len(); n > 2 {
			t.Errorf("%s: %d messages wait", name, n)
		}
		if rest, next := h.until(rest); next != More || len(rest) > 0 {
			t.Fatalf("%s: next %d with %d bytes left", name, next, len(rest))
		}
		h.backend(complete("COPY 1"), ready('I'))
		h.rests()
	}
}

// What is no Sync can fill the queue inside a COPY, and the end of the COPY passes it.
func TestEndOfCopyPassesAFullQueue(t *testing.T) {
	h := newHarness(t)
	h.client(query("COPY t"))
	h.backend(copyIn)
	full := bytes.Repeat(describe('S', ""), maxOutstanding)
	if _, next := h.until(full); next != Full {
		t.Fatalf("next %d", next)
	}
	for _, in := range [][]byte{data("1\n"), copyDone} {
		if rest, next := h.until(in); next != More || len(rest) > 0 {
			t.Errorf("next %d for %q", next, in)
		}
	}
	if _, next := h.until(copyDone); next != Full {
		t.Errorf("next %d for an end that no COPY asked for", next)
	}
}

// The server refuses a Flush with a body, and skips to Sync.
func TestMalformedFlushSkipsToSync(t *testing.T) {
	h := newHarness(t)
	sent := h.client(badFlush, parse("", "SELECT 1"), bind("", ""), execute("", 0), syncMsg)
	if !bytes.HasPrefix(sent, badFlush) {
		t.Errorf("forwarded %q", sent)
	}
	h.backend(failed("08P01", "invalid message format"), ready('I'))
	h.settledAll()
	h.client(badFlush)
	h.backend(failed("08P01", "invalid message format"))
	h.notes.lines = nil
	h.client(query("INSERT a"))
	h.wantLast("skipped")
}

// In the data of a COPY the server ignores every Flush.
func TestMalformedFlushInsideCopy(t *testing.T) {
	h := newHarness(t)
	h.client(query("COPY t"), badFlush, data("1\n"), copyDone)
	h.backend(copyIn, complete("COPY 1"), ready('I'))
	h.rests()
	h.client(query("COPY t"), badFlush)
	h.backend(copyIn)
	if sent := h.client(badFlush, data("1\n"), copyDone); bytes.Contains(sent, badFlush) {
		t.Errorf("forwarded %q", sent)
	}
	h.backend(complete("COPY 1"), ready('I'))
	h.rests()
}

// Whether the server ignored it or skips what stands behind it, nobody can tell.
func TestMalformedFlushInsideCopyThatFails(t *testing.T) {
	h := newHarness(t)
	h.client(query("COPY t"), badFlush, query("INSERT a"))
	h.out.Reset()
	if _, err := h.m.Backend(1, join(copyIn, failed("55000", "cannot copy to view")), &h.out); !errors.Is(err, ErrAdrift) {
		t.Errorf("the session goes on: %v", err)
	}
}

// Behind an Execute that failed the server skips it in either case.
func TestMalformedFlushInsideCopyByExecuteThatFails(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "COPY t"), bind("", ""), execute("", 0), data("x\n"), badFlush, copyDone, syncMsg)
	h.backend(parseOK, bindOK, copyIn, failed("22P02", "bad input"), ready('I'))
	h.rests()
}

// What was not sent whole ends no transaction.
func TestFateBehindHalfAMessage(t *testing.T) {
	half := bind("", "")[:9]
	for name, test := range map[string]struct {
		in   []byte
		want string
	}{
		"half a Bind":              {half, "rolled_back"},
		"Parse and half a Bind":    {join(parse("", "COMMIT"), half), "rolled_back"},
		"COMMIT":                   {query("COMMIT"), "unknown"},
		"COMMIT, then half a Bind": {join(query("COMMIT"), half), "unknown"},
		"Sync":                     {syncMsg, "unknown"},
	} {
		h := newHarness(t)
		h.client(query("BEGIN"))
		h.backend(complete("BEGIN"), ready('T'))
		h.client(query("INSERT a"))
		h.backend(complete("INSERT 0 1"), ready('T'))
		h.client(test.in)
		h.notes.lines = nil
		h.m.Finish()
		t.Run(name, func(t *testing.T) { h.t = t; h.wantLast("transaction tx=1", test.want) })
	}
}
