package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// mostBinds bounds the binds of clients at once.
const mostBinds = 32

// bind proves a password, on a connection that carries nothing but binds. The
// error is *auth.Failure. Lost is how often the password was sent and not answered.
func (d *Directory) bind(ctx context.Context, dn, password string) (lost int, err error) {
	if err := acquire(ctx, d.binds, d.options.Timeout); err != nil {
		return 0, err
	}
	defer func() { <-d.binds }()
	err = d.ask(ctx, func(c *controller) error {
		open := func() (*conn, error) {
			b, err := dial(ctx, c, d.options.Timeout)
			if err == nil {
				b.most = mostOfBind
			}
			return b, err
		}
		return c.binders.with(ctx, open, func(b *conn) error {
			err := b.do(ctx, d.options.Timeout, func(l *ldap.Conn) error { return l.Bind(dn, password) })
			if err == nil {
				return nil
			}
			if isUnreachable(err) {
				lost++
				return err
			}
			f := bindFailure(err)
			if f.Cause != auth.CauseDirectoryDown {
				return f
			}
			b.spent = true
			return &unreachable{fmt.Errorf("%s: %w", c.url, f.Err)}
		})
	})
	return lost, err
}

// bindNobody does the work of a bind for an account that does not exist, so that
// neither the time until the answer nor a controller that does not answer tells
// that. The client's password is not used for it.
func (d *Directory) bindNobody(ctx context.Context) error {
	_, err := d.bind(ctx, "CN="+rand.Text()+",CN=Users,"+d.base, rand.Text())
	if err != nil && failure(err).Cause == auth.CauseDirectoryDown {
		return err
	}
	return nil // whatever the directory says to it, the log-in is refused
}

// dataCode finds the Windows error number in a controller's explanation, as in
// "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data
// 52e, v1db1". It is hexadecimal.
var dataCode = regexp.MustCompile(`\bdata ([0-9a-fA-F]{1,8})\b`)

// dataCauses are the numbers that a refused bind can come with (winerror.h:
// ERROR_NO_SUCH_USER and those after it).
var dataCauses = map[string]auth.Cause{
	"525": auth.CauseNoSuchAccount,
	"52e": auth.CauseWrongPassword,
	"52f": auth.CauseRestricted,
	"530": auth.CauseLogonHours,
	"531": auth.CauseWorkstation,
	"532": auth.CausePasswordExpired,
	"533": auth.CauseDisabled,
	"701": auth.CauseAccountExpired,
	"773": auth.CauseMustChange,
	"775": auth.CauseLockedOut,
}

// badBindings is SEC_E_BAD_BINDINGS: what came was bound to another TLS connection.
const badBindings = "80090346"

// bindFailure tells from the answer to a bind why it was refused.
// CauseDirectoryDown stands for a controller that cannot answer now.
func bindFailure(err error) *auth.Failure {
	f := &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(err.Error()), Err: err}
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return f
	}
	switch answer.ResultCode {
	case ldap.LDAPResultStrongAuthRequired:
		f.Cause = auth.CauseDirectoryDown
		f.Err = fmt.Errorf("the controller takes no password on this connection, for it sees no TLS: something on the way ends it, or the controller demands more (LDAP signing, Samba's \"ldap server require strong auth\"): %w", err)
		f.Detail = clip(f.Err.Error())
	case ldap.LDAPResultInvalidCredentials:
		f.Cause = auth.CauseWrongPassword
		if strings.Contains(answer.Error(), badBindings) {
			f.Cause = auth.CauseDirectoryDown
			f.Err = fmt.Errorf("the controller enforces LDAP channel binding and sees another TLS connection than this one: something on the way ends TLS, and must not: %w", err)
			f.Detail = clip(f.Err.Error())
		} else if m := dataCode.FindStringSubmatch(answer.Error()); m != nil {
			if cause, known := dataCauses[m[1]]; known {
				f.Cause = cause
			}
		}
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		f.Cause = auth.CauseDirectoryDown
	}
	return f
}
