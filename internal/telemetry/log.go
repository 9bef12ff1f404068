package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w, as json or text. Its level can
// be changed while it runs.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
