package kerberos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestAccept(t *testing.T) {
	h := alice(t)
	ticket, err := h.acceptor().Accept(h.token(t), here)
	must(t, err)
	part, _ := h.open(t)
	if ticket.Client != "alice@"+testkit.Realm || !strings.HasPrefix(ticket.SID, "S-1-5-21-") || !ticket.Ends.Equal(part.EndTime) || len(ticket.Through) > 0 {
		t.Errorf("accepted as %+v", ticket)
	}
	// S-1-18-1: the domain itself saw the log-on (MS-DTYP section 2.4.2.4).
	domain := ticket.SID[:strings.LastIndexByte(ticket.SID, '-')]
	if !slices.Contains(ticket.SIDs, domain+"-513") || !slices.Contains(ticket.SIDs, "S-1-18-1") {
		t.Errorf("the ticket's SIDs are %v", ticket.SIDs)
	}
	h.proves(t, ticket.Reply, h.now)
}

// TestDelegated: of a ticket that a service got in somebody's name it is known through whom
// it came.
func TestDelegated(t *testing.T) {
	c := testkit.SharedController(t)
	cache, _, err := c.Impersonate(t.Context(), t.TempDir(), "alice")
	must(t, err)
	tickets, err := credentials.LoadCCache(cache)
	must(t, err)
	h := &holder{keytab: readKeytab(t, c.Keytab()), now: time.Now()}
	for _, cred := range tickets.GetEntries() {
		if cred.Server.PrincipalName.PrincipalNameString() == testkit.ProxyPrincipal {
			must(t, h.ticket.Unmarshal(cred.Ticket))
			h.key = cred.Key
		}
	}
	got, err := h.acceptor().Accept(h.token(t), here)
	must(t, err)
	if got.Client != "alice@"+testkit.Realm || !slices.Equal(got.Through, []string{testkit.WebAccount + "@" + testkit.Realm}) {
		t.Errorf("the ticket of %s came through %q", got.Client, got.Through)
	}
	// S-1-18-2: that a service said who it is (MS-DTYP section 2.4.2.4).
	if slices.Contains(got.SIDs, "S-1-18-1") || !slices.Contains(got.SIDs, "S-1-18-2") {
		t.Errorf("the ticket's SIDs are %v", got.SIDs)
	}
}

func TestReplyOnRequest(t *testing.T) {
	h := alice(t)
	a := h.acceptor()
	ticket, err := a.Accept(h.token(t, func(x *types.Authenticator) { x.Cksum = contextChecksum(0) }), here)
	must(t, err)
	if ticket.Reply != nil {
		t.Error("nobody asked for a reply")
	}
	req := h.request(t, func(x *types.Authenticator) { x.Cksum = contextChecksum(0) })
	types.SetFlag(&req.APOptions, 2) // mutual-required
	if ticket, err = a.Accept(frame(t, req), here); err != nil || ticket.Reply == nil {
		t.Errorf("%+v, %v", ticket, err)
	}
}

// TestShortCipher is the first fault of the library: a cipher that is shorter
// than its MAC makes it panic, before anything is proved.
func TestShortCipher(t *testing.T) {
	h := alice(t)
	a := h.acceptor()
	for n := range minCipher {
		req := h.request(t)
		req.Ticket.EncPart.Cipher = req.Ticket.EncPart.Cipher[:n]
		_, err := a.Accept(frame(t, req), here)
		wantCause(t, err, auth.CauseTicketMalformed)
		req = h.request(t)
		req.EncryptedAuthenticator.Cipher = req.EncryptedAuthenticator.Cipher[:n]
		_, err = a.Accept(frame(t, req), here)
		wantCause(t, err, auth.CauseTicketMalformed)
	}
}

// TestForgedNames is the second: the library takes the realm of the
// authenticator, which the client writes.
func TestForgedNames(t *testing.T) {
	h := alice(t)
	a := h.acceptor()
	for name, forge := range map[string]func(*types.Authenticator){
		"realm":           func(x *types.Authenticator) { x.CRealm = "EVIL.EXAMPLE.ORG" },
		"realm's case":    func(x *types.Authenticator) { x.CRealm = strings.ToLower(x.CRealm) },
		"name":            func(x *types.Authenticator) { x.CName.NameString = []string{"bob"} },
		"name with parts": func(x *types.Authenticator) { x.CName.NameString = []string{"alice", "admin"} },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Accept(h.token(t, forge), here)
			wantCause(t, err, auth.CauseIdentityMismatch)
		})
	}
}

