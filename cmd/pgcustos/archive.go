package main

import (
	"log/slog"

	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// archiveWatch counts and logs what becomes of the journal's sealed segments.
type archiveWatch struct {
	metrics *telemetry.Metrics
	log     *slog.Logger
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

// ArchiveFailed implements journal.ArchiveObserver.
func (w *archiveWatch) ArchiveFailed(file string, err error) {
	w.metrics.ArchiveFailures.Inc()
	w.log.Error("the journal's archive: what is told of stays as it is", "file", file, "error", err)
}
