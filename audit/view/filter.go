package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Filter chooses records. All that is set must hold; the zero value lets
// everything pass. Type, Decision, Class and Tag may list several names with
// commas, of which one must apply.
type Filter struct {
	Principal    string // account, UPN or SID, in any case; where nobody was authenticated, the name that was claimed
	Session      string
	Decision     string
	Type         string
	Incident     string
	Role         string
	Database     string
	Class        string
	Tag          string
	Contains     string    // in the text, in any case
	Since, Until time.Time // from Since on, before Until
}

// Check refuses names that no record can have.
func (f *Filter) Check() error {
	decisions := []string{string(audit.Allowed), string(audit.Denied), string(audit.WouldDeny), string(audit.Unavailable)}
	for _, c := range []struct {
		what, given string
		known       []string
	}{
		{"decision", f.Decision, decisions},
		{"type", f.Type, journal.TypeNames()},
		{"class", f.Class, statement.ClassNames()},
		{"tag", f.Tag, statement.TagNames()},
	} {
		for _, name := range list(c.given) {
			if !containsFold(c.known, name) {
				return fmt.Errorf("no such %s: %q; there are %s", c.what, name, strings.Join(c.known, ", "))
			}
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fmt.Errorf("since (%s) is not before until (%s)", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	return nil
}

// Match says whether the record is chosen.
func (f *Filter) Match(r *journal.Record) bool {
	switch {
	case !f.Since.IsZero() && r.Time.Before(f.Since), !f.Until.IsZero() && !r.Time.Before(f.Until):
		return false
	case !oneOf(f.Type, string(r.Type)), !oneOf(f.Decision, string(r.Decision)):
		return false
	case f.Session != "" && !strings.EqualFold(f.Session, r.Session):
		return false
	case f.Incident != "" && !strings.EqualFold(f.Incident, r.Incident):
		return false
	case f.Role != "" && f.Role != r.Role, f.Database != "" && f.Database != r.Database:
		return false
	case !anyOf(f.Class, r.Class), !anyOf(f.Tag, r.Tags):
		return false
	case f.Contains != "" && !strings.Contains(strings.ToLower(r.Text), strings.ToLower(f.Contains)):
		return false
	}
	return f.Principal == "" || isPrincipal(f.Principal, r)
}

// isPrincipal compares with what the directory said, and with the claimed name
// where it said nothing: a failed log-in belongs to the account it was meant for.
func isPrincipal(want string, r *journal.Record) bool {
	p := &r.Principal
	if p.Account != "" || p.UPN != "" || p.SID != "" {
		return strings.EqualFold(want, p.Account) || strings.EqualFold(want, p.UPN) || strings.EqualFold(want, p.SID)
	}
	if r.User == "" {
		return false
	}
	return strings.EqualFold(want, r.User) || strings.EqualFold(want, bareName(r.User))
}

// bareName takes the domain off CORP\alice and alice@corp.example.com.
func bareName(name string) string {
	if _, after, ok := strings.Cut(name, `\`); ok {
		return after
	}
	before, _, _ := strings.Cut(name, "@")
	return before
}

func list(names string) []string {
	if names == "" {
		return nil
	}
	out := strings.Split(names, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

func oneOf(names, have string) bool {
	return names == "" || containsFold(list(names), have)
}

func anyOf(names string, have []string) bool {
	return names == "" || slices.ContainsFunc(have, func(h string) bool { return containsFold(list(names), h) })
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}