// TestReplay is the third: the library looks into its cache, and adds later.
func TestReplay(t *testing.T) {
	h := alice(t)
	a := h.acceptor()
	const rounds, racers = 200, 8
	for range rounds {
		token := h.token(t)
		var accepted atomic.Int32
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range racers {
			all.Go(func() {
				<-begin
				if _, err := a.Accept(token, here); err == nil {
					accepted.Add(1)
				}
			})
		}
		close(begin)
		all.Wait()
		if n := accepted.Load(); n != 1 {
			t.Fatalf("accepted %d times", n)
		}
	}
	token := h.token(t)
	_, err := a.Accept(token, here)
	must(t, err)
	for _, later := range []time.Duration{0, skew, 2*skew - time.Second} {
		h.now = h.now.Add(later)
		if _, err := a.Accept(token, here); err == nil {
			t.Errorf("accepted again after %s", later)
		}
	}
	// One who reloads keeps the cache.
	h.now = time.Now()
	token = h.token(t)
	_, err = a.Accept(token, here)
	must(t, err)
	again := New(a.options, a.replays)
	again.now = a.now
	_, err = again.Accept(token, here)
	wantCause(t, err, auth.CauseTicketReplayed)
}

func TestReplayFromBefore(t *testing.T) {
	h := alice(t)
	a := New(h.acceptor().options, newReplays(h.now))
	a.now = func() time.Time { return h.now }
	_, err := a.Accept(h.token(t, func(x *types.Authenticator) { x.CTime = x.CTime.Add(-time.Second) }), here)
	wantCause(t, err, auth.CauseTicketReplayed)
}

func TestReplaysAreBounded(t *testing.T) {
	now := time.Now()
	r := newReplays(now)
	var err error
	n := 0
	for ; n < 2*mostReplaysEach && err == nil; n++ {
		err = r.add(fmt.Append(nil, n), "alice", now, now)
	}
	wantCause(t, err, auth.CauseTooManyAttempts)
	if n-1 != mostReplaysEach {
		t.Errorf("alice got in %d times", n-1)
	}
	must(t, r.add([]byte("bob's"), "bob", now, now))
	now = now.Add(2 * skew)
	must(t, r.add([]byte("later"), "alice", now, now))
	wantCause(t, r.add([]byte("later"), "alice", now, now), auth.CauseTicketReplayed)
	now = now.Add(4 * skew)
	must(t, r.add([]byte("much later"), "alice", now, now))
	if len(r.old) != 0 || len(r.young) != 1 {
		t.Errorf("%d and %d are kept", len(r.old), len(r.young))
	}
}

// TestExpiredTicket is the fourth: the library takes tickets for the clock skew
// longer than they last.
func TestExpiredTicket(t *testing.T) {
	h := alice(t)
	part, _ := h.open(t)
	for _, c := range []struct {
		at    time.Time
		cause auth.Cause
	}{
		{part.EndTime.Add(-time.Second), auth.CauseNone},
		{part.EndTime, auth.CauseTicketExpired},
		{part.EndTime.Add(time.Second), auth.CauseTicketExpired},
		{part.EndTime.Add(skew - time.Second), auth.CauseTicketExpired},
		{part.StartTime.Add(-skew - time.Second), auth.CauseTicketEarly},
	} {
		h.now = c.at
		_, err := h.acceptor().Accept(h.token(t), here)
		if c.cause == auth.CauseNone {
			must(t, err)
			continue
		}
		wantCause(t, err, c.cause)
	}
}

// TestTicketWithoutPAC is the fifth. The ticket is genuine but for that.
func TestTicketWithoutPAC(t *testing.T) {
	h := alice(t)
	h.reseal(t, func(p *messages.EncTicketPart) { p.AuthorizationData = nil })
	_, err := h.acceptor().Accept(h.token(t), here)
	wantCause(t, err, auth.CauseNoPAC)
	h.reseal(t, func(p *messages.EncTicketPart) {
		empty, err := asn1.Marshal(types.AuthorizationData{})
		must(t, err)
		p.AuthorizationData = types.AuthorizationData{{ADType: 1, ADData: empty}, {ADType: 128, ADData: []byte("not inside AD-IF-RELEVANT")}}
	})
	_, err = h.acceptor().Accept(h.token(t), here)
	wantCause(t, err, auth.CauseNoPAC)
}

