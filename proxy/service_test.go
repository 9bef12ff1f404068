package proxy

import (
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// TestQuarantineMeetsALogin: a service that is put in quarantine between the choice of
// its grant and its session ends with the beginning of that, and waits for no keeper.
func TestQuarantineMeetsALogin(t *testing.T) {
	s := newcomers(nil)
	c := s.enter(t, auth.Identity{Account: "svc", Domain: corp, GUID: "1", SID: "S-1-5-21-1-2-3-1104"}, staff)
	s.deaden(c) // it is logging in still
	if n := s.Quarantine(map[string]string{"S-1-5-21-1-2-3-1104": "its owner is gone"}, time.Now()); n != 0 {
		t.Fatalf("%d sessions were ended", n)
	}
	s.enliven(c)
	c.catchUp()
	if ended(c) != "service_quarantined" {
		t.Errorf("ended for %q", ended(c))
	}
}
