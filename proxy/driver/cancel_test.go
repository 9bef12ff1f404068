package driver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// slow is a judge who answers when the test lets it.
type slow struct {
	reads
	asked, answer chan struct{}
}

func (*slow) Cached([]byte, statement.Encoding) (*statement.Judgement, bool) { return nil, false }

func (j *slow) Judge(ctx context.Context, text []byte, encoding statement.Encoding) *statement.Judgement {
	j.asked <- struct{}{}
	<-j.answer
	return j.reads.Judge(ctx, text, encoding)
}

// disk is a recorder whose records last when the test lets them.
type disk struct {
	nothing
	asked, answer chan struct{}
}

func (d *disk) Wait(context.Context, audit.Receipt) error {
	d.asked <- struct{}{}
	<-d.answer
	return nil
}

// TestCancelWhileTheStatementIsJudged: it never goes to the backend, nor does the
// cancel.
func TestCancelWhileTheStatementIsJudged(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			judge := &slow{asked: make(chan struct{}), answer: make(chan struct{})}
			e := d.startWith(t, func(m *relay.Options, o *Options) { m.Judge, o.Judge = judge, judge })
			send(t, e.client, query)
			<-judge.asked
			if e.relay.opt.Machine.Cancel() {
				t.Error("the cancel goes to a backend that does not know the statement")
			}
			judge.answer <- struct{}{}
			identifier := `"pgcustos incident ` + incident + `"`
			stand := pgwire.AppendMessage(nil, pgwire.Query, []byte(identifier+"\x00"))
			if got := receive(t, e.backend, len(stand)); !bytes.Equal(got, stand) {
				t.Errorf("the backend got %q", got)
			}
			idle := pgwire.AppendMessage(nil, pgwire.ReadyForQuery, []byte{'I'})
			refused := pgwire.Error{Severity: pgwire.SeverityError, Code: "42601", Message: "at or near " + identifier}
			send(t, e.backend, append(refused.Append(nil), idle...))
			cancelled := pgwire.Error{Severity: pgwire.SeverityError, Code: pgwire.QueryCanceled, Message: "canceling statement due to user request"}
			told := append(cancelled.Append(nil), idle...)
			if got := receive(t, e.client, len(told)); !bytes.Equal(got, told) {
				t.Errorf("the client got %q", got)
			}
			send(t, e.client, query)
			<-judge.asked
			judge.answer <- struct{}{}
			receive(t, e.backend, len(query))
			if n := e.cancelled.Load(); n != 0 {
				t.Errorf("%d cancels went to the backend", n)
			}
		})
	}
}

// TestCancelWhileTheRecordIsWaitedFor: the cancel goes behind the statement, and what
// the client sends when it has the answer is not hit.
func TestCancelWhileTheRecordIsWaitedFor(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			recorder := &disk{asked: make(chan struct{}), answer: make(chan struct{})}
			cancelling, arrived := make(chan struct{}), make(chan struct{})
			e := d.startWith(t, func(m *relay.Options, o *Options) {
				grant := *m.Grant
				grant.Durability = auth.DurableDisk
				m.Grant, m.Recorder, o.Recorder = &grant, recorder, recorder
				o.Cancel = func(context.Context) error {
					close(cancelling)
					<-arrived
					return nil
				}
			})
			send(t, e.client, query)
			<-recorder.asked
			if e.relay.opt.Machine.Cancel() {
				t.Fatal("the cancel overtakes the statement")
			}
			recorder.answer <- struct{}{}
			receive(t, e.backend, len(query))
			<-cancelling
			answer := []byte("C\x00\x00\x00\x0dSELECT 0\x00Z\x00\x00\x00\x05I")
			send(t, e.backend, answer)
			receive(t, e.client, len(answer))
			send(t, e.client, query)
			if err := e.backend.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := e.backend.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the next statement does not wait: %d bytes, %v", n, err)
			}
			close(arrived)
			<-recorder.asked
			recorder.answer <- struct{}{}
			receive(t, e.backend, len(query))
		})
	}
}
