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
	st.Budget = generous()
	out.Budget = st.Budget
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

// generous is a budget that nothing here uses up.
func generous() *audit.Budget {
	b := new(audit.Budget)
	b.SetLimits(audit.BudgetLimits{Rate: 1 << 40, Burst: 1 << 40})
	return b
}

// BenchmarkStatement records a statement and its outcome, from 8 writers. The text's
// digest is known, as that of a cached text is.
func BenchmarkStatement(b *testing.B) {
	_, signer := testKey(1)
	writeStatements(b, open(b, Options{Path: b.TempDir(), Node: "n", SegmentSize: 512 << 20, Signer: signer}))
}

func writeStatements(b *testing.B, j *Journal) {
	b.Helper()
	b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		p := j.Prepare(testContext())
		st, out := testStatement(p), testOutcome(p, 0)
		st.TextDigest = [32]byte{1}
		st.Budget = generous()
		out.Budget = st.Budget
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

// BenchmarkSustained is BenchmarkStatement for as long as a segment of 4 GiB
// lasts, so that making segments has no part in it.
func BenchmarkSustained(b *testing.B) {
	_, signer := testKey(1)
	j := open(b, Options{Path: b.TempDir(), Node: "n", SegmentSize: 4 << 30, Signer: signer})
	writeStatements(b, j)
}

// BenchmarkVerify verifies a stream of 256 MB, on one core.
func BenchmarkVerify(b *testing.B) {
	path := b.TempDir()
	o := signedOptions(b, path)
	o.SegmentSize, o.Reserve = 64<<20, 1<<20
	writeStream(b, o, 256<<20/700)
	b.ResetTimer()
	for b.Loop() {
		v := verifyAll(b, path)
		if len(v.Findings) > 0 {
			b.Fatal(v.Findings[0].String())
		}
		b.SetBytes(v.Streams[0].Bytes)
	}
}

var _ audit.Recorder = (*Journal)(nil)

// BenchmarkArchive puts a container in the place of a segment of 64 MiB, without rests.
func BenchmarkArchive(b *testing.B) {
	path := b.TempDir()
	j := open(b, Options{Path: path, Node: "n", SegmentSize: 64 << 20})
	p := j.Prepare(testContext())
	st, out := testStatement(p), testOutcome(p, 0)
	st.Budget = generous()
	out.Budget = st.Budget
	first := j.cur
	for j.cur == first {
		r, err := j.Record(st)
		if err == nil {
			out.Statement = r.Sequence
			_, err = j.Record(out)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(first.size)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		again := copyTree(b, path)
		b.StartTimer()
		if w := archiveAll(b, again); len(w.archived) != 2 {
			b.Fatalf("%d segments were archived", len(w.archived))
		}
	}
}
