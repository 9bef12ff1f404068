package wire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// mode is one way to play a script.
type mode struct {
	name    string
	proxied bool
	piece   int  // bytes in one write; 0 where a write is what the script says
	whole   bool // all of the script is one write
}

// play is one run of a script.
type play struct {
	tb     testing.TB
	script *script
	mode   mode
	site   *testkit.Site
	hc     *pgconn.HijackedConn
	second *pgconn.PgConn
	pid    string
	queue  []byte
	seen   int // frames that the script has waited for

	prologue []frame

	mu     sync.Mutex // guards what follows, which the reader writes
	frames []frame
	tail   []byte // bytes that are no whole frame
	closed bool
	more   chan struct{} // a token: something came
	done   chan struct{} // closed by the reader
}

// transcript is what came of a play.
type transcript struct {
	greeting map[string]string
	prologue []frame // what came before the script's first step
	frames   []frame
	tail     []byte
	// unanswered tells that the script ends with work that is never answered.
	unanswered bool
}

// applicationName is under what a play's session is found in the journal.
func applicationName(s *script, m mode) string { return "wire " + s.name + " " + m.name }

// start plays a script from log-in to the end of the connection.
func start(tb testing.TB, site *testkit.Site, s *script, m mode, other *pgconn.PgConn) *transcript {
	tb.Helper()
	p := &play{tb: tb, script: s, mode: m, site: site, second: other, more: make(chan struct{}, 1), done: make(chan struct{})}
	ctx, stop := context.WithTimeout(tb.Context(), 3*patience)
	defer stop()
	for _, sql := range s.header.reset {
		p.runSecond(ctx, sql)
	}
	hc, err := connect(ctx, dsn(site, s.header.role, m.proxied), applicationName(s, m), s.header.startup)
	if err != nil {
		tb.Fatalf("%s: log-in: %v", m.name, err)
	}
	p.hc = hc
	defer func() {
		_ = hc.Conn.Close()
		<-p.done
	}()
	if err := hc.Conn.SetReadDeadline(time.Now().Add(3 * patience)); err != nil {
		tb.Fatal(err)
	}
	go p.read()
	p.findPID(ctx)
	for i := range s.steps {
		p.step(ctx, &s.steps[i])
	}
	p.finish(ctx)
	return &transcript{
		greeting: hc.ParameterStatuses, prologue: p.prologue, frames: p.frames, tail: p.tail,
		unanswered: s.header.unanswered,
	}
}

// findPID asks for the backend's process id where the script needs it: the key
// that the proxy gives is its own.
func (p *play) findPID(ctx context.Context) {
	if !p.script.needsPID() {
		return
	}
	p.write(pidQuery)
	p.until(ctx, 'Z', 1, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	const value = 2 + 4 // behind the number of columns and the size of the first
	for _, f := range p.frames {
		if f.typ == 'D' {
			p.pid = string(f.body[value:])
		}
	}
	p.prologue, p.frames, p.seen = p.frames, nil, 0
}

var pidQuery = append([]byte{'Q', 0, 0, 0, byte(4 + len(pidSQL) + 1)}, pidSQL+"\x00"...)

const pidSQL = "SELECT pg_backend_pid()"

func (s *script) needsPID() bool {
	for i := range s.steps {
		if strings.Contains(s.steps[i].text, "${pid}") {
			return true
		}
	}
	return false
}

func (p *play) step(ctx context.Context, s *step) {
	switch s.kind {
	case emit:
		p.queue = append(p.queue, p.standIn(s.data)...)
		return
	case send, until, untilClose:
		if p.mode.whole {
			return
		}
		p.flush()
	case run, await, cancel, leave:
		p.flush()
	case oneByte, handshake:
		p.fail(s.line, "in raw scripts only")
	}
	switch s.kind {
	case until:
		p.until(ctx, s.text[0], s.n, s.line)
	case untilClose:
		p.untilClose(ctx, s.line)
	case run:
		p.runSecond(ctx, s.text)
	case await:
		p.awaitSecond(ctx, s)
	case cancel:
		if err := cancelRequest(ctx, p.hc, s.text); err != nil {
			p.fail(s.line, "cancel: %v", err)
		}
	case leave:
		if err := p.hc.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			p.fail(s.line, "close: %v", err)
		}
	default:
	}
}

