package startup

import (
	"fmt"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// The codes of AuthenticationGSS and AuthenticationGSSContinue.
const (
	authGSS         = 7
	authGSSContinue = 8
)

// maxTicket bounds a token.
const maxTicket = maxToken

// AskTicket asks for a GSSAPI token, inside TLS only, and reads it. A client that
// leaves instead is ErrSilent: libpq does where it can get no ticket.
func (h *Hello) AskTicket() ([]byte, error) {
	if h.TLS == nil {
		return nil, fatal(pgwire.InvalidAuthorization, "a ticket is asked for over TLS only")
	}
	if err := h.ask(authGSS); err != nil {
		return nil, err
	}
	return h.answer("GSS", maxTicket, tokenSize)
}

// Continue gives the client the answer to its token.
func (h *Hello) Continue(token []byte) error {
	if _, err := h.Conn.Write(pgwire.AppendMessage(nil, pgwire.Authentication, []byte{0, 0, 0, authGSSContinue}, token)); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return nil
}
