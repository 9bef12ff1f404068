package config

import (
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// changes reads what becomes of live sessions when the directory changes.
func (o *object) changes(tier int) auth.Changes {
	s := o.section("changes")
	const terminate, narrow, keep = string(auth.Terminate), string(auth.Narrow), string(auth.Keep)
	c := auth.Changes{
		AnotherGrant:  auth.Reaction(s.oneOf("another_grant", terminate, terminate, narrow)),
		LockedOut:     auth.Reaction(s.oneOf("locked_out", keep, keep, terminate)),
		PasswordReset: auth.Reaction(s.oneOf("password_reset", keep, keep, terminate)),
		SilentPerson:  tierSilence(tier),
		SilentService: day,
	}
	if d := s.duration("directory_silent", 0, time.Second, 30*day); d > 0 {
		c.SilentPerson, c.SilentService = d, d
	}
	s.done()
	return c
}

// tierSilence is how long a person's session goes on while no controller answers,
// unless the grant says so.
func tierSilence(tier int) time.Duration {
	return [...]time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour}[min(max(tier, 0), 3)]
}
