package kerberos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestRealms: each domain vouches for its own people, with its own key, and for nobody
// else's.
func TestRealms(t *testing.T) {
	corp, other := testkit.SharedController(t), testkit.SharedOther(t)
	file := filepath.Join(t.TempDir(), "both.keytab")
	must(t, corp.ExportKeytab(t.Context(), file, testkit.ProxyPrincipal))
	must(t, other.ExportKeytab(t.Context(), file, testkit.ProxyPrincipal))
	keytab := readKeytab(t, file)
	corpSID, err := corp.SID(t.Context(), "")
	must(t, err)
	otherSID, err := other.SID(t.Context(), "")
	must(t, err)
	both := []Realm{{testkit.Realm, corpSID}, {testkit.OtherRealm, otherSID}}

	at := func(realm string) *holder {
		h := alice(t)
		if realm == testkit.OtherRealm {
			h = logOnAt(t, other, testkit.OtherRealm, "alice", testkit.OtherAlicePassword, testkit.ProxyPrincipal)
		}
		h.keytab = keytab
		return h
	}
	accept := func(h *holder, realms []Realm, token []byte) (auth.Ticket, error) {
		a := h.acceptor()
		a.options.Realms = realms
		return a.Accept(token, here)
	}
	for realm, sid := range map[string]string{testkit.Realm: corpSID, testkit.OtherRealm: otherSID} {
		h := at(realm)
		ticket, err := accept(h, both, h.token(t))
		must(t, err)
		if ticket.Client != "alice@"+realm || !strings.HasPrefix(ticket.SID, sid+"-") {
			t.Errorf("%s: %s, %s", realm, ticket.Client, ticket.SID)
		}
	}

	h := at(testkit.OtherRealm)
	_, err = accept(h, both[:1], h.token(t))
	wantCause(t, err, auth.CauseTicketRealm) // although there is a key for it

	// What OTHER's controllers could make, for they know OTHER's key of the service.
	h = at(testkit.OtherRealm)
	h.reseal(t, func(p *messages.EncTicketPart) { p.CRealm = testkit.Realm })
	_, err = accept(h, both, h.token(t))
	wantCause(t, err, auth.CauseTicketRealm)
	h.ticket.Realm = testkit.Realm
	token := frame(t, h.sealedRequest(t))
	_, err = accept(h, both, token)
	var f *auth.Failure
	if !errors.As(err, &f) || f.Cause != auth.CauseTicketForged && f.Cause != auth.CauseTicketKey {
		t.Errorf("OTHER's key for a ticket of CORP: %v", err)
	}
	// A PAC with the SID of somebody of another domain, rightly signed: to this acceptor
	// OTHER's SID is another one.
	h = at(testkit.OtherRealm)
	_, err = accept(h, []Realm{both[0], {testkit.OtherRealm, "S-1-5-21-1-2-3"}}, h.token(t))
	wantCause(t, err, auth.CauseForeignSID)
}

// TestForgedSIDs: OTHER's controllers put a SID of CORP's into a PAC, and sign it, for they
// know the key. The same with their own shows that it would be taken.
func TestForgedSIDs(t *testing.T) {
	corp, other := testkit.SharedController(t), testkit.SharedOther(t)
	corpSID, err := corp.SID(t.Context(), "")
	must(t, err)
	otherSID, err := other.SID(t.Context(), "")
	must(t, err)
	signed := func(sid string) (auth.Ticket, error) {
		h := logOnAt(t, other, testkit.OtherRealm, "alice", testkit.OtherAlicePassword, testkit.ProxyPrincipal)
		h.keytab = readKeytab(t, other.Keytab())
		_, key := h.open(t)
		h.reseal(t, func(p *messages.EncTicketPart) {
			raw, err := findPAC(p.AuthorizationData)
			must(t, err)
			data, err := asn1.Marshal(types.AuthorizationData{{ADType: adtype.ADWin2KPAC, ADData: forgePAC(t, raw, key, otherSID, sid)}})
			must(t, err)
			p.AuthorizationData = types.AuthorizationData{{ADType: adtype.ADIfRelevant, ADData: data}}
		})
		a := h.acceptor()
		a.options.Realms = []Realm{{testkit.Realm, corpSID}, {testkit.OtherRealm, otherSID}}
		return a.Accept(h.token(t), here)
	}
	_, err = signed(corpSID)
	wantCause(t, err, auth.CauseForeignSID)
	ticket, err := signed(otherSID)
	must(t, err)
	if !strings.HasPrefix(ticket.SID, otherSID+"-") {
		t.Errorf("of %s", ticket.SID)
	}
}

// forgePAC puts one domain's SID in the place of another's, and signs the PAC anew (MS-PAC
// section 2.8).
func forgePAC(t *testing.T, raw []byte, key types.EncryptionKey, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(raw, subAuthorities(t, from)) {
		t.Fatal("the PAC does not hold its domain's SID")
	}
	b := bytes.ReplaceAll(raw, subAuthorities(t, from), subAuthorities(t, to))
	const server, kdc, size = 6, 7, 12
	var at int
	for i := range int(binary.LittleEndian.Uint32(b)) {
		e := b[pacHead+pacEntry*i:]
		offset := int(binary.LittleEndian.Uint64(e[8:])) + 4
		switch binary.LittleEndian.Uint32(e) {
		case server:
			at = offset
			clear(b[offset:][:size])
		case kdc:
			clear(b[offset:][:size])
		}
	}
	etype, err := crypto.GetEtype(key.KeyType)
	must(t, err)
	sum, err := etype.GetChecksumHash(key.KeyValue, b, keyusage.KERB_NON_KERB_CKSUM_SALT)
	must(t, err)
	copy(b[at:], sum)
	return b
}

// subAuthorities are those of a domain's SID behind the 21.
func subAuthorities(t *testing.T, sid string) (b []byte) {
	t.Helper()
	for _, s := range strings.Split(sid, "-")[4:] {
		n, err := strconv.ParseUint(s, 10, 32)
		must(t, err)
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// sealedRequest is a request with a ticket that nobody here can open by its realm.
func (h *holder) sealedRequest(t *testing.T) messages.APReq {
	t.Helper()
	realm := h.ticket.Realm
	h.ticket.Realm = testkit.OtherRealm
	req := h.request(t)
	h.ticket.Realm, req.Ticket.Realm = realm, realm
	return req
}

// TestFilter: of a PAC's SIDs those count that its domain gives out, and those that say
// how somebody logged on.
func TestFilter(t *testing.T) {
	r := &Realm{Name: "CORP", SID: "S-1-5-21-1-2-3"}
	sids := []string{"S-1-5-21-1-2-3-513", "S-1-5-65-1", "S-1-18-1", "S-1-5-21-4-5-6-512", "S-1-5-32-544", "S-1-5-21-1-2-3-4-500", "S-1-5-21-1-2-30-512"}
	got, err := r.filter("S-1-5-21-1-2-3-1104", sids)
	must(t, err)
	if want := sids[:3]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, account := range []string{"S-1-5-21-4-5-6-500", "S-1-5-21-1-2-3", "S-1-5-21-1-2-3-", "S-1-5-21-1-2-3-5-500", "S-1-5-21-1-2-30-500"} {
		_, err := r.filter(account, nil)
		wantCause(t, err, auth.CauseForeignSID)
	}
	if got, err := (&Realm{Name: "CORP"}).filter("S-1-5-21-4-5-6-500", sids); err != nil || len(got) != len(sids) {
		t.Errorf("one domain alone: %v, %v", got, err)
	}
}
