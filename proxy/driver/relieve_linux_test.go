package driver

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// TestRelieve: the session ends whose client does not take what it is sent; one that
// holds nothing goes on. A large message that is not there whole is told why it ends.
func TestRelieve(t *testing.T) {
	d := oneLoop(t)
	deaf, partial, many, other := d.start(t), d.start(t), d.start(t), d.start(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for result := bytes.Repeat(row, 1<<20/len(row)); ; {
			if _, err := deaf.backend.Write(result); err != nil {
				return // its session has ended
			}
		}
	}()
	until(t, func() bool { return ask(t, deaf, (*session).holds) >= largeBuffer })
	other.exchange(t)
	d.loops.Relieve(10)
	deaf.ended(t, OutOfMemory)
	<-sent

	const size = 200 << 10
	send(t, partial.client, pgwire.AppendMessage(nil, pgwire.Query, bytes.Repeat([]byte("x"), size))[:size])
	until(t, func() bool { return ask(t, partial, (*session).holds) >= largeBuffer })
	d.loops.Relieve(10)
	got := rest(t, partial.client)
	if f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):]); string(f.Code) != pgwire.OutOfMemory || string(f.Message) != "out of memory" {
		t.Errorf("the client got %q", got)
	}
	partial.ended(t, OutOfMemory)

	parseOK := pgwire.AppendMessage(nil, pgwire.ParseComplete)
	for i := range 1000 { // each of them small, and done with
		p := pgwire.AppendMessage(nil, pgwire.Parse, fmt.Appendf(nil, "s%d\x00SELECT %d\x00\x00\x00", i, i))
		send(t, many.client, p)
		receive(t, many.backend, len(p))
		send(t, many.backend, parseOK)
		receive(t, many.client, len(parseOK))
	}
	d.loops.Relieve(10)
	many.ended(t, OutOfMemory)
	other.exchange(t)
}
