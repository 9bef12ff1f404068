package crowds

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// order is what a crowd is told to do.
type order struct {
	Kind    string
	Address string // of the proxy
	Count   int    // of connections, or of those that work at once
	Sources int    // addresses that they come from
	Network byte   // 127.Network.0.0 and on
	Rate    int    // connections a second that are opened at most
	User    string // of those that log in
	Word    string
	Insist  bool // nobody has come who has not got as far as it wants
}

// scripted is the kind of what is no crowd, but serves one.
const scripted = "backend"

// tally is what became of a crowd's connections, by what they were told.
type tally struct {
	Opened int
	Told   map[string]int
}

// crowd is a process of clients, as the test has it.
type crowd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// gather starts a crowd, and waits until all have come.
func gather(t *testing.T, o order) *crowd {
	t.Helper()
	c := call(t, o)
	c.awaited(t)
	return c
}

// call starts a crowd.
func call(t *testing.T, o order) *crowd {
	t.Helper()
	c := &crowd{cmd: exec.Command(os.Args[0])} // it ends with its input, at the latest when this program does
	role := "crowd"
	if o.Kind == scripted {
		role = scripted
	}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.in.Close() })
	if err := json.NewEncoder(c.in).Encode(o); err != nil {
		t.Fatal(err)
	}
	return c
}

// awaited waits until all of the crowd have come as far as they want.
func (c *crowd) awaited(t *testing.T) {
	t.Helper()
	if _, err := c.out.ReadString('\n'); err != nil {
		t.Fatalf("the crowd did not come: %v", err)
	}
}

// disperse ends the crowd.
func (c *crowd) disperse(t *testing.T) tally {
	t.Helper()
	_ = c.in.Close()
	var told tally
	if err := json.NewDecoder(c.out).Decode(&told); err != nil {
		t.Errorf("the crowd says nothing: %v", err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the crowd: %v", err)
	}
	return told
}

// attacker is a crowd, from inside.
type attacker struct {
	order
	ctx    context.Context
	tls    *tls.Config
	turn   atomic.Int64 // numbers the connections
	paced  <-chan time.Time
	opened atomic.Int64

	mu   sync.Mutex
	told map[string]int // guarded by mu
}

// beCrowd does what it is told until its input ends.
func beCrowd(in io.Reader, out io.Writer) int {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19)
	lines := bufio.NewReader(in)
	a := &attacker{told: map[string]int{}, tls: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it trusts nobody, and has nothing to lose
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a.order)
	}
	do := kinds[a.Kind]
	if err != nil || do == nil {
		fmt.Fprintln(os.Stderr, "a crowd for what?", a.Kind, err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	a.ctx = ctx
	pace := time.NewTicker(time.Second / time.Duration(max(1, a.Rate)))
	defer pace.Stop()
	a.paced = pace.C
	var came, over sync.WaitGroup
	for range a.Count {
		came.Add(1)
		over.Go(func() {
			come := sync.OnceFunc(came.Done)
			for ctx.Err() == nil {
				a.one(do, come)
			}
		})
	}
	came.Wait()
	_, _ = fmt.Fprintln(out, "here")
	_, _ = io.Copy(io.Discard, lines)
	stop()
	over.Wait()
	_ = json.NewEncoder(out).Encode(tally{int(a.opened.Load()), a.told})
	return 0
}

// one is one connection from its beginning to its end.
func (a *attacker) one(do func(*visitor) error, here func()) {
	select {
	case <-a.paced:
	case <-a.ctx.Done():
		return
	}
	n := int(a.turn.Add(1))
	at := n % a.Sources
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, a.Network, byte(at>>8), byte(at))}, Timeout: 5 * time.Second}
	conn, err := d.DialContext(a.ctx, "tcp", a.Address)
	if err != nil {
		a.note("no connection")
		if !a.Insist {
			here()
		}
		return
	}
	a.opened.Add(1)
	_ = conn.(*net.TCPConn).SetLinger(0) // nothing of it is to stay behind
	v := &visitor{attacker: a, n: n, conn: conn, here: here}
	stop := context.AfterFunc(a.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = do(v)
	stop()
	if !a.Insist {
		here()
	}
	_ = conn.Close()
	a.note(a.outcome(err))
}

