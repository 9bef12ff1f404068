package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// exactlyOnce compares the table with the journal up to the positions, which must
// have reached the records that least names by their number.
func exactlyOnce(t *testing.T, p *testkit.Postgres, database string, records []*journal.Record, least int) {
	t.Helper()
	at := map[string]uint64{}
	for _, r := range records {
		if _, known := at[r.Stream]; !known {
			at[r.Stream] = uint64(number(t, p, database, "SELECT max(sequence) FROM pgcustos.delivered('proxy-1') WHERE stream = '"+r.Stream+"'"))
		}
	}
	n, sum := 0, uint64(0)
	for _, r := range records {
		if r.Sequence <= at[r.Stream] {
			n, sum = n+1, sum+r.Sequence
		}
	}
	got, err := p.Value(t.Context(), database, "SELECT count(*) || ' ' || count(DISTINCT (stream, sequence)) || ' ' || sum(sequence) FROM pgcustos.events")
	if want := fmt.Sprintf("%d %d %d", n, n, sum); err != nil || got != want {
		t.Errorf("records, distinct, sum of sequences: %s, want %s (%v)", got, want, err)
	}
	if n < least {
		t.Errorf("%d records, want %d", n, least)
	}
}

// TestKilledServer kills PostgreSQL in the middle of load, more than once.
func TestKilledServer(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	name := database(t, p)
	dir := t.TempDir()
	j := openJournal(t, dir)
	r := start(t, dir, postgres.New(options(p, name)))
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			fill(t, j, 50)
			time.Sleep(5 * time.Millisecond) // a load, not a wait
		}
	})
	for i := range 3 {
		waitGrowth(t, p, name)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		fill(t, j, 1000*i)
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitGrowth(t, p, name)
	cancel()
	load.Wait()
	least := int(head(t, j))
	waitEvents(t, p, name, least)
	stop(r)
	exactlyOnce(t, p, name, readAll(t, dir), least)
}

// waitGrowth waits until the table grows.
func waitGrowth(t *testing.T, p *testkit.Postgres, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	before := number(t, p, name, "SELECT count(*) FROM pgcustos.events")
	if err := testkit.WaitFor(ctx, func() error {
		if now := number(t, p, name, "SELECT count(*) FROM pgcustos.events"); now <= before {
			return fmt.Errorf("%d records, as before", now)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// relay passes bytes on to a server, and ends the connection in place of the
// server's cut-th write.
type relay struct {
	net.Listener
	to string
	wg sync.WaitGroup

	mu  sync.Mutex
	cut int // which answer is lost; 0: none
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, to: to}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.wg.Wait()
	})
	return r
}

func (r *relay) set(cut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer s.Close()
	r.mu.Lock()
	cut := r.cut
	r.mu.Unlock()
	var asked atomic.Bool
	r.wg.Go(func() {
		_, _ = io.Copy(io.MultiWriter(note{&asked}, s), c)
		_ = s.(*net.TCPConn).CloseWrite()
	})
	// An answer is what the server sends between two questions, in whatever pieces.
	b := make([]byte, 64<<10)
	for n := 0; ; {
		got, err := s.Read(b)
		if err != nil {
			return
		}
		if asked.Swap(false) {
			n++
		}
		if n == cut && cut > 0 {
			return // it has done what it was asked for, and nobody hears of it
		}
		if _, err := c.Write(b[:got]); err != nil {
			return
		}
	}
}

// note is set when something is written.
type note struct{ set *atomic.Bool }

func (n note) Write(b []byte) (int, error) {
	n.set.Store(true)
	return len(b), nil
}

func (r *relay) port() uint16 { return uint16(r.Addr().(*net.TCPAddr).Port) }

// TestLostAnswers loses the server's first answer, the second, and so on to the last, and
// again from the first: also that to COMMIT. A round may miss it, for what the client sends
// of a COPY crosses the answer to its beginning, or does not.
func TestLostAnswers(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	dir := t.TempDir()
	j := openJournal(t, dir)
	fill(t, j, 200)
	records := readAll(t, dir)
	through := newRelay(t, fmt.Sprintf("%s:%d", p.Host, p.Port))
	o := options(p, name)
	o.Port = through.port()
	committed, cut := 0, 1
	const size, most = 10, 40
	for k := 1; k <= most; k++ {
		batch := records[(k-1)*size : k*size]
		through.set(cut)
		s := postgres.New(o)
		failed := s.Deliver(t.Context(), batch) != nil
		has := number(t, p, name, fmt.Sprintf("SELECT count(*) FROM pgcustos.events WHERE sequence BETWEEN %d AND %d",
			batch[0].Sequence, batch[size-1].Sequence))
		if cut++; !failed {
			cut = 1
		}
		if failed && has == size {
			committed++
		}
		if !failed && has != size {
			t.Errorf("%d of %d records after an answer", has, size)
		}
		through.set(0)
		if err := s.Close(); err != nil { // it may have a connection that is to be cut later
			t.Error(err)
		}
		if err := s.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if committed == 0 {
		t.Error("no answer to a COMMIT was lost")
	}
	exactlyOnce(t, p, name, records[:size*most], size*most)
}

// TestTwoProcessesOnOneStream is an upgrade that overlaps.
func TestTwoProcessesOnOneStream(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	dir := t.TempDir()
	first, second := openJournal(t, dir), openJournal(t, dir)
	a, b := start(t, dir, postgres.New(options(p, name))), start(t, dir, postgres.New(options(p, name)))
	for range 20 {
		fill(t, first, 200)
		fill(t, second, 100)
	}
	stop(a)
	stop(b)
	exactlyOnce(t, p, name, readAll(t, dir), 20*300*2)
}

// TestDatabaseGoesBack restores the audit database to an earlier state.
func TestDatabaseGoesBack(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	name := database(t, p)
	dir := t.TempDir()
	j := openJournal(t, dir)
	r := start(t, dir, postgres.New(options(p, name)))
	fill(t, j, 100)
	waitEvents(t, p, name, int(head(t, j)))
	// Not while a delivery is under way: an earlier state is one of both tables.
	if err := p.Exec(t.Context(), name, `LOCK TABLE pgcustos.positions IN EXCLUSIVE MODE;
		DELETE FROM pgcustos.events WHERE sequence > 50;
		UPDATE pgcustos.positions SET sequence = 50`); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 100)
	least := int(head(t, j))
	waitEvents(t, p, name, least)
	stop(r)
	exactlyOnce(t, p, name, readAll(t, dir), least)
}

// TestGarbage is a server that answers with anything, or not at all.
func TestGarbage(t *testing.T) {
	p := testkit.SharedPostgres(t)
	dir := t.TempDir()
	fill(t, openJournal(t, dir), 1)
	for name, answer := range map[string]func(net.Conn){
		"noise":   func(c net.Conn) { _, _ = io.CopyN(c, rand.Reader, 1<<16) },
		"no TLS":  func(c net.Conn) { _, _ = c.Write([]byte("N")) },
		"an end":  func(net.Conn) {},
		"silence": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if c, err := l.Accept(); err == nil {
					answer(c)
					_ = c.Close()
				}
			})
			o := options(p, "audit")
			o.Port = uint16(l.Addr().(*net.TCPAddr).Port)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := postgres.New(o).Deliver(ctx, readAll(t, dir)); err == nil {
				t.Error("delivered")
			}
			_ = l.Close()
			wg.Wait()
		})
	}
}
