package backend

import (
	"context"
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

	hijacked *pgconn.HijackedConn
}

// Cancel asks the server, over a connection of its own that is encrypted as the
// session's is, to cancel what the session runs. PostgreSQL does not tell
// whether there was anything.
func (c *Conn) Cancel(ctx context.Context) error {
	pc, err := pgconn.Construct(c.hijacked)
	if err != nil {
		return err
	}
	return pc.CancelRequest(ctx)
}
