package startup

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// authCleartextPassword is the code of AuthenticationCleartextPassword.
const authCleartextPassword = 3

// maxPassword bounds a PasswordMessage: Active Directory takes 256 characters.
const maxPassword = 2 << 10

// maxToken is PG_MAX_AUTH_TOKEN_LENGTH of auth.c: beyond it PostgreSQL closes without
// a word.
const maxToken = 65535

// AskPassword asks for the password in clear, which only a TLS connection may
// carry (invariant 2), and reads the answer. The secret is the caller's to wipe.
// A client that leaves instead is ErrSilent: psql does, to prompt its user.
func (h *Hello) AskPassword() (*auth.Secret, error) {
	if h.TLS == nil {
		return nil, fatal(pgwire.InvalidAuthorization, "a password is asked for over TLS only")
	}
	if err := h.ask(authCleartextPassword); err != nil {
		return nil, err
	}
	body, err := h.answer("password", maxPassword, passwordSize)
	if err != nil {
		return nil, err
	}
	password, rest, ok := pgwire.CString(body)
	if !ok || len(rest) > 0 {
		clear(body)
		return nil, fatal(pgwire.ProtocolViolation, "invalid password packet size")
	}
	return auth.NewSecret(password), nil
}

// Negotiate answers the StartupMessage of a client that is asked for nothing, where
// there is something to answer.
func (h *Hello) Negotiate() error {
	if h.Request.Negotiation() == nil {
		return nil
	}
	if _, err := h.Conn.Write(h.Request.Negotiation()); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return nil
}

// passwordSize is recv_password_packet of auth.c: it closes without a word where no
// message has that length, and says what is wrong with one that has no body.
func passwordSize(size int) error {
	switch {
	case size < pgwire.MinSize || uint64(size) > maxToken+pgwire.HeaderSize:
		return fmt.Errorf("%w: invalid length of password packet: %d", ErrSilent, size)
	case size == pgwire.MinSize:
		return fatal(pgwire.ProtocolViolation, "invalid password packet size")
	default:
		return nil
	}
}

// tokenSize leaves all to the limit: here PostgreSQL says that the log-in failed.
func tokenSize(int) error { return nil }

// ask sends a request for authentication, and before it what else the
// StartupMessage is answered with.
func (h *Hello) ask(code uint32) error {
	request := append([]byte(nil), h.Request.Negotiation()...)
	request = pgwire.AppendMessage(request, pgwire.Authentication, binary.BigEndian.AppendUint32(nil, code))
	if _, err := h.Conn.Write(request); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return nil
}

// answer reads the client's answer, of at most limit bytes with its header. What
// it expects is named to a client that sends something else, in PostgreSQL's words.
func (h *Hello) answer(what string, limit uint32, check func(size int) error) ([]byte, error) {
	var head [pgwire.HeaderSize]byte
	if _, err := io.ReadFull(h.Conn, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	typ, size, _ := pgwire.Header(head[:])
	if typ != pgwire.Password {
		return nil, fatal(pgwire.ProtocolViolation, fmt.Sprintf("expected %s response, got message type %d", what, typ))
	}
	if err := check(size); err != nil {
		return nil, err
	}
	if size <= pgwire.MinSize || uint64(size) > uint64(limit) {
		return nil, fatal(pgwire.InvalidPassword, "invalid "+what+" packet size")
	}
	body := make([]byte, size-pgwire.HeaderSize)
	if _, err := io.ReadFull(h.Conn, body); err != nil {
		clear(body)
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return body, nil
}
