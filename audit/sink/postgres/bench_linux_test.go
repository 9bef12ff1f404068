package postgres_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// BenchmarkSink carries statements and outcomes from the journal into PostgreSQL.
// What a record takes of processors, here and in PostgreSQL, tells more than the
// rate where others use the machine too.
func BenchmarkSink(b *testing.B) {
	p := testkit.SharedPostgres(b)
	const records = 100_000
	dir := b.TempDir()
	fill(b, openJournal(b, dir), records/2)
	var ours, theirs time.Duration
	for b.Loop() {
		b.StopTimer()
		name := database(b, p)
		us, them := ownTime(b), serverTime(b, p.Dir)
		b.StartTimer()
		sink.Start(sink.Options{
			Name: "auditdb", Sink: postgres.New(options(p, name)), Journal: dir, MaxRecords: 5000, MaxBytes: 8 << 20,
		}).Stop(b.Context())
		b.StopTimer()
		ours, theirs = ours+ownTime(b)-us, theirs+serverTime(b, p.Dir)-them
		if got := number(b, p, name, "SELECT count(*) FROM pgcustos.events"); got < records {
			b.Fatalf("%d of %d records", got, records)
		}
		b.StartTimer()
	}
	n := float64(b.N) * records
	b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(ours.Nanoseconds())/n, "cpu-ns/record")
	b.ReportMetric(float64(theirs.Nanoseconds())/n, "server-cpu-ns/record")
}

func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverTime is what the server whose data is in dir has used, with its processes,
// by /proc/PID/stat (proc_pid_stat(5)).
func serverTime(b *testing.B, dir string) time.Duration {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "postmaster.pid"))
	if err != nil || len(files) != 1 {
		b.Fatal(files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		b.Fatal(err)
	}
	master, _, _ := strings.Cut(string(content), "\n")
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	ticks := 0
	for _, file := range stats {
		content, _ := os.ReadFile(file) // it may have ended
		_, behind, _ := strings.Cut(string(content), ") ")
		f := strings.Fields(behind)
		if len(f) < 15 {
			continue
		}
		last := 13 // user and system time
		if filepath.Base(filepath.Dir(file)) == master {
			last = 15 // and that of children that ended
		} else if f[1] != master {
			continue
		}
		for _, v := range f[11:last] {
			n, _ := strconv.Atoi(v)
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / 100
}
