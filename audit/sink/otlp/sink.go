package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// Sink sends to a collector.
type Sink struct {
	o        Options
	host     string
	resource *resource.Resource
	scope    *common.InstrumentationScope
	client   exporter // nil where there is none
}

var _ sink.Sink = (*Sink)(nil)

// exporter makes one request.
type exporter interface {
	export(ctx context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error)
	close() error
}

// New makes a sink. It connects to nothing.
func New(o Options) (*Sink, error) {
	host, _, err := net.SplitHostPort(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Path == "" {
		o.Path = "/v1/logs"
	}
	return &Sink{
		o: o, host: host,
		resource: &resource.Resource{Attributes: attributes{}.text("service.name", "pgcustos").
			text("service.version", o.Version).text("service.instance.id", o.Node)},
		scope: &common.InstrumentationScope{Name: "github.com/pgcustos/pgcustos/audit", Version: o.Version},
	}, nil
}

// Close implements sink.Sink.
func (s *Sink) Close() error {
	if s.client == nil {
		return nil
	}
	err := s.client.close()
	s.client = nil
	return err
}

// requestSize bounds a request in bytes, about: collectors take 4 MiB unless told
// otherwise.
const requestSize = 3 << 20

// Deliver implements sink.Sink.
func (s *Sink) Deliver(ctx context.Context, records []*journal.Record) error {
	if s.client == nil {
		var err error
		if s.client, err = s.connect(); err != nil {
			return err
		}
	}
	var some []*logs.LogRecord
	size := 0
	for _, r := range records {
		l, err := fitting(r, s.o.Body)
		if err != nil {
			return err
		}
		n := proto.Size(l) + 8
		if size += n; size > requestSize && len(some) > 0 {
			if err := s.send(ctx, some); err != nil {
				return err
			}
			some, size = nil, n
		}
		some = append(some, l)
	}
	return s.send(ctx, some)
}

// tls makes the configuration of one connection, nil for clear text.
func (s *Sink) tls() *tls.Config {
	if s.o.TLS == nil {
		return nil
	}
	config := s.o.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName = s.host
	}
	return config
}

func (s *Sink) connect() (exporter, error) {
	config := s.tls()
	dial := func(ctx context.Context) (net.Conn, error) {
		dialer := net.Dialer{Timeout: s.o.ConnectTimeout}
		c, err := dialer.DialContext(ctx, "tcp", s.o.Endpoint)
		if err != nil || config != nil {
			return c, err
		}
		if a, ok := c.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, errors.Join(errors.New("OTLP without TLS leaves this machine for nobody"), c.Close())
		}
		return c, nil
	}
	if s.o.HTTP {
		return newHTTP(&s.o, config, dial), nil
	}
	return newGRPC(&s.o, config, dial)
}

func (s *Sink) send(ctx context.Context, records []*logs.LogRecord) error {
	response, err := s.client.export(ctx, &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  s.resource,
		ScopeLogs: []*logs.ScopeLogs{{Scope: s.scope, LogRecords: records}},
	}}})
	if err != nil {
		return err
	}
	// Whoever rejects a record has not acknowledged it.
	if p := response.GetPartialSuccess(); p.GetRejectedLogRecords() > 0 {
		return fmt.Errorf("the collector rejected %d of %d records: %.200q", p.GetRejectedLogRecords(), len(records), p.GetErrorMessage())
	}
	return nil
}
