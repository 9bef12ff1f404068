package directory

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// TestPath: the shortest way is told, through groups that are in each other, too.
func TestPath(t *testing.T) {
	m := &Memberships{
		direct: map[string]bool{"team": true, "office": true, "users": true},
		above:  map[string][]string{"team": {"staff"}, "staff": {"team", "readers"}, "office": {"staff", "site"}, "site": {"all"}, "all": {"readers"}},
		groups: map[string]auth.Group{},
	}
	for _, sid := range []string{"team", "office", "users", "staff", "site", "all", "readers", "elsewhere"} {
		m.groups[sid] = auth.Group{SID: sid}
	}
	for sid, want := range map[string]string{
		"team": "team", "users": "users", "staff": "office staff", "readers": "office staff readers", "all": "office site all", "elsewhere": "", "unknown": "",
	} {
		var got []string
		for _, g := range m.Path(sid) {
			got = append(got, g.SID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: by way of %v", sid, got)
		}
	}
}

func TestPrimaryGroup(t *testing.T) {
	e := ldap.NewEntry("CN=x", map[string][]string{"primaryGroupID": {"513"}})
	if got := primaryGroup("S-1-5-21-1-2-3-1104", e); got != "S-1-5-21-1-2-3-513" {
		t.Error(got)
	}
	if got := primaryGroup("", ldap.NewEntry("CN=x", nil)); got != "" {
		t.Error(got)
	}
}
