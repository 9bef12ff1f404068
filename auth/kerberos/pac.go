package kerberos

import (
	"encoding/binary"
	"io"
	"log"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/pac"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
)

// The head of a PAC (MS-PAC section 2.3): the number of buffers, the version,
// and for each buffer its type, size and offset.
const (
	pacHead     = 8
	pacEntry    = 16
	mostBuffers = 64
	// mostSIDs bounds what is taken of a PAC. A Windows token holds 1,015.
	mostSIDs = 4096
	// mostThrough bounds the services that a ticket may have come through.
	mostThrough = 16
)

// readPAC enters the SID of the ticket's holder and those of its groups, and of how it
// logged on, and through whom the ticket came. A ticket without a PAC, or with one that this
// key did not sign, is refused.
func readPAC(req *messages.APReq, key types.EncryptionKey, into *auth.Ticket) error {
	t := &req.Ticket.DecryptedEncPart
	raw, err := findPAC(t.AuthorizationData)
	if err != nil {
		return err
	}
	p := pac.PACType{}
	if err := p.Unmarshal(raw); err != nil {
		return malformed("the PAC cannot be read: %w", err)
	}
	if err := p.ProcessPACInfoBuffers(key, log.New(io.Discard, "", 0)); err != nil {
		return refusal(auth.CauseTicketForged, "the PAC is not in order: %w", err)
	}
	// MS-PAC section 2.7: who the PAC is for, and when they logged on.
	if !strings.EqualFold(p.ClientInfo.Name, t.CName.NameString[0]) || p.ClientInfo.ClientID.Time().Unix() != t.AuthTime.Unix() {
		return refusal(auth.CauseIdentityMismatch, "the PAC is that of %q, the ticket that of %q", p.ClientInfo.Name, clientName(&req.Ticket))
	}
	info := p.KerbValidationInfo
	if info.UserID == 0 || len(info.LogonDomainID.SubAuthority) == 0 {
		return refusal(auth.CauseNoPAC, "the PAC holds no SID of the account")
	}
	account := info.LogonDomainID
	account.SubAuthority = append(append([]uint32(nil), account.SubAuthority...), info.UserID)
	into.SID, into.SIDs = account.String(), info.GetGroupMembershipSIDs()
	if len(into.SIDs) > mostSIDs {
		return malformed("the PAC holds %d SIDs", len(into.SIDs))
	}
	into.Through, err = through(&p)
	return err
}

// through names the services that a ticket was passed on by (MS-PAC section 2.9).
func through(p *pac.PACType) (names []string, err error) {
	const delegation = 11
	told := slices.ContainsFunc(p.Buffers, func(b pac.InfoBuffer) bool { return b.ULType == delegation })
	switch {
	case !told:
		return nil, nil
	case p.S4UDelegationInfo == nil || len(p.S4UDelegationInfo.S4UTransitedServices) > mostThrough:
		return nil, malformed("whom the ticket came through cannot be read")
	}
	for _, s := range p.S4UDelegationInfo.S4UTransitedServices {
		names = append(names, clip(s.String()))
	}
	return names, nil
}

// filter judges the SIDs of a ticket by what its domain vouches for: the account has
// one of its own, and of the others those of no domain, which say how its holder
// logged on, and its own are kept.
func (r *Realm) filter(account string, sids []string) ([]string, error) {
	if r.SID == "" {
		return sids, nil
	}
	if !r.gives(account) {
		return nil, refusal(auth.CauseForeignSID, "the realm %s vouches for %s, which is not of its domain, %s", r.Name, account, r.SID)
	}
	kept := make([]string, 0, len(sids))
	for _, sid := range sids {
		if r.gives(sid) || !strings.HasPrefix(sid, "S-1-5-21-") && !strings.HasPrefix(sid, "S-1-5-32-") {
			kept = append(kept, sid)
		}
	}
	return kept, nil
}

func (r *Realm) gives(sid string) bool {
	rid, own := strings.CutPrefix(sid, r.SID+"-")
	return own && rid != "" && !strings.Contains(rid, "-")
}

// findPAC looks for the PAC, which stands in an AD-IF-RELEVANT (MS-KILE section
// 3.3.5.6.4.3), and checks that its parts lie within it.
func findPAC(data types.AuthorizationData) ([]byte, error) {
	for _, outer := range data {
		if outer.ADType != adtype.ADIfRelevant {
			continue
		}
		var inner types.AuthorizationData
		if err := inner.Unmarshal(outer.ADData); err != nil {
			return nil, malformed("the authorization data cannot be read: %w", err)
		}
		for _, e := range inner {
			if e.ADType == adtype.ADWin2KPAC {
				return e.ADData, checkPAC(e.ADData)
			}
		}
	}
	return nil, refusal(auth.CauseNoPAC, "the ticket holds no PAC: it is not of Active Directory")
}

func checkPAC(b []byte) error {
	if len(b) < pacHead {
		return malformed("the PAC is cut off")
	}
	n := binary.LittleEndian.Uint32(b)
	if n > mostBuffers || pacHead+pacEntry*int(n) > len(b) {
		return malformed("the PAC has %d parts", n)
	}
	for i := range int(n) {
		e := b[pacHead+pacEntry*i:]
		size, offset := uint64(binary.LittleEndian.Uint32(e[4:])), binary.LittleEndian.Uint64(e[8:])
		if offset > uint64(len(b)) || size > uint64(len(b))-offset {
			return malformed("a part of the PAC lies outside of it")
		}
	}
	return nil
}
