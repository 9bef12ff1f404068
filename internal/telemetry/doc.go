// Package telemetry is what operators see of a running proxy: Prometheus
// metrics, the HTTP server for them and for health probes, and structured logs.
//
// Labels come from bounded sets only: names that stand in the configuration,
// and constants. What a client sends is never a label.
package telemetry
