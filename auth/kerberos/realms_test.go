package kerberos

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/messages"

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
