package relay

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
)

// copying makes the harness's grant want a digest of what COPY transfers.
func (h *harness) copying() *harness {
	g := *h.m.grant.Load()
	g.Record.Copy = auth.RecordDigest
	h.m.SetGrant(&g)
	return h
}

// sumOf is what the record of a COPY of this data ends with.
func sumOf(data string) string {
	k := (*notes)(nil).Keyed()
	_, _ = k.Write([]byte(data))
	return fmt.Sprintf(" bytes=%d copy=%x", len(data), k.Sum(nil)[:4])
}

func data(s string) []byte { return msg('d', []byte(s)) }

var (
	copyDone = msg('c')
	copyIn   = msg('G', byte(0), int16(0))
	copyOut  = msg('H', byte(0), int16(0))
)

func TestCopyDigest(t *testing.T) {
	for name, test := range map[string]struct {
		steps []step
		want  []string
	}{
		"in": {
			[]step{{query("COPY t"), copyIn}, {join(data("1\n"), data(""), data("2\n"), copyDone), join(complete("COPY 2"), ready('I'))}},
			[]string{`1 statement allowed WRITE "COPY t"`, "2 outcome of 1 completed rows=2 tx=1" + sumOf("1\n2\n") + " COPY 2 committed"},
		},
		"in, sent ahead": {
			[]step{{join(query("COPY t"), data("1\n2"), data("\n"), copyDone, query("COPY u"), data("3\n"), copyDone), join(copyIn, complete("COPY 2"), ready('I'), copyIn, complete("COPY 1"), ready('I'))}},
			[]string{
				`1 statement allowed WRITE "COPY t"`, `2 statement allowed WRITE "COPY u"`,
				"3 outcome of 1 completed rows=2 tx=1" + sumOf("1\n2\n") + " COPY 2 committed",
				"4 outcome of 2 completed rows=1 tx=2" + sumOf("3\n") + " COPY 1 committed",
			},
		},
		"two in a Query": {
			[]step{
				{query("COPY t; COPY u"), copyIn},
				{join(data("1\n"), copyDone, data("2\n"), data("3\n"), copyDone), join(complete("COPY 1"), copyIn, complete("COPY 2"), ready('I'))},
			},
			[]string{
				`1 statement allowed WRITE "COPY t" 1/2`, `2 statement allowed WRITE "COPY u" 2/2`,
				"3 outcome of 1 completed rows=1 tx=1" + sumOf("1\n") + " COPY 1",
				"4 outcome of 2 completed rows=2 tx=1" + sumOf("2\n3\n") + " COPY 2 committed",
			},
		},
		"extended, with a Sync in the data": {
			[]step{{join(parse("", "COPY t"), bind("", ""), execute("", 0), syncMsg, data("1\n"), copyDone, syncMsg), join(parseOK, bindOK, copyIn, complete("COPY 1"), ready('I'))}},
			[]string{
				`1 statement.prepare allowed WRITE "COPY t"`, `2 statement allowed WRITE "COPY t"`,
				"3 outcome of 2 completed rows=1 tx=1" + sumOf("1\n") + " COPY 1 committed",
			},
		},
		"data of no COPY": {
			[]step{{join(data("x"), query("SELECT 1"), data("y"), query("COPY t"), data("1\n"), copyDone), join(complete("SELECT 1"), ready('I'), copyIn, complete("COPY 1"), ready('I'))}},
			[]string{
				`1 statement allowed READ "SELECT 1"`, `2 statement allowed WRITE "COPY t"`,
				"3 outcome of 1 completed rows=1 tx=1 SELECT 1 committed",
				"4 outcome of 2 completed rows=1 tx=2" + sumOf("1\n") + " COPY 1 committed",
			},
		},
		"given up": {
			[]step{{query("COPY t"), copyIn}, {join(data("1\n"), msg('f', "no")), join(failed("57014", "COPY from stdin failed"), ready('I'))}},
			[]string{`1 statement allowed WRITE "COPY t"`, "2 outcome of 1 failed rows=-1 tx=1" + sumOf("1\n") + " rolled_back 57014"},
		},
		"empty": {
			[]step{{query("COPY t"), copyIn}, {copyDone, join(complete("COPY 0"), ready('I'))}, {query("SELECT 1"), join(complete("SELECT 1"), ready('I'))}},
			[]string{
				`1 statement allowed WRITE "COPY t"`, "2 outcome of 1 completed rows=0 tx=1" + sumOf("") + " COPY 0 committed",
				`3 statement allowed READ "SELECT 1"`, "4 outcome of 3 completed rows=1 tx=2 SELECT 1 committed",
			},
		},
		"out": {
			[]step{{query("COPY t; COPY u"), join(copyOut, data("1\n"), data("2\n"), copyDone, complete("COPY 2"), copyOut, data("3\n"), failed("22012", "division"), ready('I'))}},
			[]string{
				`1 statement allowed WRITE "COPY t" 1/2`, `2 statement allowed WRITE "COPY u" 2/2`,
				"3 outcome of 1 completed rows=2 tx=1" + sumOf("1\n2\n") + " COPY 2",
				"4 outcome of 2 failed rows=-1 tx=1" + sumOf("3\n") + " rolled_back 22012",
			},
		},
		"not read": {
			[]step{{query("garbage; COPY"), nil}},
			[]string{`1 statement denied UNKNOWN "garbage; COPY" syntax class UNKNOWN`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 40; size++ {
				h := newHarness(t).copying()
				for _, s := range test.steps {
					h.exchange(s, size)
				}
				if got, want := statementsOf(strings.Join(h.notes.lines, "\n")), statementsOf(strings.Join(test.want, "\n")); got != want {
					t.Fatalf("in pieces of %d, recorded:\n%s\nwant:\n%s", size, got, want)
				}
			}
		})
	}
}

