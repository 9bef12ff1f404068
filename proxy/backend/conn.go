package backend

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Conn is a session at the backend, behind its first ReadyForQuery. Whoever gets
// it owns it, and closes it.
type Conn struct {
	net.Conn
	// Greeting is what the server sent at log-in for the client: its parameters
	// and notices, byte for byte.
	Greeting []byte
	// Parameters are the values in Greeting.
	Parameters map[string]string
	PID        uint32

	// What a cancel needs: pgconn's own state of the log-in is several times as large.
	backend *Backend
	host    Host
	tls     *tls.Config // nil for a session in clear
	secret  []byte
}

// Cancel asks the server, over a connection of its own that is encrypted as the
// session's is, to cancel what the session runs. PostgreSQL does not tell
// whether there was anything.
func (c *Conn) Cancel(ctx context.Context) error {
	pc, err := c.pgconn()
	if err != nil {
		return err
	}
	return pc.CancelRequest(ctx)
}

// pgconn returns the session as pgconn's.
func (c *Conn) pgconn() (*pgconn.PgConn, error) {
	config := c.backend.route(c.host)
	config.SSLCertMode = "disable" // a cancel needs no certificate, and by now it may have ended
	return pgconn.Construct(&pgconn.HijackedConn{
		Conn: c.Conn, TLSConfig: c.tls, PID: c.PID, SecretKey: c.secret, ParameterStatuses: c.Parameters, TxStatus: 'I', Config: config,
	})
}
