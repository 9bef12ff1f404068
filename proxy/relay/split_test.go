package relay

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// step is a piece of a conversation: what one side sends at once.
type step struct {
	client, backend []byte
}

func conversation() []step {
	denied := failed("42601", `syntax error at or near ""pgcustos incident 0123456789abcdef""`)
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []step{
		{cat(query("SELECT 1")), cat(msg('T', int16(0)), row, complete("SELECT 1"), ready('I'))},
		{cat(query("DELETE a")), cat(denied, ready('I'))},
		{
			cat(parse("s", "INSERT b"), bind("p", "s"), describe('P', "p"), execute("p", 0), closeName('P', "p"), syncMsg),
			cat(parseOK, bindOK, msg('n'), complete("INSERT 0 1"), closeOK, ready('I')),
		},
		{cat(parse("", "DROP x"), bind("", ""), execute("", 0), syncMsg, query("SELECT 2")), cat(denied, ready('I'), row, complete("SELECT 1"), ready('I'))},
		{cat(parse("", "COPY t"), bind("", ""), execute("", 0), syncMsg), cat(parseOK, bindOK, msg('G', byte(0), int16(0)))},
		{cat(msg('d', []byte(strings.Repeat("1\n", 50))), msg('c'), syncMsg), cat(complete("COPY 50"), ready('I'))},
		{cat(msg('F', int32(2078), int16(0), int16(0), int16(0))), cat(failed("42883", "function with OID 0 does not exist"), ready('I'))},
		{cat(query("BEGIN"), query("SELECT x"), query("COMMIT")), cat(complete("BEGIN"), ready('T'), failed("42703", "no"), ready('E'), msg('S', "application_name", "x"), complete("ROLLBACK"), ready('I'))},
		{cat(msg('X')), nil},
	}
}

// feed gives a direction its bytes in pieces of the given size, with what the
// machine left over in front of the next.
func feed(in []byte, size int, take func([]byte) int) {
	var held []byte
	for len(in) > 0 {
		n := min(size, len(in))
		held = append(held, in[:n]...)
		in = in[n:]
		used := take(held)
		held = append([]byte(nil), held[used:]...)
	}
}

func converse(t *testing.T, size int) (toBackend, toClient []byte, records string) {
	t.Helper()
	h := newHarness(t)
	for _, s := range conversation() {
		feed(s.client, size, func(b []byte) int {
			taken := 0
			for {
				h.out.Reset()
				n, next := h.m.Client(1, b[taken:], &h.out)
				toBackend = append(toBackend, bytes.Join(h.out.Chunks, nil)...)
				taken += n
				if next != JudgeText {
					return taken
				}
				text, encoding := h.m.Text()
				h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
			}
		})
		feed(s.backend, size, func(b []byte) int {
			h.out.Reset()
			n, err := h.m.Backend(1, b, &h.out)
			if err != nil {
				t.Fatal(err)
			}
			toClient = append(toClient, bytes.Join(h.out.Chunks, nil)...)
			return n
		})
	}
	h.settledAll()
	return toBackend, toClient, strings.Join(h.notes.lines, "\n")
}

// The bytes that leave and the statements on record do not depend on how the
// bytes come.
func TestSplitAtEveryByte(t *testing.T) {
	wantBackend, wantClient, wantRecords := converse(t, 1<<20)
	for size := 1; size < 200; size++ {
		toBackend, toClient, records := converse(t, size)
		same(t, "to the backend", toBackend, wantBackend)
		same(t, "to the client", toClient, wantClient)
		if got, want := statementsOf(records), statementsOf(wantRecords); got != want {
			t.Fatalf("in pieces of %d, recorded:\n%s\nwant:\n%s", size, got, want)
		}
	}
}

// statementsOf leaves out what legitimately depends on the pieces: the fate that
// came with a later one, and the numbers of records behind it.
func statementsOf(records string) string {
	var out []string
	for line := range strings.SplitSeq(records, "\n") {
		_, line, _ = strings.Cut(line, " ")
		line = strings.TrimSuffix(strings.TrimSuffix(line, " committed"), " rolled_back")
		if strings.HasPrefix(line, "transaction") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "outcome of "); ok {
			_, rest, _ = strings.Cut(rest, " ")
			line = "outcome " + rest
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestJudgingOutsideTheMachineChangesNothing(t *testing.T) {
	h := newHarness(t)
	h.judge.missing = true
	in := bytes.Join([][]byte{query("SELECT 1"), parse("", "SELECT 2"), bind("", ""), execute("", 0), syncMsg}, nil)
	same(t, "to the backend", h.client(in), in)
	h.recorded(
		`1 statement allowed READ "SELECT 1"`,
		`2 statement.prepare allowed READ "SELECT 2"`,
		`3 statement allowed READ "SELECT 2"`)
}

// TestLongNamesOfABind: names that are longer than what is looked at are refused,
// however much of the message has come.
func TestLongNamesOfABind(t *testing.T) {
	in := bytes.Join([][]byte{parse("", "SELECT 1"), bind(strings.Repeat("x", 20_000), ""), syncMsg}, nil)
	want := bytes.Join([][]byte{parse("", "SELECT 1"), msg('B'), syncMsg}, nil)
	for _, size := range []int{7, 4 << 10, maxNames, len(in)} {
		h := newHarness(t)
		var got []byte
		feed(in, size, func(held []byte) int {
			h.out.Reset()
			n, _ := h.m.Client(1, held, &h.out)
			got = append(got, bytes.Join(h.out.Chunks, nil)...)
			return n
		})
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d bytes the backend got %d bytes, %.60q", size, len(got), got)
		}
	}
}
