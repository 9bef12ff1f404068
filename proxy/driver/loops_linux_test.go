package driver

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// oneLoop is a driver all of whose sessions share a thread.
func oneLoop(t *testing.T) kind {
	t.Helper()
	loops, err := OpenLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loops.Close() })
	return kind{name: "epoll", loops: loops}
}

// exchange is one round trip.
func (e *ends) exchange(t testing.TB) {
	t.Helper()
	send(t, e.client, query)
	receive(t, e.backend, len(query))
	send(t, e.backend, answer)
	receive(t, e.client, len(answer))
}

// ask has the session's loop tell something of it.
func ask[T any](t *testing.T, e *ends, f func(*session) T) T {
	t.Helper()
	until(t, e.inLoop)
	told := make(chan T, 1)
	s := e.relay.place.session.Load()
	s.loop.post(func() { told <- f(s) })
	return <-told
}

func pending(at side) func(*session) int {
	return func(s *session) int { return s.ends[at].conn.Pending() }
}

// inLoop reports whether a loop drives the session.
func (e *ends) inLoop() bool { return e.relay.place.session.Load() != nil }

// stuck stands in for what takes long: whoever asks waits until it is opened.
type stuck struct {
	nothing
	reached atomic.Int32
	open    chan struct{}
}

func newStuck(t *testing.T) *stuck {
	t.Helper()
	s := &stuck{open: make(chan struct{})}
	t.Cleanup(s.let)
	return s
}

func (s *stuck) let() {
	select {
	case <-s.open:
	default:
		close(s.open)
	}
}

func (s *stuck) wait(ctx context.Context) {
	s.reached.Add(1)
	select {
	case <-s.open:
	case <-ctx.Done():
	}
}

// Wait is a disk that takes its time.
func (s *stuck) Wait(ctx context.Context, _ audit.Receipt) error {
	s.wait(ctx)
	return ctx.Err()
}

// Record waits for the file of a long text.
func (s *stuck) Record(ev *audit.Event) (audit.Receipt, error) {
	if len(ev.Text) > audit.InlineText {
		s.wait(context.Background())
	}
	return s.nothing.Record(ev)
}

// Cached knows nothing, and Judge takes its time.
func (s *stuck) Cached([]byte, statement.Encoding) (*statement.Judgement, bool) { return nil, false }

func (s *stuck) Judge(ctx context.Context, _ []byte, _ statement.Encoding) *statement.Judgement {
	s.wait(ctx)
	return selects
}

// cramped is a recorder that waits for room before it records a statement.
type cramped struct{ *stuck }

func (c cramped) Record(ev *audit.Event) (audit.Receipt, error) {
	if ev.Type == audit.Statement {
		c.wait(context.Background())
	}
	return c.stuck.Record(ev)
}

// long is a judge to whom every text is a SELECT with that text.
type long struct{ reads }

func (long) Cached(text []byte, _ statement.Encoding) (*statement.Judgement, bool) {
	return &statement.Judgement{Class: statement.Read, Statements: []statement.Statement{
		{Command: "SELECT", Class: statement.Read, Text: string(text)},
	}}, true
}

// TestStalledSessionHoldsUpNobody: whatever one session waits for, another of the
// same loop goes on, and so does the waiting one's other direction.
func TestStalledSessionHoldsUpNobody(t *testing.T) {
	longQuery := pgwire.AppendMessage(nil, pgwire.Query, bytes.Repeat([]byte("x"), 20<<10), []byte{0})
	for name, stall := range map[string]struct {
		message []byte
		change  func(*stuck, *relay.Options, *Options)
	}{
		"parse": {query, func(s *stuck, m *relay.Options, o *Options) { m.Judge, o.Judge = s, s }},
		"disk": {query, func(s *stuck, m *relay.Options, o *Options) {
			m.Recorder, o.Recorder = s, s
			m.Grant = &auth.Grant{Classes: statement.Read, Mode: auth.Enforce, Durability: auth.DurableDisk}
		}},
		"file": {longQuery, func(s *stuck, m *relay.Options, o *Options) { m.Recorder, o.Recorder, m.Judge = s, s, long{} }},
		"room": {query, func(s *stuck, m *relay.Options, o *Options) {
			m.Recorder, o.Recorder = cramped{s}, cramped{s}
			m.MayWait = func() bool { return true }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := oneLoop(t), newStuck(t)
			slow := d.startWith(t, func(m *relay.Options, o *Options) { stall.change(s, m, o) })
			other := d.start(t)
			send(t, slow.client, stall.message)
			until(t, func() bool { return s.reached.Load() == 1 })
			for range 100 {
				other.exchange(t)
			}
			if name != "file" && name != "room" { // where the errand has the machine
				notice := pgwire.AppendMessage(nil, pgwire.NoticeResponse, []byte{0})
				send(t, slow.backend, notice)
				receive(t, slow.client, len(notice))
			}
			s.let()
			if got := receive(t, slow.backend, len(stall.message)); !bytes.Equal(got, stall.message) {
				t.Errorf("the backend got %.40q", got)
			}
			send(t, slow.backend, answer)
			receive(t, slow.client, len(answer))
			if !slow.inLoop() || !other.inLoop() {
				t.Error("a session left its loop")
			}
		})
	}
}