// TestPAC changes what only who has the key can reach: each byte of the PAC is
// signed, or skipped.
func TestPAC(t *testing.T) {
	h := alice(t)
	part, _ := h.open(t)
	var inner types.AuthorizationData
	must(t, inner.Unmarshal(part.AuthorizationData[0].ADData))
	good := inner[0].ADData
	with := func(t *testing.T, pac []byte) error {
		t.Helper()
		x := *h
		x.reseal(t, func(p *messages.EncTicketPart) {
			data, err := asn1.Marshal(types.AuthorizationData{{ADType: 128, ADData: pac}})
			must(t, err)
			p.AuthorizationData = types.AuthorizationData{{ADType: 1, ADData: data}}
		})
		_, err := x.acceptor().Accept(x.token(t), here)
		return err
	}
	must(t, with(t, good))
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 0x10
		if err := with(t, bad); err == nil && !unsigned(good, at) {
			t.Errorf("byte %d of %d may be changed", at, len(good))
		}
	}
	for _, n := range []int{0, 1, 7, 8, 24, len(good) / 2, len(good) - 1} {
		if with(t, good[:n]) == nil {
			t.Errorf("%d of %d bytes are taken for a PAC", n, len(good))
		}
	}
	b := logOn(t, "bob", testkit.BobPassword, testkit.ProxyPrincipal)
	theirs, _ := b.open(t)
	h.reseal(t, func(p *messages.EncTicketPart) { p.AuthorizationData = theirs.AuthorizationData })
	_, err := h.acceptor().Accept(h.token(t), here)
	wantCause(t, err, auth.CauseIdentityMismatch)
}

// unsigned reports whether the byte is of a signature of the domain's own keys,
// which stand as zero when the PAC is signed and which only the domain can check
// (MS-PAC section 2.8).
func unsigned(pac []byte, at int) bool {
	const kdc, head = 7, 4
	for i := range int(pac[0]) {
		e := pac[pacHead+pacEntry*i:]
		offset, size := int(e[8])|int(e[9])<<8, int(e[4])|int(e[5])<<8
		if e[0] == kdc && at >= offset+head && at < offset+size {
			return true
		}
	}
	return false
}

