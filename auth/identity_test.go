package auth

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestGroupMatches(t *testing.T) {
	g := Group{SID: "S-1-5-21-1-2-3-1105", Name: "APP-Readers", DN: "CN=APP-Readers,DC=corp"}
	for spec, want := range map[string]bool{
		"APP-Readers": true, "app-readers": true, "S-1-5-21-1-2-3-1105": true, "s-1-5-21-1-2-3-1105": true, "cn=app-readers,dc=CORP": true,
		"": false, "APP": false, "APP-Readers ": false, "S-1-5-21-1-2-3-11": false, "APP-Readers2": false,
	} {
		if got := g.Matches(spec); got != want {
			t.Errorf("%q: %v", spec, got)
		}
	}
	if (Group{}).Matches("") {
		t.Error("an empty specification matches a group without names")
	}
}

func TestBarred(t *testing.T) {
	if got := State(0).Barred(); got != CauseNone {
		t.Errorf("an account in good order is barred: %s", got)
	}
	for s := State(1); s != 0; s++ {
		if s < MustChange<<1 && s.Barred() == CauseNone {
			t.Errorf("state %b is not barred", s)
		}
	}
	if got := (Disabled | PasswordExpired).Barred(); got != CauseDisabled {
		t.Errorf("disabled and expired: %s", got)
	}
}

func TestFailure(t *testing.T) {
	err := error(&Failure{Cause: CauseDirectoryDown, Detail: "dial dc1", Err: io.ErrUnexpectedEOF})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "directory_unavailable: dial dc1") {
		t.Errorf("%v", err)
	}
	if got := (&Failure{Cause: CauseDisabled}).Error(); got != "authentication failed: disabled" {
		t.Errorf("%q", got)
	}
}
