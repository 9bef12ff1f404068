package relay

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// spooling is a harness whose machine asks to spool what is over 64 bytes.
func spooling(t *testing.T, readable bool) (*harness, func(in []byte, size int) []byte) {
	t.Helper()
	h := newHarness(t)
	h.m.opt.SpoolOver = 64
	return h, func(in []byte, size int) []byte { return h.spoolFeed(in, size, readable) }
}

// spoolFeed is a driver: it gives the machine bytes in pieces, and keeps messages that
// it asks for. It returns what goes to the backend.
func (h *harness) spoolFeed(in []byte, size int, readable bool) (sent []byte) {
	feed(in, size, func(b []byte) int {
		taken := 0
		for {
			h.out.Reset()
			n, next := h.m.Client(1, b[taken:], &h.out)
			sent = append(sent, bytes.Join(h.out.Chunks, nil)...)
			taken += n
			switch next {
			case JudgeText:
				text, encoding := h.m.Text()
				h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
			case Spool:
				_, size, _ := pgwire.Header(b[taken:])
				if len(b)-taken < size {
					return taken
				}
				sent = append(sent, h.spooled(b[taken:taken+size], readable)...)
				taken += size
			default:
				return taken
			}
		}
	})
	return sent
}

// spooled is what a driver does with a message that is there whole.
func (h *harness) spooled(message []byte, readable bool) []byte {
	h.t.Helper()
	s, err := ReadSpooled(bytes.NewReader(message), int64(len(message)))
	if err != nil {
		h.t.Fatal(err)
	}
	text := message[s.From:s.To]
	if readable && s.Fault == nil {
		s.Text, s.Encoding = text, h.m.Encoding()
		s.Judgement = h.judge.Judge(context.Background(), text, s.Encoding)
	} else {
		s.Judgement = statement.UnknownText(text, statement.CauseSize)
	}
	h.out.Reset()
	forward, next := h.m.Spooled(1, s, &h.out)
	sent := bytes.Clone(bytes.Join(h.out.Chunks, nil))
	if next != More {
		return sent
	}
	if forward {
		if !h.m.Outstanding() || h.m.MayTerminate() {
			h.t.Error("a message that is being forwarded passes for whole")
		}
		sent = append(sent, message...)
		h.m.Forwarded(len(message))
	}
	return sent
}

var padding = strings.Repeat(" ", 100)

func spoolConversation() []step {
	denied := failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`)
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []step{
		{cat(query("SELECT 1"), query("SELECT 2"+padding)), cat(row, complete("SELECT 1"), ready('I'), row, complete("SELECT 1"), ready('I'))},
		{query("DELETE a" + padding), cat(denied, ready('I'))},
		{
			cat(parse("s", "SELECT b"+padding), bind("p", "s"), execute("p", 0), syncMsg, query("SELECT 3")),
			cat(parseOK, bindOK, complete("SELECT 1"), ready('I'), row, complete("SELECT 1"), ready('I')),
		},
		{cat(parse("", "DROP x"+padding), bind("", ""), execute("", 0), syncMsg), cat(denied, ready('I'))},
		{cat(msg('Q', []byte("SELECT 4"+padding+"\x00;DROP x\x00"))), cat(failed("08P01", "invalid message format"), ready('I'))},
		{cat(msg('P', "s", "SELECT 4"+padding)), cat(failed("08P01", "insufficient data left in message"))},
		{syncMsg, ready('I')},
		{cat(query("SELECT 5"+padding), msg('X')), cat(row, complete("SELECT 1"), ready('I'))},
	}
}

// What a machine makes of spooled messages is what it makes of those that it is given
// whole, in whatever pieces they come.
func TestSpooledIsAsIfHeld(t *testing.T) {
	play := func(size, over int) (toBackend, toClient []byte, records string) {
		h, send := spooling(t, true)
		h.m.opt.SpoolOver = over
		for _, s := range spoolConversation() {
			toBackend = append(toBackend, send(s.client, size)...)
			toClient = append(toClient, h.backend(s.backend)...)
		}
		h.settledAll()
		return toBackend, toClient, strings.Join(h.notes.lines, "\n")
	}
	wantBackend, wantClient, wantRecords := play(1<<20, 0)
	for size := 1; size < 300; size++ {
		toBackend, toClient, records := play(size, 64)
		same(t, "to the backend", toBackend, wantBackend)
		same(t, "to the client", toClient, wantClient)
		if got, want := statementsOf(records), statementsOf(wantRecords); got != want {
			t.Fatalf("in pieces of %d, recorded:\n%s\nwant:\n%s", size, got, want)
		}
	}
}

// One that nobody reads is UNKNOWN: denied, unless the grant names the class.
func TestSpooledUnread(t *testing.T) {
	big := query("SELECT 'secret'" + padding)
	h, send := spooling(t, false)
	same(t, "to the backend", send(big, 1000), query(`"pgcustos incident 0123456789abcdef"`))
	h.recorded(`1 statement denied UNKNOWN "SELECT ?` + padding + `" size class UNKNOWN`)

	h, send = spooling(t, false)
	g := *reader()
	g.Classes |= statement.Unknown
	h.m.SetGrant(&g)
	same(t, "to the backend", send(big, 7), big)
	h.recorded(`1 statement allowed UNKNOWN "SELECT ?` + padding + `" size`)
	h.backend(row, complete("SELECT 1"), ready('I'))
	h.settledAll()
}

// A judgement does not outlast the settings that it rests on.
func TestSpooledUnderOtherSettings(t *testing.T) {
	for name, change := range map[string][]byte{
		"encoding": msg('S', "client_encoding", "SJIS"), "strings": msg('S', "standard_conforming_strings", "off"),
	} {
		h, _ := spooling(t, true)
		text := `SELECT 'é\'` + padding
		message := query(text)
		s, err := ReadSpooled(bytes.NewReader(message), int64(len(message)))
		if err != nil {
			t.Fatal(err)
		}
		s.Text, s.Encoding = []byte(text), h.m.Encoding()
		s.Judgement = h.judge.Judge(context.Background(), s.Text, s.Encoding)
		h.backend(change)
		h.out.Reset()
		if forward, _ := h.m.Spooled(1, s, &h.out); forward {
			t.Errorf("%s: forwarded", name)
		}
		if !strings.Contains(h.notes.lines[0], "denied UNKNOWN") {
			t.Errorf("%s: %s", name, h.notes.lines[0])
		}
	}
}

