package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	directory *directory.Domains
	down      map[string]error  // of each domain; none for one that answers
	ends      map[string]expiry // of certificates, by what they are for

	wake chan struct{}
	once sync.Once
}

var errNotProbed = errors.New("the directory was not asked yet")

func (h *health) init() { h.once.Do(func() { h.wake = make(chan struct{}, 1) }) }

// setDirectory changes which directory is probed, and has it probed at once.
func (h *health) setDirectory(d *directory.Domains, m *telemetry.Metrics) {
	h.init()
	h.mu.Lock()
	down := make(map[string]error)
	for _, domain := range d.All() {
		name := domain.Domain()
		if err, known := h.down[name]; known || h.directory == nil || !slices.ContainsFunc(h.directory.All(), func(d *directory.Directory) bool { return d.Domain() == name }) {
			down[name] = err
			if !known {
				down[name] = errNotProbed
			}
		}
	}
	h.directory, h.down = d, down
	m.DomainUp.Reset()
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
	d := h.directory
	h.mu.Unlock()
	if d == nil {
		return
	}
	errs := d.Probe(ctx)
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.directory != d {
		return // the next probe asks those that are configured now
	}
	up := 1.0
	for i, domain := range d.All() {
		name, err := domain.Domain(), errs[i]
		before := h.down[name]
		if err != nil {
			h.down[name] = err
			up = 0
			m.DomainUp.WithLabelValues(name).Set(0)
			if before == nil || errors.Is(before, errNotProbed) {
				log.Error("the directory does not answer: log-ins are refused", "domain", name, "error", describe(err))
			}
			continue
		}
		delete(h.down, name)
		m.DomainUp.WithLabelValues(name).Set(1)
		if before != nil {
			log.Info("the directory answers", "domain", name)
		}
	}
	m.DirectoryUp.Set(up)
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
	if h.directory == nil {
		return fmt.Errorf("directory: %w", errNotProbed)
	}
	if all := h.directory.All(); len(h.down) == len(all) {
		return fmt.Errorf("directory: %w", h.down[all[0].Domain()])
	}
	return h.warnings(time.Now())
}

// warnings tells of domains that do not answer, which is nothing to the people of the
// others, and of certificates that end; nil for none. mu is held.
func (h *health) warnings(now time.Time) error {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h.down)) {
		all = append(all, fmt.Sprintf("the domain %s does not answer", name)) // why, the log says
	}
	if err := h.ending(now); err != nil {
		all = append(all, err.Error())
	}
	if len(all) == 0 {
		return nil
	}
	return telemetry.Warning(strings.Join(all, "; "))
}
