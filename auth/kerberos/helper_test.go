package kerberos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

var here = netip.MustParseAddr("127.0.0.1")

// holder is a client that holds a ticket of the domain for the proxy.
type holder struct {
	ticket messages.Ticket
	key    types.EncryptionKey // the session's
	keytab *Keytab
	now    time.Time
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readKeytab(t testing.TB, path string) *Keytab {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	k, err := ReadKeytab(data)
	must(t, err)
	return k
}

// logOn gets a ticket from the domain.
func logOn(t testing.TB, account, password, principal string) *holder {
	t.Helper()
	return logOnAt(t, testkit.SharedController(t), testkit.Realm, account, password, principal)
}

// logOnAt gets a ticket from that domain.
func logOnAt(t testing.TB, c *testkit.Controller, realm, account, password, principal string) *holder {
	t.Helper()
	conf, err := config.Load(c.Krb5Conf())
	must(t, err)
	krb := client.NewWithPassword(account, realm, password, conf, client.DisablePAFXFAST(true))
	t.Cleanup(krb.Destroy)
	must(t, krb.Login())
	h := &holder{keytab: readKeytab(t, c.Keytab()), now: time.Now()}
	h.ticket, h.key, err = krb.GetServiceTicket(principal)
	must(t, err)
	return h
}

func alice(t testing.TB) *holder {
	t.Helper()
	return logOn(t, "alice", testkit.AlicePassword, testkit.ProxyPrincipal)
}

// acceptor accepts at the holder's time.
func (h *holder) acceptor() *Acceptor {
	a := New(Options{Realms: []Realm{{Name: testkit.Realm}}, Service: "postgres", Keytab: h.keytab}, newReplays(h.now.Add(-time.Hour)))
	a.now = func() time.Time { return h.now }
	return a
}

// open decrypts the ticket, which only the proxy can.
func (h *holder) open(t testing.TB) (messages.EncTicketPart, types.EncryptionKey) {
	t.Helper()
	secret := h.keytab.find(&h.ticket)[0]
	ticket := h.ticket
	must(t, ticket.Decrypt(secret))
	return ticket.DecryptedEncPart, secret
}

// reseal makes a ticket with other contents, as only who has the key can.
func (h *holder) reseal(t testing.TB, change func(*messages.EncTicketPart)) {
	t.Helper()
	part, secret := h.open(t)
	change(&part)
	plain, err := asn1.Marshal(part)
	must(t, err)
	h.ticket.EncPart, err = crypto.GetEncryptedData(asn1tools.AddASNAppTag(plain, asnAppTag.EncTicketPart), secret, keyusage.KDC_REP_TICKET, h.ticket.EncPart.KVNO)
	must(t, err)
}

// contextChecksum is what libpq asks for: mutual authentication.
func contextChecksum(flags uint32) types.Checksum {
	b := make([]byte, checksumSize)
	binary.LittleEndian.PutUint32(b, bindingsSize)
	binary.LittleEndian.PutUint32(b[4+bindingsSize:], flags)
	return types.Checksum{CksumType: checksumGSS, Checksum: b}
}

// request makes an AP-REQ at the holder's time.
func (h *holder) request(t testing.TB, changes ...func(*types.Authenticator)) messages.APReq {
	t.Helper()
	part, _ := h.open(t)
	a, err := types.NewAuthenticator(part.CRealm, part.CName)
	must(t, err)
	a.CTime, a.Cusec = h.now.UTC().Truncate(time.Second), h.now.Nanosecond()/1000
	a.Cksum = contextChecksum(flagMutual)
	for _, change := range changes {
		change(&a)
	}
	req, err := messages.NewAPReq(h.ticket, h.key, a)
	must(t, err)
	return req
}

func frame(t testing.TB, req messages.APReq) []byte {
	t.Helper()
	b, err := req.Marshal()
	must(t, err)
	return wrap(slices.Concat(mechanism, idRequest, b))
}

func (h *holder) token(t testing.TB, changes ...func(*types.Authenticator)) []byte {
	t.Helper()
	return frame(t, h.request(t, changes...))
}

func wantCause(t testing.TB, err error, cause auth.Cause) {
	t.Helper()
	var f *auth.Failure
	if !errors.As(err, &f) || f.Cause != cause {
		t.Fatalf("got %v, want %s", err, cause)
	}
}

// proves checks that a reply holds the time of the request, under the session's
// key.
func (h *holder) proves(t testing.TB, token []byte, made time.Time) {
	t.Helper()
	body, rest, ok := element(token, tagToken)
	body, isReply := bytes.CutPrefix(body, slices.Concat(mechanism, idReply))
	if !ok || len(rest) > 0 || !isReply {
		t.Fatalf("no AP-REP: %x", token)
	}
	var rep messages.APRep
	must(t, rep.Unmarshal(body))
	plain, err := crypto.DecryptEncPart(rep.EncPart, h.key, keyusage.AP_REP_ENCPART)
	must(t, err)
	var part messages.EncAPRepPart
	must(t, part.Unmarshal(plain))
	if got := part.CTime.Add(time.Duration(part.Cusec) * time.Microsecond); !got.Equal(made.Truncate(time.Microsecond)) {
		t.Errorf("the AP-REP says %s, the request %s", got, made)
	}
}
