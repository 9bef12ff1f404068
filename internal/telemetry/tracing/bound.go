package tracing

import (
	"context"
	"log/slog"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// bound stands before the SDK's queue and behind it, and counts: what waits is
// bounded, and what is lost is told.
type bound struct {
	sdk.SpanExporter
	counters
	next sdk.SpanProcessor
	log  *slog.Logger
}

// ExportSpans implements sdk.SpanExporter. The SDK would print an error by itself;
// it is told here, once for each time that the collector goes.
func (b *bound) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := b.SpanExporter.ExportSpans(ctx, spans)
	b.waiting.Add(-int64(len(spans)))
	if err != nil {
		b.dropped.Add(uint64(len(spans)))
		if !b.failing.Swap(true) {
			b.log.Warn("the collector does not take spans, they are lost", "error", err)
		}
		return nil //nolint:nilerr // it was told
	}
	b.sent.Add(uint64(len(spans)))
	if b.failing.Swap(false) {
		b.log.Info("the collector takes spans again")
	}
	return nil
}

func (b *bound) processor() sdk.SpanProcessor { return gate{b} }

// gate lets spans into the queue while there is room.
type gate struct{ b *bound }

// OnStart implements sdk.SpanProcessor.
func (g gate) OnStart(ctx context.Context, s sdk.ReadWriteSpan) { g.b.next.OnStart(ctx, s) }

// OnEnd implements sdk.SpanProcessor.
func (g gate) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if g.b.waiting.Add(1) > maxWaiting {
		g.b.waiting.Add(-1)
		g.b.dropped.Add(1)
		return
	}
	g.b.next.OnEnd(s)
}

// Shutdown implements sdk.SpanProcessor.
func (g gate) Shutdown(ctx context.Context) error { return g.b.next.Shutdown(ctx) }

// ForceFlush implements sdk.SpanProcessor.
func (g gate) ForceFlush(ctx context.Context) error { return g.b.next.ForceFlush(ctx) }
