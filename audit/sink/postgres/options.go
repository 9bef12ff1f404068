package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Options say where the audit database is.
type Options struct {
	Host     string // a name or address; a directory for a Unix socket
	Port     uint16
	Database string
	User     string
	// Password reads the password at each log-in.
	Password func() (string, error)
	// TLS is verify-full; nil for a Unix socket alone. An empty ServerName stands
	// for Host.
	TLS            *tls.Config
	ConnectTimeout time.Duration
	// Node names this node in the database: it delivers the streams of its own.
	Node string
}

// maxMessage bounds what the server may send in one message.
const maxMessage = 1 << 20

// connect logs in. Where TLS is used the server has to speak SCRAM, so that it
// never sees the password.
func connect(ctx context.Context, o *Options) (*pgconn.PgConn, error) {
	// pgconn makes configurations by parsing only, and reads the environment when
	// it does: every field is overwritten.
	c, err := pgconn.ParseConfig("host=localhost port=5432 user=nobody sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("unset the PG* environment variables: %w", err)
	}
	socket := strings.HasPrefix(o.Host, "/")
	if !socket && o.TLS == nil {
		return nil, errors.New("there is no TLS configuration")
	}
	c.Host, c.Port, c.Database, c.User, c.Fallbacks = o.Host, o.Port, o.Database, o.User, nil
	c.TLSConfig = nil
	if !socket {
		c.TLSConfig = o.TLS.Clone()
		if c.TLSConfig.ServerName == "" {
			c.TLSConfig.ServerName = o.Host
		}
		c.RequireAuth = "scram-sha-256"
	}
	c.Password = ""
	if o.Password != nil {
		if c.Password, err = o.Password(); err != nil {
			return nil, fmt.Errorf("the password of %s: %w", o.User, err)
		}
	}
	c.RuntimeParams = map[string]string{
		"application_name": "pgcustos audit", "client_encoding": "UTF8", "timezone": "UTC",
		"search_path": "pg_catalog", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "60s",
		"client_min_messages": "warning",
	}
	c.ConnectTimeout = o.ConnectTimeout
	c.SSLNegotiation, c.SSLCertMode, c.ChannelBinding = "postgres", "allow", "prefer"
	c.MinProtocolVersion, c.MaxProtocolVersion = "3.0", "3.0"
	c.MaxProtocolMessageBodyLen = maxMessage
	c.KerberosSrvName, c.KerberosSpn, c.OAuthTokenProvider = "", "", nil
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	c.DialFunc = dialer.DialContext
	c.LookupFunc = (&net.Resolver{}).LookupHost
	return pgconn.ConnectConfig(ctx, c)
}
