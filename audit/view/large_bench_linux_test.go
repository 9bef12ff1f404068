package view

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// BenchmarkAudit asks a journal of AUDIT_RECORDS records (`make bench-audit`: ten
// million): of 200 people with 60 texts, and of a visitor who was there once. Cold is
// after the system's caches were dropped, as only root can.
func BenchmarkAudit(b *testing.B) {
	records, _ := strconv.Atoi(os.Getenv("AUDIT_RECORDS"))
	if records == 0 {
		b.Skip("AUDIT_RECORDS is not set")
	}
	path := b.TempDir()
	largeJournal(b, path, records)
	for _, form := range []string{"plain", "archived"} {
		if form == "archived" {
			archive(b, path)
		}
		size := stored(b, path)
		for _, query := range []struct {
			name string
			o    Options
		}{
			{"person", Options{Path: path, Filter: Filter{Principal: "user007"}, Format: JSONL}},
			{"visitor", Options{Path: path, Filter: Filter{Principal: "visitor"}, Format: JSONL}},
			{"count", Options{Path: path, Filter: Filter{Principal: "user007"}, Count: true, By: []string{"class"}}},
		} {
			for _, cold := range []bool{true, false} {
				b.Run(fmt.Sprintf("%s/%s/cold=%v", form, query.name, cold), func(b *testing.B) {
					scan(b, cold, records, size, func() error { return Query(b.Context(), io.Discard, query.o) })
				})
			}
		}
		b.Run(form+"/verify", func(b *testing.B) {
			scan(b, false, records, size, func() error {
				v, err := journal.Verify(b.Context(), journal.VerifyOptions{Path: path})
				if err == nil && len(v.Findings) > 0 {
					err = fmt.Errorf("%v", v.Findings[0])
				}
				if err == nil {
					b.SetBytes(v.Streams[0].Bytes)
				}
				return err
			})
		})
	}
}

// scan measures do: its time, and what it takes of processors.
func scan(b *testing.B, cold bool, records int, size int64, do func() error) {
	b.Helper()
	used := processorTime(b)
	for b.Loop() {
		if cold {
			b.StopTimer()
			dropCaches(b)
			b.StartTimer()
		}
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
	each := float64(b.N)
	b.ReportMetric(b.Elapsed().Seconds()/each, "s/query")
	b.ReportMetric((processorTime(b)-used).Seconds()/each, "cpu-s/query")
	b.ReportMetric(float64((processorTime(b)-used).Nanoseconds())/each/float64(records), "cpu-ns/record")
	b.ReportMetric(float64(size)/1e6, "MB-stored")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func dropCaches(b *testing.B) {
	b.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		b.Skip("the caches cannot be dropped: ", err)
	}
}

func stored(b *testing.B, path string) (size int64) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// largeJournal holds statements and outcomes, each person in a session of ten
// thousand records.
func largeJournal(b *testing.B, path string, records int) {
	b.Helper()
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1"})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	people := make([]*audit.Prepared, 200)
	visitor := j.Prepare(somebody("visitor", 0))
	texts := someTexts()
	for i := range records / 2 {
		who := rng.IntN(len(people))
		if i%10_000 == 0 {
			for k := range people {
				people[k] = j.Prepare(somebody(fmt.Sprintf("user%03d", k), i+k))
			}
		}
		p := people[who]
		if at := i - records/4; at >= 0 && at < 500 {
			p = visitor
		}
		at := noon.Add(time.Duration(i) * time.Millisecond)
		ev := texts[rng.IntN(len(texts))]
		ev.Time, ev.Prepared = at, p
		r, err := j.Record(&ev)
		if err == nil {
			_, err = j.Record(&audit.Event{
				Type: audit.Outcome, Time: at.Add(time.Duration(rng.IntN(2_000_000))), Prepared: p, Statement: r.Sequence, Command: "SELECT 3",
				Result: audit.Completed, Fate: audit.Committed, Rows: 3, Bytes: int64(rng.IntN(4000)), Duration: time.Duration(rng.IntN(2_000_000)), Tx: uint64(i),
			})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

func somebody(name string, session int) *audit.Context {
	return &audit.Context{
		Session: fmt.Sprintf("06h00fbgwxstm3jg%010d", session),
		Principal: audit.Principal{
			Account: name, UPN: name + "@corp.example.com", SID: "S-1-5-21-1004336348-1177238915-682003330-" + name[max(0, len(name)-3):],
			Kind: "person",
		},
		Source: audit.Source{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, byte(session >> 8), byte(session)}), 50123), TLS: "TLSv1.3"},
		Method: "password", Rule: "orders-readers", Group: "APP-Orders-Readers", Backend: "orders", Database: "orders", Role: "app_ro_orders",
		ApplicationName: "psql",
	}
}

func someTexts() []audit.Event {
	var events []audit.Event
	for i := range 60 {
		table := fmt.Sprintf("table_%02d", i%20)
		events = append(events, audit.Event{
			Type: audit.Statement, Decision: audit.Allowed, Command: "SELECT", Class: statement.Read, Form: statement.Verbatim, Protocol: "extended",
			Text: fmt.Sprintf("SELECT id, status, total FROM public.%s WHERE customer_id = $1 AND status <> 'closed' AND region = %d ORDER BY id LIMIT %d",
				table, i, 10+i), Fingerprint: uint64(i) * 0x9e3779b97f4a7c15,
			Objects: []statement.Object{{Schema: "public", Name: table, Kind: "table", Use: statement.UseRead}},
		})
	}
	return events
}
