package auth

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestTermsState(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		terms Terms
		set   time.Time // the password
		want  Cause
	}{
		{"no terms", Terms{}, now.AddDate(-9, 0, 0), CauseNone},
		{"not over", Terms{Ends: now.Add(time.Second)}, now, CauseNone},
		{"over", Terms{Ends: now}, now, CauseServiceExpired},
		{"a young password", Terms{PasswordAge: time.Hour}, now.Add(-time.Hour), CauseNone},
		{"an old one", Terms{PasswordAge: time.Hour}, now.Add(-time.Hour - 1), CauseServicePassword},
		{"one that has to be changed", Terms{PasswordAge: time.Hour}, time.Time{}, CauseServicePassword},
	} {
		if got := c.terms.State(c.set, now).Barred(); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestTermsRefuse(t *testing.T) {
	terms := &Terms{Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/48")}, Methods: []Method{Certificate, Kerberos}}
	for _, c := range []struct {
		source string
		method Method
		want   Cause
	}{
		{"10.1.2.3", Kerberos, CauseNone},
		{"::ffff:10.1.2.3", Certificate, CauseNone},
		{"2001:db8::1", Kerberos, CauseNone},
		{"10.2.0.1", Kerberos, CauseServiceSource},
		{"::1", Kerberos, CauseServiceSource},
		{"10.1.2.3", Password, CauseServiceMethod},
		{"10.1.2.3", "", CauseServiceMethod},
	} {
		cause, detail := terms.Refuses(&Request{Source: netip.MustParseAddr(c.source), Method: c.method})
		if cause != c.want || (cause != CauseNone) != strings.Contains(detail, "declared") {
			t.Errorf("%s by %s: %q: %s", c.source, c.method, cause, detail)
		}
	}
	if cause, _ := (*Terms)(nil).Refuses(&Request{}); cause != CauseNone || !(*Terms)(nil).Allows("r") {
		t.Error("without terms something is refused")
	}
}

func TestEnds(t *testing.T) {
	early := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	late := early.AddDate(0, 0, 1)
	for _, c := range []struct {
		account, declared, want time.Time
		cause                   Cause
	}{
		{time.Time{}, time.Time{}, time.Time{}, CauseAccountExpired},
		{late, time.Time{}, late, CauseAccountExpired},
		{time.Time{}, late, late, CauseServiceExpired},
		{late, early, early, CauseServiceExpired},
		{early, late, early, CauseAccountExpired},
	} {
		id := Identity{Expires: c.account, Terms: &Terms{Ends: c.declared}}
		if at, cause := id.Ends(); !at.Equal(c.want) || cause != c.cause {
			t.Errorf("%+v: %s, %s", c, at, cause)
		}
	}
}

// TestOverlookTerms: a password that has got too old ends live sessions by rule, like
// one that expired; a declaration that is over always does.
func TestOverlookTerms(t *testing.T) {
	both := ServiceExpired | PasswordTooOld
	if got := (&Changes{PasswordReset: Keep}).Overlook(both); got != ServiceExpired {
		t.Errorf("%b", got)
	}
	if got := (&Changes{PasswordReset: Terminate}).Overlook(both); got != both {
		t.Errorf("%b", got)
	}
}