// exchange plays a step in pieces.
func (h *harness) exchange(s step, size int) {
	h.t.Helper()
	feed(s.client, size, func(b []byte) int {
		h.out.Reset()
		n, next := h.m.Client(1, b, &h.out)
		if next == JudgeText {
			text, encoding := h.m.Text()
			h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
		}
		return n
	})
	feed(s.backend, size, func(b []byte) int {
		h.out.Reset()
		n, err := h.m.Backend(2, b, &h.out)
		if err != nil {
			h.t.Fatal(err)
		}
		return n
	})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Without a rule that asks nothing is summed up, and bytes are counted all the same.
func TestCopyWithoutDigest(t *testing.T) {
	h := newHarness(t)
	h.exchange(step{query("COPY t"), copyIn}, 1<<20)
	h.exchange(step{join(data("1\n"), copyDone), join(complete("COPY 1"), ready('I'))}, 1<<20)
	h.recorded(`1 statement allowed WRITE "COPY t"`, `2 outcome of 1 completed rows=1 tx=1 COPY 1 committed`)
	if h.m.sent.hash != nil || h.m.given.hash != nil {
		t.Error("a hash was made")
	}
}

func copies() []exchange {
	bulk := bytes.Repeat(msg('d', []byte(strings.Repeat("1\tabc\n", 170))), 1024)
	return []exchange{
		{"copy in", join(query("COPY t"), bulk, copyDone), join(copyIn, complete("COPY 1"), ready('I'))},
		{"copy out", query("COPY t"), join(copyOut, bulk, copyDone, complete("COPY 1"), ready('I'))},
	}
}

func TestNoAllocationPerCopyData(t *testing.T) {
	for _, e := range copies() {
		h := steady(t).copying()
		h.once(t, e)
		// Enough for the average: the race detector has a sync.Pool forget one in four.
		if n := testing.AllocsPerRun(100, func() { h.once(t, e) }); n != 0 {
			t.Errorf("%s: %v allocations", e.name, n)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	for _, e := range copies() {
		for _, digest := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s, digest %v", e.name, digest), func(b *testing.B) {
				h := steady(b)
				if digest {
					h.copying()
				}
				b.SetBytes(int64(max(len(e.client), len(e.backend))))
				b.ReportAllocs()
				for b.Loop() {
					h.once(b, e)
				}
			})
		}
	}
}
