package kerberos

import (
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
)

// encReply is EncAPRepPart without what is optional (RFC 4120, section 5.5.2).
type encReply struct {
	CTime time.Time `asn1:"generalized,explicit,tag:0"`
	Cusec int       `asn1:"explicit,tag:1"`
}

// reply makes the token that proves the proxy to the client: the time of its
// authenticator, under the session's key, which only who could open the ticket
// knows.
func reply(req *messages.APReq) ([]byte, error) {
	plain, err := asn1.Marshal(encReply{CTime: req.Authenticator.CTime, Cusec: req.Authenticator.Cusec})
	if err != nil {
		return nil, fmt.Errorf("encode the AP-REP: %w", err)
	}
	plain = asn1tools.AddASNAppTag(plain, asnAppTag.EncAPRepPart)
	sealed, err := crypto.GetEncryptedData(plain, req.Ticket.DecryptedEncPart.Key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, fmt.Errorf("encrypt the AP-REP: %w", err)
	}
	const version = 5
	rep, err := asn1.Marshal(messages.APRep{PVNO: version, MsgType: msgtype.KRB_AP_REP, EncPart: sealed})
	if err != nil {
		return nil, fmt.Errorf("encode the AP-REP: %w", err)
	}
	rep = asn1tools.AddASNAppTag(rep, asnAppTag.APREP)
	return wrap(slices.Concat(mechanism, idReply, rep)), nil
}
