package kerberos

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

var update = flag.Bool("update", false, "get a new testdata/ticket.json from a domain of the tests")

// kept is a ticket of a domain that is long gone, with all its keys, so that the
// fuzz targets need no controller.
type kept struct {
	Keytab  []byte
	Ticket  []byte // DER
	Key     []byte // the session's
	KeyType int32
	Now     time.Time
}

const keptFile = "testdata/ticket.json"

func TestKeptTicket(t *testing.T) {
	if *update {
		h := alice(t)
		k := kept{Key: h.key.KeyValue, KeyType: h.key.KeyType, Now: h.now.UTC()}
		var err error
		k.Ticket, err = h.ticket.Marshal()
		must(t, err)
		k.Keytab, err = os.ReadFile(testkit.SharedController(t).Keytab())
		must(t, err)
		out, err := json.MarshalIndent(k, "", " ")
		must(t, err)
		must(t, os.WriteFile(keptFile, append(out, '\n'), 0o644))
	}
	h := keptHolder(t)
	_, err := h.acceptor().Accept(h.token(t), here)
	must(t, err)
}

func keptHolder(t testing.TB) *holder {
	t.Helper()
	data, err := os.ReadFile(keptFile)
	must(t, err)
	var k kept
	must(t, json.Unmarshal(data, &k))
	h := &holder{key: types.EncryptionKey{KeyType: k.KeyType, KeyValue: k.Key}, now: k.Now}
	h.keytab, err = ReadKeytab(k.Keytab)
	must(t, err)
	must(t, h.ticket.Unmarshal(k.Ticket))
	return h
}

// FuzzToken: whatever a stranger sends is refused, or it is alice's ticket; and
// nothing is accepted twice.
func FuzzToken(f *testing.F) {
	h := keptHolder(f)
	good := h.token(f)
	want, err := h.acceptor().Accept(good, here)
	must(f, err)
	f.Add(good)
	f.Add(wrap(mechanism))
	f.Add(good[:len(good)/2])
	req := h.request(f)
	req.Ticket.EncPart.Cipher = nil
	f.Add(frame(f, req))
	req = h.request(f)
	req.Ticket.SName.NameString = []string{}
	f.Add(frame(f, req))
	f.Fuzz(func(t *testing.T, token []byte) {
		a := h.acceptor()
		got, err := a.accept(token, here) // without the net below
		if err != nil {
			if got.SID != "" || got.Reply != nil {
				t.Fatalf("refused (%v), and yet %+v", err, got)
			}
			return
		}
		if got.Client != want.Client || got.SID != want.SID {
			t.Fatalf("accepted as %+v", got)
		}
		if _, err := a.Accept(token, here); err == nil {
			t.Fatal("accepted twice")
		}
	})
}

// FuzzContents: what is under the right keys may be nonsense, too. Nothing gets
// in but the realm's own client, within its ticket's time and with its PAC.
func FuzzContents(f *testing.F) {
	h := keptHolder(f)
	part, secret := h.open(f)
	plainTicket, err := asn1.Marshal(part)
	must(f, err)
	plainTicket = asn1tools.AddASNAppTag(plainTicket, asnAppTag.EncTicketPart)
	req := h.request(f)
	plainAuthenticator, err := crypto.DecryptEncPart(req.EncryptedAuthenticator, h.key, keyusage.AP_REQ_AUTHENTICATOR)
	must(f, err)
	f.Add(plainTicket, plainAuthenticator)
	f.Add(plainTicket[:40], plainAuthenticator)
	f.Add(plainTicket, plainAuthenticator[:20])
	f.Add([]byte{0x63, 0}, []byte{0x62, 0})
	f.Fuzz(func(t *testing.T, ticket, authenticator []byte) {
		x := *h
		x.ticket.EncPart, err = crypto.GetEncryptedData(ticket, secret, keyusage.KDC_REP_TICKET, h.ticket.EncPart.KVNO)
		must(t, err)
		r := req
		r.Ticket = x.ticket
		r.EncryptedAuthenticator, err = crypto.GetEncryptedData(authenticator, h.key, keyusage.AP_REQ_AUTHENTICATOR, 0)
		must(t, err)
		got, err := x.acceptor().Accept(frame(t, r), here)
		if err == nil && (got.Client != "alice@"+testkit.Realm || got.SID == "" || !got.Ends.After(h.now)) {
			t.Fatalf("accepted as %+v", got)
		}
	})
}
