//go:build linux

package statement_test

import (
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

const pgbenchSelect = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;"

func TestCachedDoesNotAllocate(t *testing.T) {
	r, _ := open(t, statement.Options{}, asWorker)
	text := []byte(pgbenchSelect)
	r.Judge(t.Context(), text, statement.UTF8)
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := r.Cached(text, statement.UTF8); !ok {
			t.Fatal("not cached")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	r, _ := open(b, statement.Options{}, asWorker)
	text := []byte(pgbenchSelect)
	r.Judge(b.Context(), text, statement.UTF8)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Cached(text, statement.UTF8); !ok {
			b.Fatal("not cached")
		}
	}
}

// A miss is one round trip to a worker: its parse, its walk, both encodings.
func BenchmarkMiss(b *testing.B) {
	r, _ := open(b, statement.Options{}, asWorker)
	text := []byte(pgbenchSelect)
	b.ReportAllocs()
	for b.Loop() {
		if j := r.Judge(b.Context(), text, statement.UTF8); j.Cause != "" {
			b.Fatal(j.Cause)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	r, _ := open(b, statement.Options{}, asWorker)
	j := r.Judge(b.Context(), []byte(pgbenchSelect), statement.UTF8)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = statement.AppendJudgement(buf[:0], j, pgbenchSelect)
		if _, err := statement.ParseJudgement(buf, pgbenchSelect); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	text := []byte(pgbenchSelect)
	b.ReportAllocs()
	for b.Loop() {
		statement.Mask(text)
	}
}