func (a *attacker) note(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told[what]++
}

// outcome is how a connection ended.
func (a *attacker) outcome(err error) string {
	var told *told
	switch {
	case errors.As(err, &told):
		return told.code
	case a.ctx.Err() != nil:
		return "there to the end"
	case err == nil:
		return "done"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	default:
		return "another error"
	}
}

// told is an error that the proxy sent.
type told struct{ code string }

func (e *told) Error() string { return e.code }

// visitor is one of a crowd, with the connection that it has.
type visitor struct {
	*attacker
	n    int
	conn net.Conn
	here func() // says that it has come as far as it wants
}

// stay waits until the connection ends.
func (v *visitor) stay() error {
	v.here()
	var b [512]byte
	for {
		n, err := v.conn.Read(b[:])
		if n > 0 {
			if code := codeOf(b[:n]); code != "" {
				return &told{code}
			}
		}
		if err != nil {
			return err
		}
	}
}

// codeOf reads the SQLSTATE of an ErrorResponse; "" where there is none.
func codeOf(b []byte) string {
	if len(b) < 5 || b[0] != 'E' {
		return ""
	}
	var e pgproto3.ErrorResponse
	end := min(len(b), 1+int(binary.BigEndian.Uint32(b[1:])))
	if e.Decode(b[5:end]) != nil {
		return ""
	}
	return e.Code
}

const (
	codeSSL    = 80877103
	codeCancel = 80877102
	protocol30 = 3 << 16
)

func packet(code uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// frame is a message whose header claims that it has more bytes than it has.
func frame(typ byte, body string, more int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(body)+more)), body...)
}

func startup(user, database string) []byte {
	return packet(protocol30, []byte("user\x00"+user+"\x00database\x00"+database+"\x00\x00")...)
}

// askTLS sends an SSLRequest, and reads the answer.
func (v *visitor) askTLS() error {
	if _, err := v.conn.Write(packet(codeSSL)); err != nil {
		return err
	}
	var b [512]byte
	n, err := v.conn.Read(b[:])
	if err != nil {
		return err
	}
	if b[0] != 'S' {
		return &told{codeOf(b[:n])}
	}
	return nil
}

// startTLS begins TLS.
func (v *visitor) startTLS() error {
	if err := v.askTLS(); err != nil {
		return err
	}
	c := tls.Client(v.conn, v.tls)
	if err := c.HandshakeContext(v.ctx); err != nil {
		return err
	}
	v.conn = c
	return nil
}

// askedForPassword sends a StartupMessage over TLS, and reads what is asked for.
func (v *visitor) askedForPassword(user, database string) (*pgproto3.Frontend, error) {
	if err := v.startTLS(); err != nil {
		return nil, err
	}
	if _, err := v.conn.Write(startup(user, database)); err != nil {
		return nil, err
	}
	f := pgproto3.NewFrontend(v.conn, v.conn)
	m, err := f.Receive()
	if e, ok := m.(*pgproto3.ErrorResponse); ok {
		err = &told{e.Code}
	}
	return f, err
}

// logIn has a session.
func (v *visitor) logIn(user, word, database string) error {
	f, err := v.askedForPassword(user, database)
	if err != nil {
		return err
	}
	if _, err := v.conn.Write(frame('p', word+"\x00", 0)); err != nil {
		return err
	}
	for {
		m, err := f.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return &told{m.Code}
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}

// enter is a session in the lab, where everything is allowed.
func (v *visitor) enter() error { return v.logIn(v.User, v.Word, testkit.LabDatabase) }
