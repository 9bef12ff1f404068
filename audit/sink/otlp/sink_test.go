package otlp_test

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/otlp"
	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a collector of OTLP's own service definition.
type receiver struct {
	collector.UnimplementedLogsServiceServer

	mu     sync.Mutex
	got    map[int64]*logs.LogRecord // by sequence
	times  map[int64]int
	answer func(n int) (*collector.ExportLogsServiceResponse, error) // of the n-th request; nil: all is well
	n      int
}

func (r *receiver) Export(_ context.Context, q *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if r.answer != nil {
		if response, err := r.answer(r.n); response != nil || err != nil {
			return response, err
		}
	}
	for _, resource := range q.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, l := range scope.LogRecords {
				sequence := attribute(l, "pgcustos.sequence").GetIntValue()
				r.got[sequence] = l
				r.times[sequence]++
			}
		}
	}
	return &collector.ExportLogsServiceResponse{}, nil
}

func attribute(l *logs.LogRecord, key string) *common.AnyValue {
	for _, a := range l.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}

// serve starts a receiver and makes a sink for it.
func serve(t *testing.T, overHTTP bool, change ...func(*otlp.Options)) (*receiver, *otlp.Sink) {
	t.Helper()
	r := &receiver{got: map[int64]*logs.LogRecord{}, times: map[int64]int{}}
	ca, err := testkit.NewCA("collector test CA")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "collector", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, MinVersion: tls.VersionTLS12}
	endpoint := ""
	if overHTTP {
		endpoint = serveHTTP(t, r, config)
	} else {
		endpoint = serveGRPC(t, r, config)
	}
	o := otlp.Options{
		Endpoint: endpoint, HTTP: overHTTP, TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		ConnectTimeout: 5 * time.Second, Node: "proxy-1", Version: "test", Body: sink.Native,
	}
	for _, c := range change {
		c(&o)
	}
	s, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, s
}

func serveGRPC(t *testing.T, r *receiver, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	collector.RegisterLogsServiceServer(server, r)
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
		request := &collector.ExportLogsServiceRequest{}
		if err != nil || proto.Unmarshal(body, request) != nil || q.URL.Path != "/v1/logs" || q.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		response, err := r.Export(q.Context(), request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		b, err := proto.Marshal(response)
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(b)
	}))
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func record(sequence uint64, text string) *journal.Record {
	return &journal.Record{
		Stream: "proxy-1-1-0123456789abcdef", Sequence: sequence, Node: "proxy-1", Time: time.Unix(1700000000, 7), Type: audit.Statement,
		Session: "01JD", Principal: audit.Principal{Account: "alice", UPN: "alice@corp.example.com", SID: "S-1-5-21"},
		Source:  journal.Source{Address: "[2001:db8::1]:50123", TLS: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256"},
		Backend: "orders", Database: "orders", Role: "app_ro_orders", Decision: audit.Denied, Command: "SELECT",
		Objects: []journal.Object{{Schema: "public", Name: "orders"}}, Tags: []string{"destructive"},
		Text: text, Form: "verbatim", SQLSTATE: "42501", Result: audit.Failed, Rows: 3, Bytes: -1,
	}
}

func both(t *testing.T, test func(t *testing.T, overHTTP bool)) {
	t.Helper()
	t.Run("grpc", func(t *testing.T) { test(t, false) })
	t.Run("http", func(t *testing.T) { test(t, true) })
}

func TestMapping(t *testing.T) {
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		r, s := serve(t, overHTTP)
		const text = "SELECT 1 /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"
		sent := record(7, text)
		sent.TraceID, sent.SpanID = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
		if err := s.Deliver(t.Context(), []*journal.Record{sent}); err != nil {
			t.Fatal(err)
		}
		l := r.got[7]
		if l.SeverityText != "WARN" || l.EventName != "pgcustos.statement" || l.TimeUnixNano != 1700000000000000007 {
			t.Errorf("severity %s, event %s, time %d", l.SeverityText, l.EventName, l.TimeUnixNano)
		}
		if hex.EncodeToString(l.TraceId) != "5bd66ef5095369c7b0d1f8f4bd33716a" || hex.EncodeToString(l.SpanId) != "c532cb4098ac3dd2" {
			t.Errorf("trace %x, span %x", l.TraceId, l.SpanId)
		}
		for key, want := range map[string]string{
			"db.system.name": "postgresql", "db.namespace": "orders", "db.operation.name": "SELECT", "db.query.text": text,
			"db.response.status_code": "42501", "db.collection.name": "public.orders", "error.type": "42501",
			"user.name": "alice", "user.id": "S-1-5-21", "client.address": "2001:db8::1", "tls.protocol.version": "1.3",
			"session.id": "01JD", "pgcustos.role": "app_ro_orders", "pgcustos.decision": "denied",
		} {
			if got := attribute(l, key).GetStringValue(); got != want {
				t.Errorf("%s = %q, want %q", key, got, want)
			}
		}
		if attribute(l, "client.port").GetIntValue() != 50123 || attribute(l, "db.response.returned_rows").GetIntValue() != 3 {
			t.Error("client.port or db.response.returned_rows")
		}
		var body struct{ Text string }
		if err := json.Unmarshal([]byte(l.Body.GetStringValue()), &body); err != nil || body.Text != text {
			t.Errorf("body %q, %v", l.Body.GetStringValue(), err)
		}
	})
}

