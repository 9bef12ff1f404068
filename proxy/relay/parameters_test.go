package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/parameters"
)

// recording makes the harness's grant want parameters.
func (h *harness) recording(how auth.Recording) *harness {
	g := *h.m.grant.Load()
	g.Record.Parameters = how
	h.m.SetGrant(&g)
	return h
}

// spellParameters tells an event's parameters, values of kind text only.
func spellParameters(p *audit.Parameters) string {
	var values []string
	for b := p.Values; len(b) >= 13; {
		end := 13 + int(b[5]) + int(b[6])<<8
		switch audit.ParameterKind(b[0]) {
		case audit.ParameterNull:
			values = append(values, "NULL")
		case audit.ParameterText:
			values = append(values, string(b[13:end]))
		default:
			values = append(values, fmt.Sprintf("kind%d:%s", b[0], b[13:end]))
		}
		b = b[end:]
	}
	return fmt.Sprintf(" %s/%d(%s)", p.Form, p.Count, strings.Join(values, ","))
}

// bindWith binds values in the text format; nil is NULL.
func bindWith(portal, st string, values ...any) []byte {
	parts := []any{portal, st, int16(0), int16(len(values))}
	for _, v := range values {
		if v == nil {
			parts = append(parts, int32(-1))
			continue
		}
		b := []byte(v.(string))
		parts = append(parts, int32(len(b)), b)
	}
	return msg('B', append(parts, int16(0))...)
}

// bindBinary binds one value of four bytes in the binary format to the statement s.
func bindBinary(portal string, n int32) []byte {
	return msg('B', portal, "s", int16(1), int16(1), int16(1), int32(4), n, int16(0))
}

func typed(name, sql string, oid int32) []byte { return msg('P', name, sql, int16(1), oid) }

func TestParameters(t *testing.T) {
	const one = `statement allowed READ "SELECT 1"`
	for name, test := range map[string]struct {
		how    auth.Recording
		client []byte
		want   []string
	}{
		"none":          {auth.RecordNone, join(parse("", "SELECT 1"), bindWith("", "", "a"), execute("", 0)), []string{one}},
		"digest":        {auth.RecordDigest, join(parse("", "SELECT 1"), bindWith("", "", "a"), execute("", 0)), []string{one + " digest/1()"}},
		"full":          {auth.RecordFull, join(parse("", "SELECT 1"), bindWith("", "", "a", nil, ""), execute("", 0)), []string{one + " full/3(a,NULL,)"}},
		"no parameters": {auth.RecordFull, join(parse("", "SELECT 1"), bind("", ""), execute("", 0)), []string{one + " full/0()"}},
		"declared type": {auth.RecordFull, join(typed("s", "SELECT 1", 23), bindBinary("", 42), execute("", 0)), []string{one + " full/1(42)"}},
		"no type":       {auth.RecordFull, join(parse("s", "SELECT 1"), bindBinary("", 42), execute("", 0)), []string{one + ` full/1(kind1:\x0000002a)`}},
		"in pieces":     {auth.RecordFull, join(parse("", "SELECT 1"), bindWith("p", "", "a"), execute("p", 1), execute("p", 1)), []string{one + " full/1(a)"}},
		"bound twice": {
			auth.RecordFull, join(parse("s", "SELECT 1"), bindWith("", "s", "a"), execute("", 0), bindWith("", "s", "b"), execute("", 0), closeName('S', "s"), syncMsg),
			[]string{one + " full/1(a)", one + " full/1(b)"},
		},
		"two portals": {
			auth.RecordFull, join(parse("s", "SELECT 1"), bindWith("p", "s", "a"), bindWith("q", "s", "b"), execute("q", 0), execute("p", 0)),
			[]string{one + " full/1(b)", one + " full/1(a)"},
		},
		"malformed": {
			auth.RecordFull, join(parse("", "SELECT 1"), msg('B', "", "", int16(0), int16(2), int32(1), byte('a'), int16(0)), execute("", 0)),
			[]string{one + " malformed/2()"},
		},
		"a text that is not on record as it is": {
			auth.RecordFull, join(bindWith("", "never", "a")), nil,
		},
		"a secret": {
			auth.RecordFull, join(parse("", "SELECT dblink"), bindWith("", "", "host=db"), execute("", 0)),
			[]string{`statement allowed READ "SELECT dblink" redacted/1()`},
		},
		"a value that tells": {auth.RecordFull, join(parse("", "SELECT 1"), bindWith("", "", "password=x", "y"), execute("", 0)), []string{one + " full/2(kind3:,y)"}},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(test.client); size++ {
				h := newHarness(t).recording(test.how)
				h.exchange(step{client: test.client}, size)
				var got []string
				for _, line := range h.notes.lines {
					if _, rest, _ := strings.Cut(line, " "); strings.HasPrefix(rest, "statement ") {
						got = append(got, rest)
					}
				}
				if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Fatalf("in pieces of %d, recorded:\n%s\nwant:\n%s", size, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			}
		})
	}
}

