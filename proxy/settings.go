package proxy

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// settingsAlways lists the parameters that every client may set at start-up: those that
// drivers send of themselves, about the form of what they exchange.
var settingsAlways = map[string]bool{
	"application_name": true, "client_encoding": true, "datestyle": true,
	"timezone": true, "intervalstyle": true, "extra_float_digits": true, "jit": true,
}

// judgeSettings judges the start-up parameters as a SET of each under the grant. It
// refuses the session where one is denied.
func (c *session) judgeSettings(ctx context.Context, g *auth.Grant) bool {
	asked := settingsToJudge(c.hello.Request.Settings)
	if len(asked) == 0 {
		return true
	}
	j := statement.For(c.server.judge, c.account).Judge(ctx, []byte(settingsSQL(asked)), statement.UTF8)
	d := g.Decide(j, auth.PathDefault)
	if d.Allowed {
		return true
	}
	name := asked[d.Statement].Name // of what could not be read the first
	e := &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.InsufficientPrivilege,
		Message:  fmt.Sprintf("permission denied to set parameter \"%s\" at start-up", printable(name)),
		Detail:   fmt.Sprintf("Rule %q does not give role %q %s.", g.Rule, g.Role, d.Missing),
		Hint:     fmt.Sprintf("Leave the parameter out of the connection string, or ask for a rule that allows %s.", strings.TrimPrefix(d.Missing, "class ")),
	}
	if d.Kept != "" {
		d.Missing = "object " + d.Kept
		e.Detail = fmt.Sprintf("Rule %q keeps role %q from %s.", g.Rule, g.Role, d.Kept)
		e.Hint = "Leave the parameter out of the connection string."
	}
	if g.Mode == auth.Observe {
		c.record(&audit.Event{
			Type: audit.Authorization, Decision: audit.WouldDeny, Cause: settingNotAllowed, Detail: e.Message, Missing: d.Missing,
			Claimed: c.hello.Request.User,
		})
		return true
	}
	c.refuseLacking(settingNotAllowed, d.Missing, e)
	return false
}

const settingNotAllowed = "setting_not_allowed"

func settingsToJudge(all []startup.Setting) (asked []startup.Setting) {
	for _, s := range all {
		if !settingsAlways[strings.ToLower(s.Name)] {
			asked = append(asked, s)
		}
	}
	return asked
}

// settingsSQL is a text that sets what the parameters do, in their order.
func settingsSQL(list []startup.Setting) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "SET %s = %s;", quoted(s.Name, `"`), quoted(s.Value, "'"))
	}
	return b.String()
}

// quoted puts a text into quotes. Bytes that are no UTF-8 stand in no name and no value
// that means something to a rule.
func quoted(s, quote string) string {
	return quote + strings.ReplaceAll(strings.ToValidUTF8(s, "?"), quote, quote+quote) + quote
}
