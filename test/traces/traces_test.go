// Package traces tests the spans of real sessions, with a collector of OTLP's own
// service definition.
package traces

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	got map[string]*spans.Span // by name
}

func (r *receiver) Export(_ context.Context, q *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.got[s.Name] = s
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// missing lists the names of spans that have not come.
func (r *receiver) missing(names ...string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(names, func(name string) bool { return r.got[name] != nil })
}

func serve(t *testing.T) (*receiver, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{got: map[string]*spans.Span{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r, l.Addr().String()
}

// TestTraces: a client's statement joins the client's trace, and record and span
// name the same.
func TestTraces(t *testing.T) {
	r, endpoint := serve(t)
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.Tracing = fmt.Sprintf("{endpoint: \"%s\", plaintext: true, sample: 1}", endpoint)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
	if err != nil {
		t.Fatal(err)
	}
	const trace, parent = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
	if _, err := conn.Exec(ctx, "SELECT count(*) FROM orders /*traceparent='00-"+trace+"-"+parent+"-01'*/").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	err = testkit.WaitFor(ctx, func() error {
		if m := r.missing("session", "authenticate", "log in at backend", "SELECT orders"); len(m) > 0 {
			return fmt.Errorf("no spans %q", m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := s.Await(t, "the statement", func(rec *journal.Record) bool { return rec.Type == audit.Statement && rec.TraceID == trace })
	r.mu.Lock()
	defer r.mu.Unlock()
	span := r.got["SELECT orders"]
	if hex.EncodeToString(span.TraceId) != trace || hex.EncodeToString(span.ParentSpanId) != parent {
		t.Errorf("%v", span)
	}
	for _, a := range span.Attributes {
		if a.Key == "pgcustos.sequence" && uint64(a.Value.GetIntValue()) != rec.Sequence || a.Key == "db.query.text" {
			t.Errorf("%v, of record %d", a, rec.Sequence)
		}
	}
	if login := r.got["authenticate"]; string(login.ParentSpanId) != string(r.got["session"].SpanId) {
		t.Error("the log-in is not part of the session")
	}
}