// TestEndOfAStalledSession: what a session waits for does not keep it from ending.
func TestEndOfAStalledSession(t *testing.T) {
	d, s := oneLoop(t), newStuck(t)
	e := d.startWith(t, func(m *relay.Options, o *Options) { m.Judge, o.Judge = s, s })
	send(t, e.client, query)
	until(t, func() bool { return s.reached.Load() == 1 })
	e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
	got := rest(t, e.client)
	if f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):]); string(f.Code) != pgwire.AdminShutdown {
		t.Errorf("the client got %q", got)
	}
	e.ended(t, Ended)
	if sent := rest(t, e.backend); bytes.Contains(sent, []byte("SELECT")) {
		t.Errorf("the backend got %q", sent)
	}
}

// TestSlowReaderIsWaitedFor: the backend is not read while the client does not take
// what it is sent; what waits is bounded, others go on, and every byte arrives.
func TestSlowReaderIsWaitedFor(t *testing.T) {
	d := oneLoop(t)
	slow, other := d.start(t), d.start(t)
	result := bytes.Repeat(row, 4<<20/len(row))
	sent := make(chan int, 1)
	go func() {
		n := 0
		for range 16 {
			k, err := slow.backend.Write(result)
			n += k
			if err != nil {
				break
			}
		}
		sent <- n
	}()
	until(t, func() bool { return ask(t, slow, pending(clientSide)) > 0 })
	for range 100 {
		other.exchange(t)
	}
	if n := ask(t, slow, pending(clientSide)); n > maxPending {
		t.Errorf("%d bytes wait for a client that does not read", n)
	}
	for range 16 {
		if got := receive(t, slow.client, len(result)); !bytes.Equal(got, result) {
			t.Fatal("the client got something else")
		}
	}
	if n := <-sent; n != 16*len(result) {
		t.Errorf("%d bytes were sent", n)
	}
	slow.exchange(t)
}

// TestSlowBackendIsWaitedFor is the same in the other direction.
func TestSlowBackendIsWaitedFor(t *testing.T) {
	d := oneLoop(t)
	slow, other := d.start(t), d.start(t)
	data := bytes.Repeat(pgwire.AppendMessage(nil, pgwire.CopyData, []byte("a line of it\n")), 1<<18)
	go func() { _, _ = slow.client.Write(data) }()
	until(t, func() bool { return ask(t, slow, pending(backendSide)) > 0 })
	for range 100 {
		other.exchange(t)
	}
	if got := receive(t, slow.backend, len(data)); !bytes.Equal(got, data) {
		t.Error("the backend got something else")
	}
}

// TestLoopsCanBeClosed: what they drive goes on without them.
func TestLoopsCanBeClosed(t *testing.T) {
	loops, err := OpenLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	e := kind{name: "epoll", loops: loops}.start(t)
	e.exchange(t)
	_ = loops.Close()
	if e.inLoop() {
		t.Error("it has no loop to be in")
	}
	e.exchange(t)
}

