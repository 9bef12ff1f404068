package tracing

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// Options say where the collector is, and what it gets.
type Options struct {
	Endpoint string // host:port; empty for no tracing
	HTTP     bool   // OTLP over HTTP with protobuf, instead of gRPC
	Path     string // for HTTP
	// TLS is verify-full; nil for clear text, which is for loopback alone. An
	// empty ServerName stands for the host of Endpoint.
	TLS            *tls.Config
	ConnectTimeout time.Duration
	// Sample is the part of the traces that begin here and are sent, from 0 to 1.
	// Where a statement names the client's trace, the client has decided.
	Sample float64
	// MaskedText sends the texts of statements, their literals masked.
	MaskedText bool

	Node, Version string // of the resource
	Log           *slog.Logger
}
