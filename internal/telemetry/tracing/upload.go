package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// uploader is an otlptrace.Client that goes where the configuration says: those of
// the SDK read endpoints, headers and certificates from the environment.
type uploader struct {
	conn *grpc.ClientConn // for gRPC
	http *http.Client     // for HTTP
	url  string
}

func newUploader(o *Options) (*uploader, error) {
	host, _, err := net.SplitHostPort(o.Endpoint)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if o.TLS != nil {
		config = o.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName = host
		}
	}
	dial := dialer(o, config != nil)
	if o.HTTP {
		return newHTTP(o, config, dial), nil
	}
	return newGRPC(o, config, dial)
}

// dialer connects, without TLS to this machine alone.
func dialer(o *Options, secured bool) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: o.ConnectTimeout}
		c, err := d.DialContext(ctx, "tcp", o.Endpoint)
		if err != nil || secured {
			return c, err
		}
		if a, ok := c.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, errors.Join(errors.New("spans without TLS leave this machine for nobody"), c.Close())
		}
		return c, nil
	}
}

// maxAnswer bounds what a collector may answer, in bytes.
const maxAnswer = 1 << 20

func newGRPC(o *Options, config *tls.Config, dial func(context.Context) (net.Conn, error)) (*uploader, error) {
	credential := insecure.NewCredentials()
	if config != nil {
		credential = credentials.NewTLS(config)
	}
	retry := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: .2, MaxDelay: 30 * time.Second}
	conn, err := grpc.NewClient("passthrough:///"+o.Endpoint,
		grpc.WithTransportCredentials(credential),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: o.ConnectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(), grpc.WithUserAgent("pgcustos"),
	)
	if err != nil {
		return nil, err
	}
	return &uploader{conn: conn}, nil
}

func newHTTP(o *Options, config *tls.Config, dial func(context.Context) (net.Conn, error)) *uploader {
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	return &uploader{
		url: scheme + "://" + o.Endpoint + o.Path,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
				TLSClientConfig: config, TLSHandshakeTimeout: o.ConnectTimeout, ForceAttemptHTTP2: true,
				MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Start implements otlptrace.Client.
func (u *uploader) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (u *uploader) Stop(context.Context) error {
	if u.conn != nil {
		return u.conn.Close()
	}
	u.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client.
func (u *uploader) UploadTraces(ctx context.Context, list []*spans.ResourceSpans) error {
	request := &collector.ExportTraceServiceRequest{ResourceSpans: list}
	var answer *collector.ExportTraceServiceResponse
	var err error
	if u.conn != nil {
		answer, err = collector.NewTraceServiceClient(u.conn).Export(ctx, request)
	} else {
		answer, err = u.post(ctx, request)
	}
	if err != nil {
		return err
	}
	if p := answer.GetPartialSuccess(); p.GetRejectedSpans() > 0 {
		return fmt.Errorf("the collector rejected %d spans: %.200q", p.GetRejectedSpans(), p.GetErrorMessage())
	}
	return nil
}

const protobufType = "application/x-protobuf"

func (u *uploader) post(ctx context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", protobufType)
	request.Header.Set("User-Agent", "pgcustos")
	response, err := u.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the collector answered %d", response.StatusCode)
	}
	out := &collector.ExportTraceServiceResponse{}
	return out, proto.Unmarshal(text, out)
}