// A statement that was prepared before the rule changed is denied with what it was
// bound with.
func TestParametersOfTheDenied(t *testing.T) {
	h := newHarness(t).recording(auth.RecordFull)
	h.client(parse("s", "INSERT x"), syncMsg)
	h.backend(parseOK, ready('I'))
	g := *h.m.grant.Load()
	g.Classes = statement.Read
	h.m.SetGrant(&g)
	h.notes.lines = nil
	h.client(bindWith("", "s", "a"), execute("", 0), syncMsg)
	h.recorded(`2 statement denied WRITE "INSERT x" full/1(a) class WRITE`)
}

// The server's description of a statement tells the types that its Parse left open.
func TestDescribedTypes(t *testing.T) {
	for size := 1; size < 30; size++ {
		h := newHarness(t).recording(auth.RecordFull)
		h.exchange(step{join(parse("s", "SELECT 1"), describe('S', "s"), syncMsg), join(parseOK, msg('t', int16(1), int32(23)), msg('n'), ready('I'))}, size)
		h.notes.lines = nil
		h.exchange(step{client: join(bindBinary("", 7), execute("", 0), syncMsg)}, size)
		h.recorded(`2 statement allowed READ "SELECT 1" full/1(7)`)
	}
}

func TestFunctionCallArguments(t *testing.T) {
	call := msg('F', int32(955), int16(1), int16(1), int16(2), int32(4), int32(7), int32(1), byte('x'), int16(1))
	other := msg('F', int32(2078), int16(0), int16(1), int32(1), byte('x'), int16(1))
	for size := 1; size <= len(call); size++ {
		h := newHarness(t).recording(auth.RecordFull)
		g := *h.m.grant.Load()
		g.Classes, g.Tags = ^statement.Class(0), ^statement.Tag(0)
		h.m.SetGrant(&g)
		h.exchange(step{client: join(call, other)}, size)
		h.recorded(
			`1 statement allowed WRITE,FUNCTION "FUNCTION CALL lowrite" full/2(7,\x78)`,
			`2 statement allowed FUNCTION,UNKNOWN "FUNCTION CALL 2078" redacted/1() function_call`)
	}
}

// full cannot keep what is too large to be recorded: the server never sees it.
func TestParametersTooLarge(t *testing.T) {
	large := strings.Repeat("x", 1<<16)
	for _, how := range []auth.Recording{auth.RecordNone, auth.RecordDigest, auth.RecordFull} {
		h := newHarness(t).recording(how)
		in := join(parse("", "SELECT 1"), bindWith("", "", large), execute("", 0), syncMsg)
		sent := h.client(in)
		if got := bytes.Contains(sent, []byte(large)); got == (how == auth.RecordFull) {
			t.Errorf("%s: it was forwarded: %v", how, got)
		}
		h.backend(parseOK)
		if how == auth.RecordFull {
			answer := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
			if !bytes.Contains(answer, []byte("C54000")) {
				t.Errorf("the answer is %q", answer)
			}
			h.settledAll()
		}
	}
	h := newHarness(t).recording(auth.RecordFull)
	sent := h.client(msg('F', int32(955), int16(0), int16(1), int32(1<<16), []byte(large), int16(1)))
	if len(sent) > 100 {
		t.Errorf("a call of %d bytes was forwarded", len(sent))
	}
	h.backend(failed("42883", "function with OID 0 does not exist"), ready('I'))
	h.settledAll()
}

// store is a recorder whose blobs are kept, or refused.
type store struct {
	notes
	err   error
	blobs []*bytes.Buffer
}

func (s *store) Blob() (audit.BlobWriter, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.blobs = append(s.blobs, &bytes.Buffer{})
	return &kept{s.blobs[len(s.blobs)-1], s.Keyed()}, nil
}

type kept struct {
	*bytes.Buffer
	hash hash.Hash
}

func (k *kept) Commit() (audit.BlobRef, error) { return audit.BlobRef{Length: int64(k.Len())}, nil }
func (*kept) Discard()                         {}

