package kerberos

import (
	"encoding/binary"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/pgcustos/pgcustos/auth"
)

// What a client says of the context it wants, in the checksum of its
// authenticator (RFC 4121, section 4.1.1): the length of the channel bindings, 16
// bytes of these, flags.
const (
	checksumGSS  = 0x8003
	checksumSize = 24
	bindingsSize = 16

	flagMutual = 2
	flagDCE    = 0x1000 // a third message, which libpq has no use for
)

// openAuthenticator decrypts what proves that the client knows the session's key,
// and reports whether the client wants the same proof from the proxy. Whom the
// authenticator names is only compared: the ticket says who the client is.
func (a *Acceptor) openAuthenticator(req *messages.APReq) (mutual bool, err error) {
	t := &req.Ticket.DecryptedEncPart
	if req.EncryptedAuthenticator.EType != t.Key.KeyType {
		return false, malformed("the authenticator is encrypted by type %d, the session's key is of type %d",
			req.EncryptedAuthenticator.EType, t.Key.KeyType)
	}
	plain, err := crypto.DecryptEncPart(req.EncryptedAuthenticator, t.Key, keyusage.AP_REQ_AUTHENTICATOR)
	if err != nil {
		return false, refusal(auth.CauseTicketForged, "the client does not know the key of the ticket that it shows")
	}
	if err := req.Authenticator.Unmarshal(plain); err != nil {
		return false, malformed("the authenticator cannot be read: %w", err)
	}
	who := &req.Authenticator
	if who.CRealm != t.CRealm || !who.CName.Equal(t.CName) {
		return false, refusal(auth.CauseIdentityMismatch, "the authenticator names %q, the ticket %q",
			who.CName.PrincipalNameString()+"@"+who.CRealm, clientName(&req.Ticket))
	}
	if off := a.now().Sub(madeAt(req)).Abs(); off > skew {
		return false, refusal(auth.CauseClockSkew, "the client's clock is off by %s", off.Round(time.Second))
	}
	return checkContext(req)
}

// madeAt is when the client says that it made the authenticator.
func madeAt(req *messages.APReq) time.Time {
	return req.Authenticator.CTime.Add(time.Duration(req.Authenticator.Cusec) * time.Microsecond)
}

func checkContext(req *messages.APReq) (mutual bool, err error) {
	sum := &req.Authenticator.Cksum
	if sum.CksumType != checksumGSS || len(sum.Checksum) < checksumSize ||
		binary.LittleEndian.Uint32(sum.Checksum) != bindingsSize {
		return false, malformed("the authenticator was not made for GSSAPI")
	}
	wants := binary.LittleEndian.Uint32(sum.Checksum[4+bindingsSize:])
	if wants&flagDCE != 0 {
		return false, malformed("the client wants a context of the DCE style")
	}
	// The same is asked for twice, in the request and in the checksum.
	option := len(req.APOptions.Bytes) > 0 && req.APOptions.At(2) == 1
	return option || wants&flagMutual != 0, nil
}