// TestNoAllocationPerMessage: a round trip of the driver allocates nothing.
func TestNoAllocationPerMessage(t *testing.T) {
	e := oneLoop(t).start(t)
	into := make([]byte, 1<<10)
	trip := func() {
		for _, step := range []struct {
			from, to io.ReadWriter
			message  []byte
		}{{e.client, e.backend, query}, {e.backend, e.client, answer}} {
			if _, err := step.from.Write(step.message); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(step.to, into[:len(step.message)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	trip()
	if n := testing.AllocsPerRun(1000, trip); n != 0 {
		t.Errorf("%v allocations in a round trip", n)
	}
}

// TestIdleSessionHoldsNoBuffer: nor a goroutine.
func TestIdleSessionHoldsNoBuffer(t *testing.T) {
	e := oneLoop(t).start(t)
	e.exchange(t)
	if !ask(t, e, func(s *session) bool {
		return s.client.buf.mem == nil && s.backend.buf.mem == nil && s.ends[clientSide].cipher == nil && s.ends[clientSide].conn.Pending() == 0
	}) {
		t.Error("it holds a buffer")
	}
}

// TestKeyUpdatesThatNobodyReads: a client that makes the proxy answer, and reads none
// of it, is not heard any more when that has become too much. Others are.
func TestKeyUpdatesThatNobodyReads(t *testing.T) {
	d := oneLoop(t)
	k, other := d.startKeyed(t), d.start(t)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for { // a byte of a message lets crypto/tls go on for ever
			batch := k.sent.seal(handshake, []byte{24, 0, 0, 1, 1})
			k.sent = k.sent.next(t)
			batch = append(batch, k.sent.seal(applicationData, pgwire.AppendMessage(nil, pgwire.CopyData))...)
			if _, err := k.raw.Write(batch); err != nil {
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(io.Discard, k.backend) }()
	until(t, func() bool { return ask(t, k.ends, pending(clientSide)) > maxPending/2 })
	for range 200 {
		other.exchange(t)
	}
	if n := ask(t, k.ends, pending(clientSide)); n > 2*maxPending {
		t.Errorf("%d bytes wait for a client that does not read", n)
	}
	_ = k.raw.Close()
	<-stopped
}

// TestEndAtOnce: a session that is ended while it is on its way to its loop.
func TestEndAtOnce(t *testing.T) {
	d := oneLoop(t)
	for range 50 {
		e := d.start(t)
		e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
		t.Cleanup(func() { e.ended(t, Ended) })
	}
}

// TestPipelinesTakeTurns: what a client sends at once is taken a few messages at a
// time, by either driver, and none is lost.
func TestPipelinesTakeTurns(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.startWith(t, func(m *relay.Options, _ *Options) { m.AtOnce = 3 })
			const n = 500
			send(t, e.client, bytes.Repeat(query, n))
			if got := receive(t, e.backend, n*len(query)); !bytes.Equal(got, bytes.Repeat(query, n)) {
				t.Error("the backend got something else")
			}
			send(t, e.backend, bytes.Repeat(answer, n))
			receive(t, e.client, n*len(answer))
			e.exchange(t)
		})
	}
}

// outcomes counts the outcomes that one turn records.
type outcomes struct {
	nothing
	turn, most int // owned by the loop
}

func (o *outcomes) Record(ev *audit.Event) (audit.Receipt, error) {
	if ev.Type == audit.Outcome {
		o.turn++
		o.most = max(o.most, o.turn)
	}
	return o.nothing.Record(ev)
}

// TestAnswersTakeTurns: of answers that come at once, each with an outcome to be recorded,
// so many are taken as fit into a small read, and then others have their turn.
func TestAnswersTakeTurns(t *testing.T) {
	d, counted := oneLoop(t), &outcomes{}
	e := d.startWith(t, func(m *relay.Options, o *Options) {
		m.Recorder, m.AtOnce = counted, 32
		now := o.Now
		o.Now = func() int64 {
			counted.turn = 0
			return now()
		}
	})
	const n = 500
	send(t, e.client, bytes.Repeat(query, n))
	receive(t, e.backend, n*len(query))
	go func() { _, _ = e.backend.Write(bytes.Repeat(answer, n)) }()
	if got := receive(t, e.client, n*len(answer)); !bytes.Equal(got, bytes.Repeat(answer, n)) {
		t.Error("the client got something else")
	}
	e.exchange(t)
	most := ask(t, e, func(*session) int { return counted.most })
	if most == 0 || most > 1+answersAtOnce/len(answer) {
		t.Errorf("%d outcomes were recorded in one turn", most)
	}
}

// afterFirst is a disk that takes its time from the second wait on.
type afterFirst struct {
	*stuck
	waits atomic.Int32
}

func (a *afterFirst) Wait(ctx context.Context, r audit.Receipt) error {
	if a.waits.Add(1) == 1 {
		return nil
	}
	return a.stuck.Wait(ctx, r)
}

// The queue is full, and while a record is waited for, an error comes by which the backend
// skips all of it: nothing of what is sent then is answered, and the client goes on.
func TestFullQueueIsSkippedMeanwhile(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			disk := &afterFirst{stuck: newStuck(t)}
			e := d.startWith(t, func(m *relay.Options, o *Options) {
				m.Recorder, o.Recorder = disk, disk
				m.Grant = &auth.Grant{Classes: statement.Read, Mode: auth.Enforce, Durability: auth.DurableDisk}
			})
			execute := pgwire.AppendMessage(nil, pgwire.Bind, make([]byte, 8))
			execute = pgwire.AppendMessage(execute, pgwire.Execute, make([]byte, 5))
			first := pgwire.AppendMessage(nil, pgwire.Parse, []byte("\x00SELECT 1/0\x00\x00\x00"))
			first = append(first, execute...)
			send(t, e.client, first)
			receive(t, e.backend, len(first))
			const more = 600
			send(t, e.client, bytes.Repeat(execute, more))
			until(t, func() bool { return disk.reached.Load() > 0 })
			failed := pgwire.AppendMessage(nil, pgwire.ParseComplete)
			failed = pgwire.AppendMessage(failed, pgwire.BindComplete)
			failed = (&pgwire.Error{Severity: pgwire.SeverityError, Code: "22012", Message: "division by zero"}).Append(failed)
			send(t, e.backend, failed)
			receive(t, e.client, len(failed))
			disk.let()
			sync := pgwire.AppendMessage(nil, pgwire.Sync)
			send(t, e.client, sync)
			got := receive(t, e.backend, more*len(execute)+len(sync))
			if flush := pgwire.AppendMessage(nil, pgwire.Flush); bytes.Contains(got, flush) {
				got = append(got, receive(t, e.backend, len(flush))...)
			}
			if !bytes.HasSuffix(got, sync) {
				t.Errorf("the backend got %q at the end", got[len(got)-len(sync):])
			}
		})
	}
}
