package services

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// The causes of the records about owners, beside auth.CauseServiceQuarantined.
const (
	CauseOwnerGone = "owner_gone"
	CauseReleased  = "service_released" // from quarantine
)

// gone are the states in which nobody answers for a service. A lock-out and an old
// password pass.
var gone = map[string]bool{
	string(auth.CauseDisabled): true, string(auth.CauseAccountExpired): true, string(auth.CauseNoSuchAccount): true,
	string(auth.CauseNotAPerson): true, string(auth.CauseIdentityMismatch): true,
	string(auth.CauseUnknownDomain): true,
}

// owner looks at the owner of a service, and returns the state of that account. It
// warns when the owner is gone, and puts the service in quarantine when that lasts.
func (k *Keeper) owner(ctx context.Context, resolver auth.Resolver, id *auth.Identity, t *auth.Terms, m *remembered) string {
	state := findOwner(ctx, resolver, t, m)
	switch {
	case state == stateUnknown: // that the directory is silent says nothing of the owner
	case gone[state]:
		k.ownerGone(id, t, m, state)
	case m.Quarantined != "" && !k.tell(id, CauseReleased, fmt.Sprintf("the account of %s, who answers for it, is in order", t.Owner)):
	default:
		m.OwnerGone = time.Time{}
		m.release()
	}
	return state
}

// findOwner reads the owner's account. From then on it is that account, whatever it
// is called: who gets the name of somebody who left does not answer for the service.
func findOwner(ctx context.Context, resolver auth.Resolver, t *auth.Terms, m *remembered) string {
	if m.Owner != t.Owner {
		m.Owner, m.OwnerGUID, m.OwnerSID = t.Owner, "", ""
	}
	var id auth.Identity
	var err error
	if m.OwnerGUID == "" {
		id, err = resolver.Lookup(ctx, t.Owner)
	} else {
		id, err = resolver.Refresh(ctx, auth.Identity{GUID: m.OwnerGUID, SID: m.OwnerSID})
	}
	if err == nil {
		m.OwnerGUID, m.OwnerSID = id.GUID, id.SID
		if id.Kind == auth.Service {
			return string(auth.CauseNotAPerson)
		}
	}
	return stateOf(&id, err)
}

func (k *Keeper) ownerGone(id *auth.Identity, t *auth.Terms, m *remembered, state string) {
	now := time.Now().UTC()
	if m.OwnerGone.IsZero() {
		then := "and the service goes on"
		if t.OwnerGone != auth.Keep {
			then = fmt.Sprintf("and the service is in quarantine from %s on", now.Add(t.OwnerGrace).Format(time.RFC3339))
		}
		if !k.tell(id, CauseOwnerGone, fmt.Sprintf("the account of %s, who answers for it, is %s, %s", t.Owner, words(state), then)) {
			return
		}
		m.OwnerGone = now
	}
	switch {
	case t.OwnerGone == auth.Keep:
		m.release()
	case m.Quarantined == "" && now.Sub(m.OwnerGone) >= t.OwnerGrace:
		why := fmt.Sprintf("the account of %s, who answers for it, is %s since %s: name another owner", t.Owner, words(state), m.OwnerGone.Format(time.RFC3339))
		if k.tell(id, string(auth.CauseServiceQuarantined), why) {
			m.Quarantined = why
		}
	}
}
