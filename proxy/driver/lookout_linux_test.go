package driver

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// more than the queue takes, and what the client's sockets hold beside it.
var tooMany = bytes.Repeat(pgwire.AppendMessage(nil, pgwire.Execute, make([]byte, 5)), 600)

// A client that goes away while its messages wait for the backend's answers: nobody
// reads from it meanwhile, and it is noticed all the same.
func TestClientLeavesWhileItIsHeldBack(t *testing.T) {
	for _, d := range kinds(t) {
		for name, leave := range map[string]struct {
			do    func(*ends)
			cause Cause
		}{
			"closed": {func(e *ends) { _ = e.client.Close() }, ClientClosed},
			"reset": {func(e *ends) {
				_ = e.client.SetLinger(0)
				_ = e.client.Close()
			}, ClientGone},
		} {
			t.Run(d.name+"/"+name, func(t *testing.T) {
				e := d.start(t)
				send(t, e.client, tooMany)
				gone := drained(e)
				until(t, func() bool { return e.relay.opt.Machine.Backlog() > 500 })
				leave.do(e)
				e.ended(t, leave.cause)
				if n := e.cancelled.Load(); n != 1+lastCancels {
					t.Errorf("%d cancels, want one for what runs and %d for what stands behind it", n, lastCancels)
				}
				<-gone
			})
		}
	}
}

// A client that breaks off while the backend takes nothing of what it sends.
func TestClientLeavesWhileTheBackendTakesNothing(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			_ = e.backend.SetReadBuffer(smallBuffer)
			send(t, e.client, query)
			receive(t, e.backend, len(query))
			data := bytes.Repeat(pgwire.AppendMessage(nil, pgwire.CopyData, []byte("x\n")), 10_000)
			for {
				_ = e.client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
				if _, err := e.client.Write(data); err != nil {
					break
				}
			}
			_ = e.client.SetLinger(0)
			_ = e.client.Close()
			e.ended(t, ClientGone)
			if n := e.cancelled.Load(); n != 1 {
				t.Errorf("%d cancels", n)
			}
		})
	}
}

// drained reads what goes to the backend, and tells of its end.
func drained(e *ends) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, e.backend)
	}()
	return end
}
