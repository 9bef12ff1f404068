package secrets

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// received is all that came to a receiver, as it came.
type received struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (r *received) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(b)
}

func (r *received) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.all.Bytes())
}

func (r *received) message(m proto.Message) error {
	b, err := proto.Marshal(m)
	if err == nil {
		_, err = r.Write(b)
	}
	return err
}

type logCollector struct {
	logs.UnimplementedLogsServiceServer
	received
}

func (c *logCollector) Export(_ context.Context, q *logs.ExportLogsServiceRequest) (*logs.ExportLogsServiceResponse, error) {
	return &logs.ExportLogsServiceResponse{}, c.message(q)
}

type spanCollector struct {
	traces.UnimplementedTraceServiceServer
	received
}

func (c *spanCollector) Export(_ context.Context, q *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	return &traces.ExportTraceServiceResponse{}, c.message(q)
}

// collect serves OTLP's services, in clear.
func collect(t *testing.T) (l *logCollector, s *spanCollector, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, s = &logCollector{}, &spanCollector{}
	server := grpc.NewServer()
	logs.RegisterLogsServiceServer(server, l)
	traces.RegisterTraceServiceServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l, s, listener.Addr().String()
}

// syslogServer takes messages over TLS, by port.
func syslogServer(t *testing.T) (r *received, address, caFile string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := testkit.NewCA("syslog CA")
	if err != nil {
		t.Fatal(err)
	}
	if caFile, err = ca.Write(dir, "syslog-ca"); err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "syslog", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := leaf.Write(dir, "syslog")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	r = &received{}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close() //nolint:errcheck // it is read only
				buf := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buf)
					_, _ = r.Write(buf[:n])
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		conns.Wait()
	})
	return r, listener.Addr().String(), filepath.Clean(caFile)
}
