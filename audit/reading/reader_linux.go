package reading

import (
	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/peer"
)

// readerOf is a peer as a record has it.
func readerOf(p peer.Peer) *audit.Reader {
	return &audit.Reader{UID: p.UID, PID: p.PID, User: p.User, Login: p.Login}
}
