package main

import (
	"log/slog"
	"time"

	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// archiveWatch counts and logs what becomes of the journal's sealed segments.
type archiveWatch struct {
	metrics *telemetry.Metrics
	log     *slog.Logger
	overdue time.Duration // from then on waiting is an alarm
	told    time.Time     // when it was told last
}

// Archived implements journal.ArchiveObserver.
func (w *archiveWatch) Archived(file string, plain, stored int64) {
	w.metrics.ArchivedBytes.WithLabelValues("plain").Add(float64(plain))
	w.metrics.ArchivedBytes.WithLabelValues("stored").Add(float64(stored))
	w.log.Debug("a segment of the journal was compressed", "file", file, "bytes", plain, "stored", stored)
}

// Removed implements journal.ArchiveObserver.
func (w *archiveWatch) Removed(file string, bytes int64) {
	w.metrics.RemovedBytes.Add(float64(bytes))
	w.log.Info("retention removed a segment of the journal", "file", file, "bytes", bytes)
}

// Encrypted implements journal.ArchiveObserver.
func (w *archiveWatch) Encrypted(file string) {
	w.metrics.Encrypted.Inc()
	w.log.Debug("a segment of the journal was encrypted", "file", file)
}

// tellEvery is how often it is told that segments wait in clear.
const tellEvery = time.Hour

// Waiting implements journal.ArchiveObserver.
func (w *archiveWatch) Waiting(segments int, since time.Time) {
	waited := time.Duration(0)
	if segments > 0 {
		waited = max(0, time.Since(since))
	}
	w.metrics.Waiting.Set(float64(segments))
	w.metrics.WaitingSeconds.Set(waited.Seconds())
	if waited >= w.overdue && segments > 0 && time.Since(w.told) >= tellEvery {
		w.told = time.Now()
		w.log.Error("the journal's encryption is overdue: segments stay readable on this host, for a sink has not taken them; see pgcustos_sink_lag_records for which, mend it or take it out of the configuration",
			"segments", segments, "newest_record_of_the_oldest", since)
	}
}

// ArchiveFailed implements journal.ArchiveObserver.
func (w *archiveWatch) ArchiveFailed(file string, err error) {
	w.metrics.ArchiveFailures.Inc()
	w.log.Error("the journal's archive: what is told of stays as it is", "file", file, "error", err)
}
