package otlp

import (
	"crypto/tls"
	"time"

	"github.com/pgcustos/pgcustos/audit/sink"
)

// Options say where the collector is.
type Options struct {
	Endpoint string // host:port
	HTTP     bool   // OTLP over HTTP with protobuf, instead of gRPC
	Path     string // for HTTP; /v1/logs where it is empty
	// TLS is verify-full; nil for clear text, which is for loopback alone. An
	// empty ServerName stands for the host of Endpoint.
	TLS            *tls.Config
	ConnectTimeout time.Duration
	Node, Version  string // of the resource
	// Body makes the bodies of the log records; nil: they have none, and their
	// attributes say all by the semantic conventions.
	Body sink.Line
}
