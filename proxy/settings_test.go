package proxy

import (
	"testing"

	"github.com/pgcustos/pgcustos/proxy/startup"
)

// What a client calls its parameters cannot leave the quotes that they are judged in.
func TestSettingsAreJudgedInQuotes(t *testing.T) {
	asked := settingsToJudge([]startup.Setting{
		{Name: "DateStyle", Value: "ISO"},
		{Name: `a"b`, Value: `it's; --`},
		{Name: "jit", Value: "off"},
		{Name: "Session_Replication_Role", Value: "replica\xff"},
	})
	const want = `SET "a""b" = 'it''s; --';SET "Session_Replication_Role" = 'replica?';`
	if got := settingsSQL(asked); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
