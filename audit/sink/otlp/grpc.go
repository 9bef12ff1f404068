package otlp

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// overGRPC is an exporter.
type overGRPC struct {
	conn   *grpc.ClientConn
	client collector.LogsServiceClient
}

// maxResponse bounds what a collector may answer, in bytes.
const maxResponse = 1 << 20

func newGRPC(o *Options, config *tls.Config, dial func(context.Context) (net.Conn, error)) (*overGRPC, error) {
	credential := insecure.NewCredentials()
	if config != nil {
		credential = credentials.NewTLS(config)
	}
	// The Runner is who waits and tries again: short pauses below it.
	retry := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: .2, MaxDelay: 5 * time.Second}
	conn, err := grpc.NewClient("passthrough:///"+o.Endpoint,
		grpc.WithTransportCredentials(credential),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: o.ConnectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(), grpc.WithUserAgent("pgcustos"),
	)
	if err != nil {
		return nil, err
	}
	return &overGRPC{conn: conn, client: collector.NewLogsServiceClient(conn)}, nil
}

func (g *overGRPC) export(ctx context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	return g.client.Export(ctx, r)
}

func (g *overGRPC) close() error { return g.conn.Close() }
