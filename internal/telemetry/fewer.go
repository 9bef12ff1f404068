package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What strangers can make the log say is bounded: of each message so many lines in a
// while. Each occurrence that matters is in the audit journal, or counted there.
const (
	linesOfEach = 200
	linesWhile  = 10 * time.Second
)

// fewer is a handler that leaves lines out where one message comes too often, and
// tells how many. What is for debugging it lets pass.
type fewer struct {
	slog.Handler
	count *counts
}

// counts is shared by the handlers that are made from one.
type counts struct {
	root slog.Handler
	mu   sync.Mutex
	said map[string]int // guarded by mu: lines of this while, by message
}

func newFewer(h slog.Handler) slog.Handler {
	return &fewer{h, &counts{root: h, said: make(map[string]int)}}
}

// Handle implements slog.Handler.
func (f *fewer) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !f.count.one(r.Message) {
		return nil
	}
	return f.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (f *fewer) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &fewer{f.Handler.WithAttrs(attrs), f.count}
}

// WithGroup implements slog.Handler.
func (f *fewer) WithGroup(name string) slog.Handler {
	return &fewer{f.Handler.WithGroup(name), f.count}
}

// one counts a line, and reports whether it is to be written. Messages are constants:
// there are not many.
func (c *counts) one(message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) == 0 {
		time.AfterFunc(linesWhile, c.sum)
	}
	c.said[message]++
	return c.said[message] <= linesOfEach
}

// sum tells what was left out, and begins anew.
func (c *counts) sum() {
	c.mu.Lock()
	said := c.said
	c.said = make(map[string]int)
	c.mu.Unlock()
	for message, n := range said {
		if n <= linesOfEach {
			continue
		}
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines were left out: one message came too often", 0)
		r.AddAttrs(slog.String("message", message), slog.Int("lines", n-linesOfEach))
		_ = c.root.Handle(context.Background(), r)
	}
}
