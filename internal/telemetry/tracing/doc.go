// Package tracing sends OpenTelemetry spans of sessions, log-ins and statements to a
// collector. It is the only importer of the OpenTelemetry SDK.
//
// Spans are a view for those who look after an application: sampled, and lost where
// the collector is gone. What happened stands in the audit record; a span names its
// session and record, and no record waits for a span.
//
// A nil [Tracer] and a nil [Session] do nothing, and cost nothing.
package tracing
