package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// probePeriod is how often the directory is asked whether it answers.
const probePeriod = 10 * time.Second

// health is what /readyz answers from. It asks nobody when it is asked: the
// directory's state is that of the last probe.
type health struct {
	recorder *meter
	draining atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	directory *directory.Directory
	timeout   time.Duration
	down      error
	ends      map[string]time.Time // of certificates, by what they are for

	wake chan struct{}
	once sync.Once
}

var errNotProbed = errors.New("the directory was not asked yet")

func (h *health) init() { h.once.Do(func() { h.wake = make(chan struct{}, 1) }) }

// setDirectory changes which directory is probed, and has it probed at once.
func (h *health) setDirectory(d *directory.Directory, timeout time.Duration) {
	h.init()
	h.mu.Lock()
	if h.directory == nil {
		h.down = errNotProbed
	}
	h.directory, h.timeout = d, timeout
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// watch probes the directory until ctx ends.
func (h *health) watch(ctx context.Context, m *telemetry.Metrics, log *slog.Logger) {
	h.init()
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
		h.probe(ctx, m, log)
	}
}

func (h *health) probe(ctx context.Context, m *telemetry.Metrics, log *slog.Logger) {
	h.mu.Lock()
	d, timeout, before := h.directory, h.timeout, h.down
	h.mu.Unlock()
	if d == nil {
		return
	}
	probeCtx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	err := d.Probe(probeCtx)
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	h.down = err
	h.mu.Unlock()
	if err == nil {
		m.DirectoryUp.Set(1)
		if before != nil {
			log.Info("the directory answers")
		}
		return
	}
	m.DirectoryUp.Set(0)
	if before == nil || errors.Is(before, errNotProbed) {
		log.Error("the directory does not answer: log-ins are refused", "error", describe(err))
	}
}

// ready says why no new client can be served, or nil.
func (h *health) ready() error {
	if h.draining.Load() {
		return errors.New("shutting down")
	}
	if h.recorder.refusing() {
		return errors.New("the audit journal did not take the last record")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		return fmt.Errorf("directory: %w", h.down)
	}
	return h.ending(time.Now())
}

// setCertificates changes which certificates are looked at.
func (h *health) setCertificates(ends map[string]time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = ends
}

// ending is a warning of the certificates that end soon, or have ended; nil for
// none. mu is held.
func (h *health) ending(now time.Time) error {
	var soon []string
	for what, end := range h.ends {
		if now.Add(expiryWarning).After(end) {
			soon = append(soon, fmt.Sprintf("the certificate of %s ends on %s", what, end.UTC().Format(time.DateOnly)))
		}
	}
	if len(soon) == 0 {
		return nil
	}
	slices.Sort(soon)
	return telemetry.Warning(strings.Join(soon, "; "))
}
