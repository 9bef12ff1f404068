// Package otlp is the sink that sends the audit record to an OpenTelemetry
// collector, as log records over gRPC or HTTP (OTLP 1.x), which takes it on to
// wherever logs are kept.
//
// The body of a log record is the audit record as JSON. Its attributes follow
// OpenTelemetry's semantic conventions for databases, users, clients and TLS; what
// those have no name for is called pgcustos.*.
package otlp
