package proxy

import (
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/proxy/driver"
)

// A statement that its cancel did not end, because the client does not read what
// it gives, ends with its session.
func TestStatementThatOutlivesItsCancelEndsTheSession(t *testing.T) {
	const since = 7
	c := &session{relay: driver.New(driver.Options{}), watched: watched{cancelled: since}}
	l := &auth.Limits{Statement: time.Second}
	c.keepStatementLimit(l, since, l.Statement+cancelPatience)
	if c.cause.Load() != nil {
		t.Error("the session ended too early")
	}
	c.keepStatementLimit(l, since, l.Statement+cancelPatience+1)
	if cause := c.cause.Load(); cause == nil || *cause != "statement_limit" {
		t.Errorf("the session goes on: %v", cause)
	}
}