// standIn gives the direct play of a script about denial a text that PostgreSQL
// refuses where the proxy refuses the original.
func (p *play) standIn(data []byte) []byte {
	if p.mode.proxied || len(p.script.header.standIn) == 0 {
		return data
	}
	body := string(data[5:])
	for _, pair := range p.script.header.standIn {
		body = strings.ReplaceAll(body, pair[0], pair[1])
	}
	size := len(body) + 4
	return append([]byte{data[0], byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, body...)
}

// finish sends what is left and a Terminate, and reads to the end: whatever came
// too much is seen.
func (p *play) finish(ctx context.Context) {
	p.queue = append(p.queue, 'X', 0, 0, 0, 4)
	p.flush()
	p.untilClose(ctx, 0)
}

func (p *play) flush() {
	p.write(p.queue)
	p.queue = p.queue[:0]
}

// write sends bytes, in pieces where the mode says so. A server that closed
// already is no fault: what it said before is compared.
func (p *play) write(b []byte) {
	piece := p.mode.piece
	if piece == 0 {
		piece = len(b)
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		if _, err := p.hc.Conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// read collects what the server sends until it closes.
func (p *play) read() {
	defer close(p.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := p.hc.Conn.Read(buf)
		p.mu.Lock()
		var frames []frame
		frames, p.tail = cut(append(p.tail, buf[:n]...))
		p.frames = append(p.frames, frames...)
		p.closed = err != nil
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// until waits for the n-th message of a type behind those that were waited for.
func (p *play) until(ctx context.Context, typ byte, n, line int) {
	p.wait(ctx, line, "no "+strconv.Itoa(n)+" "+typeNames[typ], func() bool {
		for i, left := p.seen, n; i < len(p.frames); i++ {
			if p.frames[i].typ != typ {
				continue
			}
			if left--; left == 0 {
				p.seen = i + 1
				return true
			}
		}
		return false
	})
}

func (p *play) untilClose(ctx context.Context, line int) {
	p.wait(ctx, line, "the connection is not closed", func() bool { return p.closed })
}

func (p *play) wait(ctx context.Context, line int, what string, there func() bool) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		ok, over := there(), p.closed
		p.mu.Unlock()
		if ok {
			return
		}
		if over {
			p.fail(line, "%s: the connection was closed", what)
		}
		select {
		case <-p.more:
		case <-deadline.C:
			p.fail(line, "%s in %v", what, patience)
		case <-ctx.Done():
			p.fail(line, "%s: %v", what, ctx.Err())
		}
	}
}

func (p *play) fail(line int, format string, values ...any) {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tb.Fatalf("%s, line %d: %s; so far:\n%s", p.mode.name, line, fmt.Sprintf(format, values...), strings.Join(lines(p.frames), "\n"))
}

func (p *play) runSecond(ctx context.Context, sql string) {
	p.tb.Helper()
	if _, err := p.second.Exec(ctx, strings.ReplaceAll(sql, "${pid}", p.pid)).ReadAll(); err != nil {
		p.tb.Fatalf("%s: second connection: %s: %v", p.mode.name, sql, err)
	}
}

func (p *play) awaitSecond(ctx context.Context, s *step) {
	sql := strings.ReplaceAll(s.text, "${pid}", p.pid)
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	err := testkit.WaitFor(ctx, func() error {
		results, err := p.second.Exec(ctx, sql).ReadAll()
		if err != nil {
			return err
		}
		if rows := results[0].Rows; len(rows) != 1 || string(rows[0][0]) != "t" {
			return fmt.Errorf("%s: not true", sql)
		}
		return nil
	})
	if err != nil {
		p.fail(s.line, "%v", err)
	}
}

func lines(frames []frame) []string {
	out := make([]string, len(frames))
	for i, f := range frames {
		out[i] = f.String()
	}
	return out
}