func TestRefusals(t *testing.T) {
	h := alice(t)
	part, _ := h.open(t)
	service := logOn(t, "alice", testkit.AlicePassword, "host/"+testkit.ControllerName)
	request := func(change func(*messages.APReq)) []byte {
		req := h.request(t)
		change(&req)
		return frame(t, req)
	}
	sealed := func(change func(*messages.EncTicketPart)) []byte {
		x := *h
		x.reseal(t, change)
		return x.token(t)
	}
	good := h.token(t)
	stolen := *h
	stolen.key.KeyValue = make([]byte, len(h.key.KeyValue))
	service.keytab = h.keytab
	for _, c := range []struct {
		name  string
		token []byte
		cause auth.Cause
	}{
		{"nothing", nil, auth.CauseTicketMalformed},
		{"a password", []byte("Passw0rd\x00"), auth.CauseTicketMalformed},
		{"too long", wrap(make([]byte, MaxToken-3)), auth.CauseTicketMalformed},
		{"SPNEGO", wrap(slices.Concat(negotiated, good)), auth.CauseTicketMalformed},
		{"another mechanism", wrap(append([]byte{6, 1, 0}, good...)), auth.CauseTicketMalformed},
		{"an AP-REP", wrap(slices.Concat(mechanism, idReply, good[20:])), auth.CauseTicketMalformed},
		{"bytes behind it", append(slices.Clone(good), 0), auth.CauseTicketMalformed},
		{"bytes inside it", wrap(append(slices.Clone(good[4:]), 0)), auth.CauseTicketMalformed},
		{"version 4", request(func(r *messages.APReq) { r.PVNO = 4 }), auth.CauseTicketMalformed},
		{"user to user", request(func(r *messages.APReq) { types.SetFlag(&r.APOptions, 1) }), auth.CauseTicketMalformed},
		{"no name of a service", request(func(r *messages.APReq) { r.Ticket.SName.NameString = []string{} }), auth.CauseTicketMalformed},
		{"a ticket-granting ticket", request(func(r *messages.APReq) { r.Ticket.SName.NameString = []string{"krbtgt", testkit.Realm} }), auth.CauseTicketService},
		{"another service", request(func(r *messages.APReq) { r.Ticket.SName.NameString = []string{"host", testkit.ProxyName} }), auth.CauseTicketService},
		{"another host", request(func(r *messages.APReq) { r.Ticket.SName.NameString = []string{"postgres", "other.example.com"} }), auth.CauseTicketKey},
		{"another realm", request(func(r *messages.APReq) { r.Ticket.Realm = "EVIL.EXAMPLE.ORG" }), auth.CauseTicketRealm},
		{"RC4", request(func(r *messages.APReq) { r.Ticket.EncPart.EType = etypeID.RC4_HMAC }), auth.CauseTicketKey},
		{"no such version", request(func(r *messages.APReq) { r.Ticket.EncPart.KVNO = 77 }), auth.CauseTicketKey},
		{"another key", request(func(r *messages.APReq) { r.Ticket.EncPart.Cipher = make([]byte, 1000) }), auth.CauseTicketForged},
		{"an authenticator of another type", request(func(r *messages.APReq) { r.EncryptedAuthenticator.EType = etypeID.AES128_CTS_HMAC_SHA1_96 }), auth.CauseTicketMalformed},
		{"a stolen ticket", stolen.token(t), auth.CauseTicketForged},
		{"a client of another realm", sealed(func(p *messages.EncTicketPart) { p.CRealm = "EVIL.EXAMPLE.ORG" }), auth.CauseTicketRealm},
		{"a service as client", sealed(func(p *messages.EncTicketPart) { p.CName.NameString = []string{"postgres", "x"} }), auth.CauseNotAPerson},
		{"nobody as client", sealed(func(p *messages.EncTicketPart) { p.CName.NameString = []string{""} }), auth.CauseNotAPerson},
		{"an invalid ticket", sealed(func(p *messages.EncTicketPart) { types.SetFlag(&p.Flags, flags.Invalid) }), auth.CauseTicketEarly},
		{"another address", sealed(func(p *messages.EncTicketPart) {
			p.CAddr = types.HostAddresses{{AddrType: addrtype.IPv4, Address: []byte{192, 0, 2, 1}}}
		}), auth.CauseTicketAddress},
		{"no checksum", h.token(t, func(x *types.Authenticator) { x.Cksum = types.Checksum{} }), auth.CauseTicketMalformed},
		{"a checksum of another kind", h.token(t, func(x *types.Authenticator) { x.Cksum.CksumType = 16 }), auth.CauseTicketMalformed},
		{"a short checksum", h.token(t, func(x *types.Authenticator) { x.Cksum.Checksum = x.Cksum.Checksum[:23] }), auth.CauseTicketMalformed},
		{"DCE style", h.token(t, func(x *types.Authenticator) { x.Cksum = contextChecksum(flagDCE) }), auth.CauseTicketMalformed},
		{"a slow clock", h.token(t, func(x *types.Authenticator) { x.CTime = x.CTime.Add(-skew - 2*time.Second) }), auth.CauseClockSkew},
		{"a fast clock", h.token(t, func(x *types.Authenticator) { x.CTime = x.CTime.Add(skew + 2*time.Second) }), auth.CauseClockSkew},
		{"the controller's ticket", func() []byte {
			req, err := messages.NewAPReq(service.ticket, service.key, func() types.Authenticator {
				a, err := types.NewAuthenticator(part.CRealm, part.CName)
				must(t, err)
				return a
			}())
			must(t, err)
			return frame(t, req)
		}(), auth.CauseTicketService},
	} {
		t.Run(c.name, func(t *testing.T) {
			ticket, err := h.acceptor().Accept(c.token, here)
			wantCause(t, err, c.cause)
			if ticket.SID != "" || ticket.Reply != nil {
				t.Errorf("beside the refusal: %+v", ticket)
			}
		})
	}
}

func TestAddressOfTicket(t *testing.T) {
	h := alice(t)
	h.reseal(t, func(p *messages.EncTicketPart) {
		p.CAddr = types.HostAddresses{{AddrType: addrtype.IPv6, Address: netip.MustParseAddr("2001:db8::1").AsSlice()}}
	})
	_, err := h.acceptor().Accept(h.token(t), netip.MustParseAddr("2001:db8::1"))
	must(t, err)
	_, err = h.acceptor().Accept(h.token(t), here)
	wantCause(t, err, auth.CauseTicketAddress)
}