// What could not be kept is not executed.
func TestParametersThatCannotBeKept(t *testing.T) {
	s := &store{err: audit.ErrFull}
	h := newHarness(t).recording(auth.RecordFull)
	h.notes, h.m.opt.Recorder = &s.notes, s
	sent := h.client(parse("", "SELECT 1"), bindWith("", "", strings.Repeat("x", 20000)), execute("", 0), syncMsg)
	if bytes.Contains(sent, execute("", 0)) || !bytes.Contains(sent, []byte("pgcustos incident")) {
		t.Errorf("%q was forwarded", sent[len(sent)-100:])
	}
	if got := h.notes.lines[1]; !strings.HasPrefix(got, `2 statement refused READ "SELECT 1"`) || !strings.HasSuffix(got, " parameters") {
		t.Errorf("recorded %s", got)
	}
	h.backend(parseOK, bindOK)
	answer := h.backend(failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`), ready('I'))
	if !bytes.Contains(answer, []byte("C53100")) {
		t.Errorf("the answer is %q", answer)
	}
	h.settledAll()
}

// What portals hold in memory is bounded: beyond that values go to blobs.
func TestHeldParametersAreBounded(t *testing.T) {
	s := &store{}
	h := newHarness(t).recording(auth.RecordFull)
	h.notes, h.m.opt.Recorder = &s.notes, s
	value := strings.Repeat("x", 10000)
	h.client(parse("s", "SELECT 1"))
	h.backend(parseOK)
	for i := range 300 {
		h.client(bindWith(fmt.Sprint("p", i), "s", value))
		h.backend(bindOK)
	}
	if held := h.m.portals.holds(); held > maxHeld+10100 || len(s.blobs) < 150 {
		t.Errorf("%d bytes are held, %d blobs", held, len(s.blobs))
	}
	for i := range 300 {
		h.client(closeName('P', fmt.Sprint("p", i)))
		h.backend(closeOK)
	}
	before := len(s.blobs)
	for range 3 * recount {
		h.client(bindWith("", "s", value))
		h.backend(bindOK)
	}
	if more := len(s.blobs) - before; more > recount {
		t.Errorf("%d blobs when the portals were gone", more)
	}
}

func TestSpoolOfAnUnfinishedBind(t *testing.T) {
	closed := 0
	h := newHarness(t)
	h.m.opt.Spool = func() (parameters.Spool, error) { return &spool{closed: &closed}, nil }
	h.recording(auth.RecordFull)
	h.client(parse("", "SELECT 1"))
	b := bindWith("", "", strings.Repeat("x", 40000))
	h.exchange(step{client: b[:39000]}, 4096)
	h.m.Finish()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
}

type spool struct {
	bytes.Buffer
	closed *int
}

func (*spool) Seek(int64, int) (int64, error) { return 0, errors.New("not now") }
func (s *spool) Close() error                 { *s.closed++; return nil }

// FuzzBind: whatever is bound, the same bytes leave, however they come; and whoever
// executes it has the same on record.
func FuzzBind(f *testing.F) {
	f.Add(bindWith("", "s", "a", nil)[5:], uint8(0), 3)
	f.Add(bindBinary("p", 42)[5:], uint8(1), 1)
	f.Fuzz(func(t *testing.T, body []byte, how uint8, size int) {
		want := []auth.Recording{auth.RecordNone, auth.RecordDigest, auth.RecordFull}[how%3]
		in := join(typed("s", "SELECT 1", 1007), parse("", "SELECT 2"), msg('B', body), execute("", 0), execute("p", 0), syncMsg)
		run := func(size int) (sent []byte, lines string) {
			h := newHarness(t).recording(want)
			feed(in, size, func(b []byte) int {
				taken := 0
				for {
					h.out.Reset()
					n, next := h.m.Client(1, b[taken:], &h.out)
					sent = append(sent, bytes.Join(h.out.Chunks, nil)...)
					taken += n
					if next != JudgeText {
						return taken
					}
					text, encoding := h.m.Text()
					h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
				}
			})
			h.m.Finish()
			return sent, strings.Join(h.notes.lines, "\n")
		}
		sent, lines := run(len(in))
		again, linesAgain := run(1 + max(size, -size)%64)
		if !bytes.Equal(sent, again) || lines != linesAgain {
			t.Fatalf("whole:\n%q\n%s\nin pieces:\n%q\n%s", sent, lines, again, linesAgain)
		}
	})
}

func TestNoAllocationForParametersThatAreNotRecorded(t *testing.T) {
	e := exchange{"bind", join(bindWith("", "s", "a", "b"), execute("", 0), syncMsg), join(bindOK, row, complete("SELECT 1"), ready('I'))}
	h := steady(t)
	h.once(t, e)
	if n := testing.AllocsPerRun(100, func() { h.once(t, e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if h.m.capture.reader != nil {
		t.Error("a reader was made")
	}
}

func BenchmarkBind(b *testing.B) {
	e := exchange{"bind", join(bindWith("", "s", "42", "a name of somebody", "2024-01-01"), execute("", 0), syncMsg), join(bindOK, row, complete("SELECT 1"), ready('I'))}
	for _, how := range []auth.Recording{auth.RecordNone, auth.RecordDigest, auth.RecordFull} {
		b.Run(string(how), func(b *testing.B) {
			h := steady(b).recording(how)
			b.ReportAllocs()
			for b.Loop() {
				h.once(b, e)
			}
		})
	}
}
