package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds on a client of the admin server.
const (
	adminHeaderTimeout = 5 * time.Second
	adminTimeout       = 30 * time.Second
	adminHeaderBytes   = 16 << 10
	adminScrapes       = 4 // at once
)

// Warning is an error that keeps nobody from being served: /readyz answers 200, and
// tells it.
type Warning string

// Error implements error.
func (w Warning) Error() string { return string(w) }

// Handler serves /metrics, /healthz, which answers as long as the process
// lives, and /readyz, which answers 503 while ready returns an error that is no
// Warning. That error's text is logged, not served: it may name hosts.
func (m *Metrics) Handler(ready func() error, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: adminScrapes,
		Timeout:             adminTimeout / 2,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		err := ready()
		var warning Warning
		if errors.As(err, &warning) {
			answer(w, http.StatusOK, "ready\nwarning: "+string(warning))
			return
		}
		if err != nil {
			log.Debug("not ready", "error", err)
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a client that is gone needs no answer
}

// Serve runs the admin server on l until ctx ends, and then waits for its
// requests, at most as long as one may take. It closes l.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, ready func() error, log *slog.Logger) error {
	server := &http.Server{
		Handler:           m.Handler(ready, log),
		ReadHeaderTimeout: adminHeaderTimeout,
		ReadTimeout:       adminTimeout,
		WriteTimeout:      adminTimeout,
		IdleTimeout:       2 * adminTimeout,
		MaxHeaderBytes:    adminHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	err := server.Shutdown(stop)
	if served := <-done; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}
