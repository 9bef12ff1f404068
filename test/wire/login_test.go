package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

// credentials are a user and its password.
type credentials struct{ user, password string }

// login is who plays a script, directly and through the proxy.
type login struct {
	database        string
	direct, proxied credentials
}

// logins are those that the header of a script names; "" is the lab.
var logins = map[string]login{
	"alice": {testkit.OrdersDatabase, credentials{user: "app_ro_orders"}, credentials{"alice", testkit.AlicePassword}},
}

func dsn(site *testkit.Site, who string, proxied bool) string {
	l, ok := logins[who]
	switch {
	case !ok && proxied:
		return site.LabProxied()
	case !ok:
		return site.LabDirect()
	case proxied:
		return site.DSN(l.proxied.user, l.proxied.password, l.database)
	default:
		return site.Postgres.DSN(l.direct.user, testkit.OrdersRoles()[l.direct.user], l.database)
	}
}

// connect logs in and takes the connection over, behind the first ReadyForQuery.
func connect(ctx context.Context, dsn, name string, startup map[string]string) (*pgconn.HijackedConn, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = name
	maps.Copy(config.RuntimeParams, startup)
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	// A slow write of the log-in makes pgconn read in the background, and that may
	// go on: what it reads would be missing from the script's answers.
	if err := conn.SyncConn(ctx); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn.Hijack()
}

// cancelRequest sends a CancelRequest for a session, in clear or inside TLS, and
// waits until the server closes.
func cancelRequest(ctx context.Context, hc *pgconn.HijackedConn, how string) error {
	address := hc.Conn.RemoteAddr().String()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if how == "tls" {
		if conn, err = overTLS(conn, hc.TLSConfig); err != nil {
			return err
		}
	}
	key := append([]byte(nil), hc.SecretKey...)
	if how == "wrong" {
		key[0] ^= 0xff
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, hc.PID)
	if _, err := conn.Write(append(b, key...)); err != nil {
		return err
	}
	n, err := conn.Read(make([]byte, 1))
	if n > 0 {
		return errors.New("a CancelRequest was answered")
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return nil // closed, whichever way
}

func overTLS(conn net.Conn, config *tls.Config) (net.Conn, error) {
	if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, 80877103)); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	return tls.Client(conn, config), nil
}

// second is a connection beside the one that plays.
func second(tb testing.TB, site *testkit.Site, name string) *pgconn.PgConn {
	tb.Helper()
	config, err := pgconn.ParseConfig(site.LabDirect())
	if err != nil {
		tb.Fatal(err)
	}
	config.RuntimeParams["application_name"] = name
	conn, err := pgconn.ConnectConfig(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		_ = conn.Close(ctx)
	})
	return conn
}
