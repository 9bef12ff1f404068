package otlp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"
)

// overHTTP is an exporter.
type overHTTP struct {
	client http.Client
	url    string
}

const protobufType = "application/x-protobuf"

func newHTTP(o *Options, config *tls.Config, dial func(context.Context) (net.Conn, error)) *overHTTP {
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	return &overHTTP{
		url: scheme + "://" + o.Endpoint + o.Path,
		client: http.Client{
			// No proxy from the environment, and no redirect: records go where the
			// configuration says.
			Transport: &http.Transport{
				DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
				TLSClientConfig: config, TLSHandshakeTimeout: o.ConnectTimeout, ForceAttemptHTTP2: true,
				MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (h *overHTTP) export(ctx context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", protobufType)
	request.Header.Set("User-Agent", "pgcustos")
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != protobufType {
		return nil, fmt.Errorf("the collector answered %d with %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	out := &collector.ExportLogsServiceResponse{}
	if err := proto.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("the collector's answer: %w", err)
	}
	return out, nil
}

func (h *overHTTP) close() error {
	h.client.CloseIdleConnections()
	return nil
}
