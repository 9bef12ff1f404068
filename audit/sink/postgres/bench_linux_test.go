package postgres_test

import (
	"testing"

	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// BenchmarkSink carries statements and outcomes from the journal into PostgreSQL.
func BenchmarkSink(b *testing.B) {
	p := testkit.SharedPostgres(b)
	const records = 100_000
	dir := b.TempDir()
	fill(b, openJournal(b, dir), records/2)
	for b.Loop() {
		b.StopTimer()
		name := database(b, p)
		b.StartTimer()
		stop(start(b, dir, postgres.New(options(p, name))))
		b.StopTimer()
		if got := number(b, p, name, "SELECT count(*) FROM pgcustos.events"); got < records {
			b.Fatalf("%d of %d records", got, records)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
}
