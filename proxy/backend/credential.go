package backend

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/auth"
)

// Credential is how the proxy proves to a backend that it may log in as a role.
// Password is one kind; a client certificate, signed for one principal and role,
// is another.
type Credential interface {
	// apply sets what proves it for one log-in, or returns the password that does. A
	// server that asks for anything else, or for nothing, is refused.
	apply(*pgconn.Config, *Login) (*auth.Secret, error)
}

// Password is a Credential that is read at each log-in, so that a rotation needs
// no restart. The server has to speak SCRAM: it never sees the password.
type Password func() (*auth.Secret, error)

func (read Password) apply(_ *pgconn.Config, login *Login) (*auth.Secret, error) {
	password, err := read()
	if err != nil {
		return nil, fmt.Errorf("credentials of role %s: %w", login.Role, err)
	}
	return password, nil
}
