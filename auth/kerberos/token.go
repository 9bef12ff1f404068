package kerberos

import (
	"bytes"

	"github.com/jcmturner/gokrb5/v8/messages"
)

// A token as GSSAPI frames it (RFC 2743, section 3.1; RFC 4121, section 4.1):
//
//	60 <length>                                  [APPLICATION 0]
//	   06 09 2a 86 48 86 f7 12 01 02 02          OID of the Kerberos mechanism
//	   01 00                                     AP-REQ; 02 00 for AP-REP
//	   <the message>
var (
	mechanism = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}
	// negotiated is how a SPNEGO token begins (RFC 4178).
	negotiated = []byte{0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}

	idRequest = []byte{1, 0}
	idReply   = []byte{2, 0}
)

const (
	tagToken   = 0x60
	tagRequest = 0x6e // [APPLICATION 14], AP-REQ
)

// MaxToken bounds a token, in bytes: PG_MAX_AUTH_TOKEN_LENGTH of auth.c. A ticket
// of Windows has at most 48,000.
const MaxToken = 65535

// minCipher is the shortest that AES with HMAC-SHA1-96 makes: a confounder of 16
// bytes and a MAC of 12 (RFC 3962, section 6). The library slices without asking.
const minCipher = 28

// readToken takes a token apart. Nothing of it is believed yet.
func readToken(token []byte) (*messages.APReq, error) {
	if len(token) > MaxToken {
		return nil, malformed("the token has %d bytes, which is too long", len(token))
	}
	body, rest, ok := element(token, tagToken)
	if !ok || len(rest) > 0 {
		return nil, malformed("no GSSAPI token")
	}
	if bytes.HasPrefix(body, negotiated) {
		return nil, malformed("a SPNEGO token: the client must send one of the Kerberos mechanism itself")
	}
	body, ok = bytes.CutPrefix(body, mechanism)
	if !ok {
		return nil, malformed("a token of another mechanism than Kerberos")
	}
	if body, ok = bytes.CutPrefix(body, idRequest); !ok {
		return nil, malformed("the token holds no AP-REQ")
	}
	if _, rest, ok := element(body, tagRequest); !ok || len(rest) > 0 {
		return nil, malformed("the AP-REQ does not fill its token")
	}
	req := &messages.APReq{}
	if err := req.Unmarshal(body); err != nil {
		return nil, malformed("the AP-REQ cannot be read: %w", err)
	}
	return req, checkForm(req)
}

// checkForm looks at what the library takes for granted.
func checkForm(req *messages.APReq) error {
	const version = 5
	useSessionKey := len(req.APOptions.Bytes) > 0 && req.APOptions.At(1) == 1
	switch t := &req.Ticket; {
	case req.PVNO != version || t.TktVNO != version:
		return malformed("Kerberos version %d, ticket version %d: only 5 is spoken", req.PVNO, t.TktVNO)
	case len(t.SName.NameString) != 2:
		return malformed("the service's name has %d parts", len(t.SName.NameString))
	case len(t.EncPart.Cipher) < minCipher || len(req.EncryptedAuthenticator.Cipher) < minCipher:
		return malformed("a cipher is shorter than its checksum")
	case useSessionKey:
		return malformed("user-to-user authentication is not offered")
	}
	return nil
}

// element reads an element of DER with this tag (X.690, section 8.1.3).
func element(b []byte, tag byte) (body, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	size, b := int(b[1]), b[2:]
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 3 || len(b) < n || b[0] == 0 {
			return nil, nil, false
		}
		size = 0
		for _, c := range b[:n] {
			size = size<<8 | int(c)
		}
		b = b[n:]
	}
	if size > len(b) {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}

// wrap makes a token of what stands in it.
func wrap(body []byte) []byte {
	out := []byte{tagToken}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, body...)
}