// Each format reaches the collector: OCSF as the body, semantic conventions as
// attributes alone.
func TestFormats(t *testing.T) {
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		r, s := serve(t, overHTTP, func(o *otlp.Options) { o.Body = view.OCSFLine })
		if err := s.Deliver(t.Context(), []*journal.Record{record(1, "SELECT 1")}); err != nil {
			t.Fatal(err)
		}
		var event struct {
			Class int `json:"class_uid"`
		}
		if err := json.Unmarshal([]byte(r.got[1].Body.GetStringValue()), &event); err != nil || event.Class != 6005 {
			t.Errorf("class %d, %v", event.Class, err)
		}
		r, s = serve(t, overHTTP, func(o *otlp.Options) { o.Body = nil })
		if err := s.Deliver(t.Context(), []*journal.Record{record(1, "SELECT 1")}); err != nil {
			t.Fatal(err)
		}
		if r.got[1].Body != nil || attribute(r.got[1], "db.query.text").GetStringValue() != "SELECT 1" {
			t.Errorf("%v", r.got[1])
		}
	})
}

// A line by the semantic conventions has the attributes that a collector gets.
func TestSemconvLine(t *testing.T) {
	rec := record(7, "SELECT '\u202e\x1b'\n")
	rec.TraceID, rec.SpanID = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
	line, err := otlp.SemconvLine(rec)
	var event struct {
		Trace      string `json:"trace_id"`
		Name       string `json:"event_name"`
		Attributes map[string]any
	}
	if err != nil || json.Unmarshal(line, &event) != nil || strings.ContainsAny(string(line), "\n\x1b\u202e") {
		t.Fatalf("%q, %v", line, err)
	}
	if event.Trace != rec.TraceID || event.Name != "pgcustos.statement" || event.Attributes["db.query.text"] != rec.Text ||
		event.Attributes["client.port"] != 50123.0 || event.Attributes["pgcustos.objects"].([]any)[0] != "public.orders" {
		t.Errorf("%+v", event)
	}
}

// TestHostileTexts are what protobuf or a collector's bounds would refuse.
func TestHostileTexts(t *testing.T) {
	texts := []string{
		"\xff\x00\x1b[2J", strings.Repeat("\x00", 8<<20), strings.Repeat("\xbf", 1<<20), strings.Repeat("é", 1<<20), "",
	}
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		r, s := serve(t, overHTTP)
		var all []*journal.Record
		for i := range 10 * len(texts) {
			rec := record(uint64(i+1), texts[i%len(texts)])
			rec.ApplicationName, rec.Principal.Account = "\xff", "\x00\xc0"
			all = append(all, rec)
		}
		if err := s.Deliver(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			l := r.got[int64(i+1)]
			if l == nil {
				t.Fatalf("record %d is missing", i+1)
			}
			if l.TraceId != nil {
				t.Errorf("record %d: trace %x", i+1, l.TraceId)
			}
			if text := texts[i%len(texts)]; len(text) > 1<<20 && attribute(l, "pgcustos.text_length").GetIntValue() != int64(len(text)) {
				t.Errorf("record %d: a text was cut silently", i+1)
			}
		}
	})
}

// TestRefusals are errors, and the same records come through later.
func TestRefusals(t *testing.T) {
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		r, s := serve(t, overHTTP)
		r.answer = func(n int) (*collector.ExportLogsServiceResponse, error) {
			switch n {
			case 1:
				return nil, status.Error(codes.Unavailable, "not now")
			case 2:
				return &collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "\x1b[2J"}}, nil
			}
			return nil, nil
		}
		for try := 1; try <= 3; try++ {
			err := s.Deliver(t.Context(), []*journal.Record{record(1, "SELECT 1")})
			if (err == nil) != (try == 3) {
				t.Errorf("try %d: %v", try, err)
			}
		}
		if r.times[1] != 1 {
			t.Errorf("it arrived %d times", r.times[1])
		}
	})
}

// TestSilence is a collector that accepts and says nothing.
func TestSilence(t *testing.T) {
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				})
			}
		})
		s, err := otlp.New(otlp.Options{Endpoint: l.Addr().String(), HTTP: overHTTP, ConnectTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := s.Deliver(ctx, []*journal.Record{record(1, "")}); err == nil || ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = l.Close()
		wg.Wait()
	})
}
