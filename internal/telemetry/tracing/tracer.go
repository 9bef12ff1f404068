package tracing

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans and sends them off. Close ends it.
type Tracer struct {
	o        Options
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	bound    *bound
}

// Bounds on what waits for a collector: memory does not grow when it is gone.
const (
	maxWaiting = 2048 // spans
	maxBatch   = 512
	sendEvery  = 2 * time.Second
	sendFor    = 10 * time.Second
	maxValue   = 8 << 10 // bytes of an attribute's value
)

// New makes a tracer, nil where there is no endpoint. It connects to nothing yet.
func New(o Options) (*Tracer, error) {
	if o.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer is one that does nothing
	}
	up, err := newUploader(&o)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), up)
	if err != nil {
		return nil, err
	}
	b := &bound{SpanExporter: exporter, log: o.Log}
	b.next = sdk.NewBatchSpanProcessor(b, sdk.WithMaxQueueSize(maxWaiting), sdk.WithMaxExportBatchSize(maxBatch),
		sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(sendFor))
	p := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "pgcustos"),
			attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Node))),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: maxValue, AttributeCountLimit: 64, EventCountLimit: 8, LinkCountLimit: 8,
			AttributePerEventCountLimit: 8, AttributePerLinkCountLimit: 8,
		}),
		sdk.WithSpanProcessor(b.processor()),
	)
	return &Tracer{o: o, provider: p, tracer: p.Tracer("github.com/pgcustos/pgcustos/proxy"), bound: b}, nil
}

// Close sends what waits, as far as ctx lets it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Dropped counts the spans that were lost: the collector was gone, or slow.
func (t *Tracer) Dropped() uint64 {
	if t == nil {
		return 0
	}
	return t.bound.dropped.Load()
}

// Sent counts the spans that a collector has taken.
func (t *Tracer) Sent() uint64 {
	if t == nil {
		return 0
	}
	return t.bound.sent.Load()
}

type counters struct {
	waiting       atomic.Int64
	dropped, sent atomic.Uint64
	failing       atomic.Bool
}
