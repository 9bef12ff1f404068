package control

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/peer"
	"github.com/pgcustos/pgcustos/proxy"
)

// recorded keeps what an operator did.
type recorded struct {
	audit.Recorder // of which nothing else is asked

	killed auth.Selector
	event  audit.Event
}

func (r *recorded) Live(*auth.Selector) []proxy.Status { return nil }
func (r *recorded) Kill(chosen *auth.Selector, _ string, _ time.Time) int {
	r.killed = *chosen
	return 0
}
func (r *recorded) SetLocks([]auth.Lock, time.Time) int { return 0 }
func (r *recorded) Record(e *audit.Event) (audit.Receipt, error) {
	r.event = *e
	return audit.Receipt{}, nil
}

// TestNamedIsRecorded: an operator chooses by what the record says, and by nothing beside.
func TestNamedIsRecorded(t *testing.T) {
	r, dir := &recorded{}, t.TempDir()
	s, err := Listen(Options{
		Directory: dir, Target: r, Recorder: r, Log: slog.New(slog.DiscardHandler),
		Find: func(context.Context, string) (auth.Identity, error) { return auth.Identity{}, errors.New("nobody") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := peer.Dial(t.Context(), dir, socketName)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it has its answer
	if _, err := c.Write([]byte(`{"do":"kill","user":"nobody","sid":"S-1-5-21-1-2-3-1104","reason":"tidying up"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(c).ReadString('\n'); err != nil || said != "{}\n" {
		t.Fatalf("%q, %v", said, err)
	}
	if r.killed != (auth.Selector{User: "nobody"}) || r.event.Filter != "--user=nobody" {
		t.Errorf("killed %+v, recorded %q", r.killed, r.event.Filter)
	}
}