// A message that could not be kept is refused, and what still comes of it passed over.
func TestSpoolFailed(t *testing.T) {
	for taken := 0; taken <= 110; taken += 5 {
		h, _ := spooling(t, true)
		big := query("SELECT 1" + padding)
		h.out.Reset()
		if n, next := h.m.Client(1, big[:5], &h.out); n != 0 || next != Spool {
			t.Fatalf("%d, %v", n, next)
		}
		h.out.Reset()
		next := h.m.SpoolFailed(1, 'Q', len(big), taken, SpoolError{Code: "53100", Message: "full"}, &h.out)
		sent := bytes.Clone(bytes.Join(h.out.Chunks, nil))
		after := query("SELECT 2")
		sent = append(sent, h.client(big[taken:], after)...)
		same(t, "to the backend", sent, append(query(`"pgcustos incident 0123456789abcdef"`), after...))
		got := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
		if f := pgwire.ReadFields(got[pgwire.HeaderSize:]); string(f.Code) != "53100" || next != More {
			t.Errorf("the client was told %q", got)
		}
	}
}

// A session that ends meanwhile forwards nothing.
func TestSpooledAfterTheEnd(t *testing.T) {
	h, _ := spooling(t, true)
	big := query("SELECT 1" + padding)
	h.out.Reset()
	if _, next := h.m.Client(1, big, &h.out); next != Spool {
		t.Fatal(next)
	}
	if !h.m.Quiesce() {
		t.Error("a session whose message is still being kept is at an idle point")
	}
	if sent := h.spooled(big, true); len(sent) > 0 || len(h.notes.lines) > 0 {
		t.Errorf("sent %q, recorded %q", sent, h.notes.lines)
	}
	h.out.Reset()
	if next := h.m.SpoolFailed(1, 'Q', len(big), 10, SpoolError{}, &h.out); next != Terminated || len(h.out.Chunks) > 0 {
		t.Errorf("%v", next)
	}
}

// ReadSpooled takes a message apart as the machine does one that it is given whole.
func FuzzReadSpooled(f *testing.F) {
	for _, b := range [][]byte{query("SELECT 1"), parse("a", "SELECT 1"), msg('P', "a", "b", int16(1), int32(23)), msg('Q'), msg('P'), msg('P', "a"), msg('P', "a", "b", byte(0)), msg('Q', "a", "b")} {
		f.Add(b[0] == 'Q', b[5:])
	}
	f.Fuzz(func(t *testing.T, simple bool, body []byte) {
		typ := byte('P')
		if simple {
			typ = 'Q'
		}
		message := pgwire.AppendMessage(nil, typ, body)
		s, err := ReadSpooled(bytes.NewReader(message), int64(len(message)))
		if err != nil {
			t.Fatal(err)
		}
		var name, text, fault []byte
		if simple {
			var rest []byte
			var ok bool
			if text, rest, ok = pgwire.CString(body); !ok || len(rest) > 0 {
				fault = queryFault(ok)
			}
		} else {
			name, text, fault = cutParse(body)
		}
		if len(name) >= maxNames {
			return
		}
		if !bytes.Equal(s.Fault, fault) || !bytes.Equal(s.Name, name) || fault == nil && !bytes.Equal(message[s.From:s.To], text) {
			t.Errorf("%q: %q %q %d-%d, want %q %q %q", message, s.Name, s.Fault, s.From, s.To, name, fault, text)
		}
	})
}