// TestDamagedToken flips each bit and cuts at each byte. What still gets in
// is what it was: some bits, of options and lengths, mean nothing.
func TestDamagedToken(t *testing.T) {
	h := alice(t)
	token := h.token(t)
	want, err := h.acceptor().Accept(token, here)
	must(t, err)
	for i := range token {
		if _, err := h.acceptor().Accept(token[:i], here); err == nil {
			t.Errorf("accepted when cut at %d", i)
		}
		for bit := range 8 {
			bad := slices.Clone(token)
			bad[i] ^= 1 << bit
			got, err := h.acceptor().Accept(bad, here)
			if err == nil && (got.Client != want.Client || got.SID != want.SID) {
				t.Fatalf("byte %d, bit %d makes %+v", i, bit, got)
			}
		}
	}
}

// TestSeveralKeys changes the service's password: who holds a ticket of the old
// key gets in as well as who has a new one.
func TestSeveralKeys(t *testing.T) {
	c := testkit.SharedController(t)
	must(t, c.CreateUser(t.Context(), "svc-keys", "First-Passw0rd-0f-it"))
	must(t, c.SetAttribute(t.Context(), "svc-keys", "servicePrincipalName", "postgres/keys.corp.example.com"))
	must(t, c.SetAttribute(t.Context(), "svc-keys", "msDS-SupportedEncryptionTypes", "24"))
	file := filepath.Join(t.TempDir(), "keytab")
	must(t, c.ExportKeytab(t.Context(), file, "postgres/keys.corp.example.com"))
	first := logOn(t, "alice", testkit.AlicePassword, "postgres/keys.corp.example.com")
	first.keytab = readKeytab(t, file)
	must(t, c.SetPassword(t.Context(), "svc-keys", "Second-Passw0rd-0f-it"))
	second := logOn(t, "alice", testkit.AlicePassword, "postgres/keys.corp.example.com")

	if first.ticket.EncPart.KVNO == second.ticket.EncPart.KVNO {
		t.Fatal("the domain did not change the key's version")
	}
	second.keytab = first.keytab
	must(t, c.ExportKeytab(t.Context(), file, "postgres/keys.corp.example.com"))
	both := readKeytab(t, file)
	if keys, _ := both.Keys(); len(keys) != 4 {
		t.Errorf("the keytab holds %v", keys)
	}
	first.keytab, second.keytab = both, both
	for _, h := range []*holder{first, second} {
		_, err := h.acceptor().Accept(h.token(t), here)
		must(t, err)
	}
}

func TestReadKeytab(t *testing.T) {
	data, err := os.ReadFile(testkit.SharedController(t).Keytab())
	must(t, err)
	k, err := ReadKeytab(data)
	must(t, err)
	if !k.Serves("postgres", testkit.Realm) || k.Serves("http", testkit.Realm) || k.Serves("postgres", "OTHER") {
		t.Error("Serves is wrong")
	}
	keys, ignored := k.Keys()
	if len(keys) != 2 || keys[0].Principal() != testkit.ProxyPrincipal+"@"+testkit.Realm {
		t.Errorf("the keytab holds %v and %d that are ignored", keys, ignored)
	}
	if s := fmt.Sprintf("%v %+v %#v %s %q", k, k, k, k, k); strings.ReplaceAll(s, unprintable, "") != "    " {
		t.Errorf("a keytab prints %q", s)
	}
	for i := range data {
		if _, err := ReadKeytab(data[:i]); err != nil && bytes.Contains([]byte(err.Error()), data[max(0, i-8):i]) && i > 16 {
			t.Errorf("cut at %d, the error quotes the file: %v", i, err)
		}
	}
}

// TestReplaysAreHandedOver: a successor knows what was used before it, and takes an
// authenticator from before its own beginning that was not.
func TestReplaysAreHandedOver(t *testing.T) {
	began := time.Now()
	before := newReplays(began)
	made := began.Add(time.Second)
	if err := before.add([]byte("used"), "alice", made, made); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	after := newReplays(began.Add(time.Minute))
	if err := json.Unmarshal(data, after); err != nil {
		t.Fatal(err)
	}
	var refused *auth.Failure
	if err := after.add([]byte("used"), "alice", made, made); !errors.As(err, &refused) || refused.Cause != auth.CauseTicketReplayed {
		t.Errorf("one that was used: %v", err)
	}
	if err := after.add([]byte("new"), "alice", made, made); err != nil {
		t.Errorf("one that was not: %v", err)
	}
	for _, damaged := range []string{`{"young":"AAAA"}`, `[]`} {
		if err := json.Unmarshal([]byte(damaged), after); err == nil {
			t.Errorf("%s is taken", damaged)
		}
	}
}
