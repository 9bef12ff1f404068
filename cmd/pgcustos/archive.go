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

// ArchiveFailed implements journal.ArchiveObserver.
func (w *archiveWatch) ArchiveFailed(file string, err error) {
	w.metrics.ArchiveFailures.Inc()
	w.log.Error("the journal's archive: a segment stays as it is", "file", file, "error", err)
}
