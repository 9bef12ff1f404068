package tracing

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a collector of OTLP's own service definition.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	got []*spans.Span
}

func (r *receiver) Export(_ context.Context, q *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			r.got = append(r.got, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) named(t *testing.T, name string) *spans.Span {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.got {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no span %q among %v", name, r.got)
	return nil
}

func attributeOf(s *spans.Span, key string) *common.AnyValue {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}

// serve starts a receiver, and a tracer for it that samples everything.
func serve(t *testing.T, overHTTP bool) (*receiver, Options) {
	t.Helper()
	r := &receiver{}
	ca, err := testkit.NewCA("collector test CA")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "collector", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, MinVersion: tls.VersionTLS12}
	o := Options{
		HTTP: overHTTP, Path: "/v1/traces", TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		ConnectTimeout: 5 * time.Second, Sample: 1, Node: "proxy-1", Version: "test", Log: slog.New(slog.DiscardHandler),
	}
	if overHTTP {
		o.Endpoint = serveHTTP(t, r, config)
	} else {
		o.Endpoint = serveGRPC(t, r, config)
	}
	return r, o
}

func serveGRPC(t *testing.T, r *receiver, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	collector.RegisterTraceServiceServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func serveHTTP(t *testing.T, r *receiver, config *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		request := &collector.ExportTraceServiceRequest{}
		if err != nil || proto.Unmarshal(body, request) != nil || q.URL.Path != "/v1/traces" || q.Header.Get("Content-Type") != protobufType {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		_, _ = r.Export(q.Context(), request)
	}))
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func start(t *testing.T, o Options) *Tracer {
	t.Helper()
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func stop(t *testing.T, tr *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}

// records is a recorder that numbers what it is given.
type records struct {
	audit.Recorder
	n    uint64
	fail error
}

func (r *records) Record(*audit.Event) (audit.Receipt, error) {
	r.n++
	return audit.Receipt{Sequence: r.n}, r.fail
}

func record(t *testing.T, r audit.Recorder, e audit.Event) uint64 {
	t.Helper()
	receipt, err := r.Record(&e)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Sequence
}

// session begins one whose log-in is over.
func session(tr *Tracer) *Session {
	s := tr.Begin("01JD8Z3V9M4Q7T2X5B6C8D9E0F")
	s.Step("authenticate", time.Now(), nil)
	s.Identify(&audit.Context{
		Principal: audit.Principal{Account: "alice", UPN: "alice@corp.example.com"}, Database: "orders", Backend: "orders",
		Role: "app_ro_orders", Rule: "orders-readers", Source: audit.Source{Address: netip.MustParseAddrPort("10.20.3.4:50123")},
	})
	return s
}

func statementOf(text string, tr statement.Trace, d audit.Decision) audit.Event {
	return audit.Event{
		Type: audit.Statement, Decision: d, Command: "SELECT", Text: text, Trace: tr,
		Objects: []statement.Object{{Schema: "public", Name: "orders", Kind: "relation"}},
	}
}

func TestSpans(t *testing.T) {
	for name, overHTTP := range map[string]bool{"grpc": false, "http": true} {
		t.Run(name, func(t *testing.T) {
			r, o := serve(t, overHTTP)
			o.MaskedText = true
			tr := start(t, o)
			s := session(tr)
			rec := s.Recorder(&records{})
			client := statement.Trace{ID: [16]byte{1}, Span: [8]byte{2}, Sampled: true}
			n := record(t, rec, statementOf("SELECT * FROM orders WHERE name = 'secret'", client, audit.Allowed))
			record(t, rec, audit.Event{Type: audit.Outcome, Statement: n, Result: audit.Failed, SQLSTATE: "57014", Rows: -1})
			denied := statementOf("DELETE FROM orders", statement.Trace{}, audit.Denied)
			denied.Command, denied.Incident = "DELETE", "k1kkaqb06932119v"
			record(t, rec, denied)
			s.End("client_terminated")
			stop(t, tr)
			if sent, dropped := tr.Sent(), tr.Dropped(); sent != 4 || dropped != 0 {
				t.Errorf("%d sent, %d dropped", sent, dropped)
			}
			spanOfClient(t, r)
			for name, wants := range map[string]map[string]string{
				"session":              {"user.name": "alice@corp.example.com", "client.address": "10.20.3.4", "pgcustos.cause": "client_terminated"},
				"authenticate":         {},
				"DELETE public.orders": {"error.type": "pgcustos.denied", "pgcustos.incident": "k1kkaqb06932119v"},
			} {
				span := r.named(t, name)
				for key, want := range wants {
					if got := attributeOf(span, key).GetStringValue(); got != want {
						t.Errorf("%s of %s: %q", key, name, got)
					}
				}
			}
		})
	}
}

// spanOfClient is the span of a statement that named the client's trace.
func spanOfClient(t *testing.T, r *receiver) {
	t.Helper()
	span := r.named(t, "SELECT public.orders")
	if span.TraceId[0] != 1 || span.ParentSpanId[0] != 2 || len(span.Links) != 1 || span.Status.GetCode() != spans.Status_STATUS_CODE_ERROR {
		t.Errorf("%v", span)
	}
	for key, want := range map[string]string{
		"db.system.name": "postgresql", "db.namespace": "orders", "db.operation.name": "SELECT", "db.query.summary": "SELECT public.orders",
		"db.query.text": "SELECT * FROM orders WHERE name = ?", "db.response.status_code": "57014", "error.type": "57014",
		"db.collection.name": "public.orders", "user.name": "alice@corp.example.com", "session.id": "01JD8Z3V9M4Q7T2X5B6C8D9E0F",
	} {
		if got := attributeOf(span, key).GetStringValue(); got != want {
			t.Errorf("%s is %q", key, got)
		}
	}
	if attributeOf(span, "pgcustos.sequence").GetIntValue() != 1 {
		t.Error("the span does not name its record")
	}
}

// TestSampling: a client decides about its own trace, and nobody else's is sent.
func TestSampling(t *testing.T) {
	r, o := serve(t, false)
	o.Sample = 0
	tr := start(t, o)
	s := session(tr)
	rec := s.Recorder(&records{})
	for _, trace := range []statement.Trace{{}, {ID: [16]byte{1}, Span: [8]byte{2}}, {ID: [16]byte{3}, Span: [8]byte{4}, Sampled: true}} {
		n := record(t, rec, statementOf("SELECT 1", trace, audit.Allowed))
		record(t, rec, audit.Event{Type: audit.Outcome, Statement: n, Result: audit.Completed, Rows: 1})
	}
	s.End("client_terminated")
	stop(t, tr)
	if len(r.got) != 1 || r.got[0].TraceId[0] != 3 || attributeOf(r.got[0], "db.query.text") != nil {
		t.Errorf("%v", r.got)
	}
}

// TestCollectorGone: what waits is bounded, what is lost is counted, and nobody waits.
func TestCollectorGone(t *testing.T) {
	tr := start(t, Options{Endpoint: "127.0.0.1:1", ConnectTimeout: time.Second, Sample: 1, Log: slog.New(slog.DiscardHandler)})
	s := session(tr)
	rec := s.Recorder(&records{})
	const many = 3 * maxWaiting
	for range many {
		n := record(t, rec, statementOf("SELECT 1", statement.Trace{}, audit.Allowed))
		record(t, rec, audit.Event{Type: audit.Outcome, Statement: n, Result: audit.Completed, Rows: 1})
		if tr.bound.waiting.Load() > maxWaiting {
			t.Fatal("more waits than is bounded")
		}
	}
	// Statements that never end are bounded too.
	for range 2 * maxOpen {
		record(t, rec, statementOf("SELECT 1", statement.Trace{}, audit.Allowed))
	}
	if len(s.open) > maxOpen {
		t.Errorf("%d are open", len(s.open))
	}
	s.End("client_gone")
	stop(t, tr)
	if tr.Sent() != 0 || tr.Dropped() < many {
		t.Errorf("%d sent, %d dropped", tr.Sent(), tr.Dropped())
	}
}

// TestNothing: without an endpoint there is nothing in the way.
func TestNothing(t *testing.T) {
	tr, err := New(Options{})
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	s := tr.Begin("session")
	r := &records{}
	if s.Recorder(r) != audit.Recorder(r) {
		t.Error("a recorder is wrapped for nothing")
	}
	began := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		s.Step("authenticate", began, nil)
		s.Identify(nil)
		s.End("")
	}); n != 0 || tr.Dropped()+tr.Sent() != 0 {
		t.Errorf("%v allocations", n)
	}
	stop(t, tr)
}

// TestUnrecorded: what is not on record has no span.
func TestUnrecorded(t *testing.T) {
	r, o := serve(t, false)
	tr := start(t, o)
	s := session(tr)
	e := statementOf("SELECT 1", statement.Trace{}, audit.Allowed)
	if _, err := s.Recorder(&records{fail: audit.ErrFull}).Record(&e); !errors.Is(err, audit.ErrFull) {
		t.Error(err)
	}
	s.End("unrecorded")
	stop(t, tr)
	if len(r.got) != 2 { // the session's, and its log-in's
		t.Errorf("%v", r.got)
	}
}
