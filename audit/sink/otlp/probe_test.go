package otlp_test

import (
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestProbe(t *testing.T) {
	both(t, func(t *testing.T, overHTTP bool) {
		t.Helper()
		r, s := serve(t, overHTTP)
		p, err := s.Probe(t.Context())
		if err != nil || p.Certificate == nil || p.Certificate.Subject.CommonName != "collector" {
			t.Errorf("%+v, %v", p, err)
		}
		r.mu.Lock()
		if r.n != 1 || len(r.got) != 0 {
			t.Errorf("%d requests, %d records", r.n, len(r.got))
		}
		r.answer = func(int) (*collector.ExportLogsServiceResponse, error) {
			return nil, status.Error(codes.PermissionDenied, "not for you")
		}
		r.mu.Unlock()
		if _, err := s.Probe(t.Context()); err == nil {
			t.Error("a collector that refuses is found in order")
		}
	})
}
