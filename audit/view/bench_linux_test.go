package view

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

const benchRecords = 1_000_000

// benchJournal holds a million records: statements and outcomes of 1,000 accounts.
func benchJournal(b *testing.B) string {
	b.Helper()
	path := b.TempDir()
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1"})
	if err != nil {
		b.Fatal(err)
	}
	prepared := make([]*audit.Prepared, 1000)
	for i := range prepared {
		c := session(fmt.Sprintf("user%04d", i), "10.20.3.4:50123", "app_ro_orders")
		c.Session = fmt.Sprintf("06h00fbgwxstm3jg4bm4ywy%03d", i)
		prepared[i] = j.Prepare(c)
	}
	objects := []statement.Object{{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseRead}}
	for i := range benchRecords / 2 {
		p := prepared[i%len(prepared)]
		r, err := j.Record(&audit.Event{
			Type: audit.Statement, Time: noon.Add(time.Duration(i) * time.Millisecond), Prepared: p, Decision: audit.Allowed, Command: "SELECT",
			Class: statement.Read, Text: "SELECT id, status, total FROM public.orders WHERE customer_id = $1 AND status <> 'closed' ORDER BY id",
			Form: statement.Verbatim, Objects: objects, Protocol: "extended", Fingerprint: 0xfeed,
		})
		if err == nil {
			_, err = j.Record(&audit.Event{
				Type: audit.Outcome, Time: noon.Add(time.Duration(i) * time.Millisecond), Prepared: p, Statement: r.Sequence, Command: "SELECT 3",
				Result: audit.Completed, Fate: audit.Committed, Rows: 3, Bytes: 812, Duration: 400 * time.Microsecond, Tx: 1,
			})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkQuery scans a million records; ns/record is what one of them takes.
func BenchmarkQuery(b *testing.B) {
	path := benchJournal(b)
	for _, bench := range []struct {
		name string
		o    Options
	}{
		{"principal", Options{Filter: Filter{Principal: "user0007"}}},
		{"text", Options{Filter: Filter{Contains: "no such text"}}},
		{"object", Options{Filter: Filter{Object: "hr.*"}}},
		{"count", Options{Count: true, By: []string{"principal", "tag"}}},
		{"jsonl", Options{Format: JSONL}},
		{"csv", Options{Format: CSV}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			bench.o.Path = path
			b.ReportAllocs()
			for b.Loop() {
				if err := Query(b.Context(), io.Discard, bench.o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
		})
	}
	b.Run("report", func(b *testing.B) {
		for b.Loop() {
			if err := Report(b.Context(), io.Discard, ReportOptions{Path: path, Now: noon}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
	})
}

// BenchmarkMatch is the filter alone, on a record that is not chosen.
func BenchmarkMatch(b *testing.B) {
	m, err := (&Filter{Principal: "user0007"}).compile()
	if err != nil {
		b.Fatal(err)
	}
	r := &journal.Record{Type: audit.Statement, Principal: audit.Principal{Account: "user0008", UPN: "user0008@corp.example.com", SID: "S-1-5-21-7-8"}}
	for b.Loop() {
		if m.record(r) {
			b.Fatal("chosen")
		}
	}
}
