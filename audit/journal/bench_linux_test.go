package journal

import (
	"runtime"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

func TestRecordAllocatesNothing(t *testing.T) {
	j := open(t, Options{Path: t.TempDir(), Node: "n", SegmentSize: 16 << 20})
	p := j.Prepare(testContext())
	st, out := testStatement(p), testOutcome(p, 0)
	got := testing.AllocsPerRun(1000, func() {
		r, err := j.Record(st)
		if err != nil {
			t.Fatal(err)
		}
		out.Statement = r.Sequence
		if _, err := j.Record(out); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for a statement and its outcome", got)
	}
}

// BenchmarkStatement records a statement and its outcome, from 8 writers.
func BenchmarkStatement(b *testing.B) {
	j := open(b, Options{Path: b.TempDir(), Node: "n", SegmentSize: 512 << 20})
	b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		p := j.Prepare(testContext())
		st, out := testStatement(p), testOutcome(p, 0)
		for pb.Next() {
			r, err := j.Record(st)
			if err == nil {
				out.Statement = r.Sequence
				_, err = j.Record(out)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.SetBytes(j.tail.Load() / int64(b.N))
}

// BenchmarkWait records a statement and waits for the disk, from 1 to 64 sessions.
func BenchmarkWait(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(map[int]string{1: "1", 8: "8", 64: "64"}[writers], func(b *testing.B) {
			j := open(b, Options{Path: b.TempDir(), Node: "n", SegmentSize: 512 << 20})
			var wg sync.WaitGroup
			work := make(chan struct{}, writers)
			for range writers {
				wg.Go(func() {
					st := testStatement(j.Prepare(testContext()))
					for range work {
						r, err := j.Record(st)
						if err == nil {
							j.Release(1)
							err = j.Wait(b.Context(), r)
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}

var _ audit.Recorder = (*Journal)(nil)
