package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// budgetOf is the limit of the test below, in MiB, and slackOf what the system may
// count beside what Go's runtime does.
const (
	budgetOf = 160
	slackOf  = 24
)

// anonymous is the memory of a process that no file stands behind, in MiB.
func anonymous(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); f[0] == "RssAnon:" {
			n, err := strconv.Atoi(f[1])
			return n >> 10, err
		}
	}
	return 0, errors.New("no RssAnon")
}

// hijacked is a session of which the test speaks the protocol.
func hijacked(t *testing.T, address any) net.Conn {
	t.Helper()
	conn, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	h, err := conn.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Conn.Close() })
	return h.Conn
}

// message is one with a body, whose header claims that it is longer by more.
func message(typ byte, body string, more int) []byte {
	n := 4 + len(body) + more
	return append([]byte{typ, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// TestMemoryBudget: clients that claim 1 GB and send it, that read no results, and that
// send 100,000 statements at once, make the proxy take no more memory than its budget;
// a session that works notices nothing, and those that hold most are told 53200.
func TestMemoryBudget(t *testing.T) {
	site := newSite(t)
	site.text += fmt.Sprintf("memory: {limit: %dMiB}\nadmin: {address: 127.0.0.1:0}\n", budgetOf)
	site.write(t, "classes: [READ]", "classes: [READ, FUNCTION], record: {parameters: full}")
	s := startServer(t, site.config)
	admin := s.waitFor(t, "admin server")["address"]
	address := s.waitFor(t, "serving")["address"]
	worker, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close(context.Background()) //nolint:errcheck // the server ends it

	var over atomic.Bool
	var most atomic.Int64
	var watch sync.WaitGroup
	watch.Go(func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for !over.Load() {
			if n, err := anonymous(s.cmd.Process.Pid); err == nil {
				most.Store(max(most.Load(), int64(n)))
			}
			<-look.C
		}
	})
	worked := make(chan int, 1)
	watch.Go(func() { worked <- working(t, worker, &over) })

	for range 10 { // they read nothing
		deaf := hijacked(t, address)
		if _, err := deaf.Write(message('Q', "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)\x00", 0)); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		flood := hijacked(t, address)
		watch.Go(func() {
			all := []byte(strings.Repeat(string(message('Q', "SELECT 1 FROM orders\x00", 0)), 100_000))
			_, _ = flood.Write(all) // it is not taken wholly while nobody reads
		})
		t.Cleanup(func() { _ = flood.Close() })
	}
	var told atomic.Int32
	var claims sync.WaitGroup
	var claimants []net.Conn // who come before there is less memory
	for range 6 {
		claimants = append(claimants, hijacked(t, address))
	}
	for _, c := range claimants {
		claims.Go(func() {
			if claim(c) {
				told.Add(1)
			}
		})
	}
	claims.Wait()
	over.Store(true)
	if n := <-worked; n == 0 {
		t.Error("the session that works did nothing")
	}
	if n := most.Load(); n > budgetOf+slackOf {
		t.Errorf("the process had %d MiB, with a budget of %d", n, budgetOf)
	}
	if told.Load() == 0 {
		t.Error("nobody was told that there is no memory")
	}
	if _, body := status(t, fmt.Sprintf("http://%s/metrics", admin)); !strings.Contains(body, `pgcustos_memory_refusals_total{what="session"}`) {
		t.Error("no refusal is counted")
	}
	t.Logf("at most %d MiB; %d of 6 were told", most.Load(), told.Load())
}

// working runs statements until over, and returns how many.
func working(t *testing.T, conn *pgx.Conn, over *atomic.Bool) (n int) {
	t.Helper()
	for ; !over.Load(); n++ {
		if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM orders"); err != nil {
			t.Errorf("a session that works: %v", err)
			return n
		}
	}
	return n
}

// claim sends a call of a function whose arguments are to be on record, and so have to
// be there whole, and reports whether the proxy said that it has no memory for it.
func claim(c net.Conn) bool {
	answer := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(c, 4<<10))
		answer <- string(b)
	}()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	_, err := c.Write(message('F', "\x00\x00\x00\x01", 1<<30-100))
	for part := make([]byte, 1<<20); err == nil; {
		_, err = c.Write(part)
	}
	return strings.Contains(<-answer, "C53200\x00Mout of memory")
}

// TestCrowded: near the limit nobody new is let in, and is told so. Sessions that hold what
// they have for ever keep nobody out for ever: those that hold most end until there is room.
func TestCrowded(t *testing.T) {
	site := newSite(t)
	site.text += fmt.Sprintf("memory: {limit: %dMiB}\n", budgetOf)
	site.write(t, "classes: [READ]", "classes: [READ, FUNCTION], record: {parameters: full}")
	s := startServer(t, site.config)
	address := s.waitFor(t, "serving")["address"]
	works, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer works.Close(t.Context()) //nolint:errcheck // the test is over
	crowd(t, address)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	err = testkit.WaitFor(ctx, func() error {
		conn, err := connectAlice(t, address)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	})
	if err != nil {
		t.Errorf("nobody new is ever let in: %v", err)
	}
	if _, err := works.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("a session that holds nothing: %v", err)
	}
}

// crowd begins calls of 8 MiB each, and ends none of them, until nobody new is let in.
func crowd(t *testing.T, address any) {
	t.Helper()
	for range 40 {
		if turnedAway(t, address) {
			return
		}
		conn, err := connectAlice(t, address)
		if err != nil {
			continue // it was for the same reason, which is asked for again
		}
		h, err := conn.PgConn().Hijack()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Conn.Close() })
		if _, err := h.Conn.Write(message('F', "\x00\x00\x00\x01", 1<<30-100)); err != nil {
			t.Fatal(err)
		}
		_, _ = h.Conn.Write(make([]byte, 7<<20)) // the last of them may be refused
	}
	t.Fatal("nobody was refused")
}

// turnedAway reports whether a connection is refused at once for want of memory.
func turnedAway(t *testing.T, address any) bool {
	t.Helper()
	c, err := net.DialTimeout("tcp", address.(string), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()                                    //nolint:errcheck // nothing was begun
	_, _ = c.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest, which nobody may take any more
	b := make([]byte, 512)
	n, _ := c.Read(b)
	return strings.Contains(string(b[:n]), "C53200\x00Mout of memory")
}
