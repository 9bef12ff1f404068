package proxy

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/pgcustos/pgcustos/auth"
)

// TestSessionsShareTheirAccount: what two sessions of one account read of it is one
// piece of memory where it is the same, and each one's own where it is not.
func TestSessionsShareTheirAccount(t *testing.T) {
	read := func(groups int) auth.Identity {
		id := auth.Identity{Account: fmt.Sprint("ali", "ce"), DN: fmt.Sprint("CN=", "alice")}
		for i := range groups {
			id.Groups = append(id.Groups, auth.Group{SID: fmt.Sprintf("S-1-5-21-%d", i), Name: fmt.Sprintf("group %d", i)})
		}
		return id
	}
	var r reading
	first, same, moved := read(3), read(3), read(4)
	for _, id := range []*auth.Identity{&first, &same, &moved} {
		r.share(id)
	}
	if unsafe.SliceData(first.Groups) != unsafe.SliceData(same.Groups) || unsafe.StringData(first.DN) != unsafe.StringData(same.DN) {
		t.Error("the same account is kept twice")
	}
	if len(moved.Groups) != 4 || len(first.Groups) != 3 || !slices.Equal(first.Groups, moved.Groups[:3]) {
		t.Errorf("one session's groups became another's: %v, %v", first.Groups, moved.Groups)
	}
	r.forget()
	if r.last.Groups != nil {
		t.Error("an account without sessions is kept")
	}
}
