package relay

import (
	"bytes"
	"io"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// exchange is one round trip of a session in steady state.
type exchange struct {
	name            string
	client, backend []byte
}

func exchanges() []exchange {
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	rows := bytes.Repeat(row, 1000)
	return []exchange{
		{"simple", query("SELECT 1"), cat(msg('T', int16(0)), row, complete("SELECT 1"), ready('I'))},
		{"extended", cat(parse("", "SELECT 1"), bind("", ""), describe('P', ""), execute("", 0), syncMsg), cat(parseOK, bindOK, msg('T', int16(0)), row, complete("SELECT 1"), ready('I'))},
		{"prepared", cat(bind("", "s"), execute("", 0), syncMsg), cat(bindOK, row, complete("SELECT 1"), ready('I'))},
		{"bulk", query("SELECT 1"), cat(msg('T', int16(0)), rows, complete("SELECT 1000"), ready('I'))},
		{"copy", cat(query("COPY t"), bytes.Repeat(msg('d', []byte("1\tabc\n")), 1000), msg('c')), cat(msg('G', byte(0), int16(0)), complete("COPY 1000"), ready('I'))},
		{"pipeline", bytes.Repeat(query("SELECT 1"), 100), bytes.Repeat(cat(row, complete("SELECT 1"), ready('I')), 100)},
	}
}

func steady(tb testing.TB) *harness {
	tb.Helper()
	h := &harness{notes: &notes{quiet: true}, judge: newPhrasebook()}
	h.m = New(Options{
		Judge: h.judge, Recorder: h.notes, Grant: reader(), MaxMessage: 1 << 16,
		Parameters: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"},
	})
	h.once(tb, exchange{client: parse("s", "SELECT 1"), backend: parseOK})
	return h
}

func (h *harness) once(tb testing.TB, e exchange) {
	tb.Helper()
	h.out.Reset()
	if n, _ := h.m.Client(1, e.client, &h.out); n != len(e.client) {
		tb.Fatalf("the machine took %d of %d bytes", n, len(e.client))
	}
	h.out.Reset()
	if n, err := h.m.Backend(2, e.backend, &h.out); n != len(e.backend) || err != nil {
		tb.Fatalf("the machine took %d of %d bytes: %v", n, len(e.backend), err)
	}
}

func TestNoAllocationPerMessage(t *testing.T) {
	patterns, err := statement.NewPatterns([]statement.Pattern{{Name: "card", Expression: `\d{16}`}})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []auth.Record{{}, {StatementText: auth.TextMasked}, {StatementText: auth.TextNone}, {Patterns: patterns}} {
		for _, e := range exchanges() {
			h := steady(t)
			g := reader()
			g.Record = rule
			h.m.SetGrant(g)
			h.once(t, e)
			if n := testing.AllocsPerRun(100, func() { h.once(t, e) }); n != 0 {
				t.Errorf("%s, text %q: %v allocations in a round trip", e.name, rule.StatementText, n)
			}
		}
	}
}

func BenchmarkMachine(b *testing.B) {
	for _, e := range exchanges() {
		b.Run(e.name, func(b *testing.B) {
			h := steady(b)
			b.SetBytes(int64(len(e.client) + len(e.backend)))
			b.ReportAllocs()
			for b.Loop() {
				h.once(b, e)
			}
		})
		b.Run(e.name+"/copy", func(b *testing.B) {
			b.SetBytes(int64(len(e.client) + len(e.backend)))
			scratch := make([]byte, 64<<10)
			for b.Loop() {
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{bytes.NewReader(e.client)}, scratch)
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{bytes.NewReader(e.backend)}, scratch)
			}
		})
	}
}
