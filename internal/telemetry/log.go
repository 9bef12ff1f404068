package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w, as json or text. Its level can
// be changed while it runs. Of one message that comes too often, lines are left out.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(newFewer(slog.NewTextHandler(w, options)))
	}
	return slog.New(newFewer(slog.NewJSONHandler(w, options)))
}
