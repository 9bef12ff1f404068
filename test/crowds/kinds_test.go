package crowds

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// kinds are what those of a crowd do with a connection.
var kinds = map[string]func(*visitor) error{
	"idle":        (*visitor).idle,
	"half-open":   (*visitor).halfOpen,
	"slow":        (*visitor).slow,
	"connections": (*visitor).stay,
	"guesses":     (*visitor).guess,
	"cancels":     (*visitor).cancel,
	"garbage":     (*visitor).garbage,
	"garbage in":  (*visitor).garbageInside,
	"pipelines":   (*visitor).pipeline,
	"unread":      (*visitor).unread,
	"claims":      (*visitor).claim,
	"bombs":       (*visitor).bomb,
}

// Databases that the scripted backend serves; of the second one each statement waits for
// the disk.
const (
	idleDatabase    = "idle"
	durableDatabase = "durable"
)

// idle is a session that has run a statement, and runs none from then on.
func (v *visitor) idle() error {
	if err := v.logIn(v.User, v.Word, idleDatabase); err != nil {
		return err
	}
	if err := v.ask("SELECT 1"); err != nil {
		return err
	}
	return v.stay()
}

// clientHello is the first flight of a TLS client.
var clientHello = func() []byte {
	var sent recorder
	_ = tls.Client(&sent, &tls.Config{ServerName: "localhost"}).Handshake() // it ends with the first read
	return sent.Bytes()
}()

// recorder is a connection that keeps what is written, and has nothing to read.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }
func (r *recorder) Read([]byte) (int, error)    { return 0, io.EOF }
func (r *recorder) Close() error                { return nil }

// halfOpen begins a ClientHello and never ends it.
func (v *visitor) halfOpen() error {
	if err := v.askTLS(); err != nil {
		return err
	}
	return v.send(clientHello[:len(clientHello)/2])
}

func (v *visitor) send(b []byte) error {
	if _, err := v.conn.Write(b); err != nil {
		return err
	}
	return v.stay()
}

// slow stops in the middle of one of the phases, in turn, and goes on by a byte a
// second.
func (v *visitor) slow() error {
	password := frame('p', strings.Repeat("x", 100)+"\x00", 0)
	switch v.n % 6 {
	case 0: // before anything
		return v.dribble(packet(codeSSL)[:0])
	case 1:
		return v.dribble(packet(codeSSL)[:7])
	case 2:
		if err := v.askTLS(); err != nil {
			return err
		}
		return v.dribble(clientHello[:len(clientHello)-1])
	case 3: // the handshake's last word is owed
		if err := v.askTLS(); err != nil {
			return err
		}
		return v.send(clientHello)
	case 4:
		if err := v.startTLS(); err != nil {
			return err
		}
		m := startup(v.User, testkit.LabDatabase)
		return v.dribble(m[:len(m)-1])
	default:
		if _, err := v.askedForPassword(v.User, testkit.LabDatabase); err != nil {
			return err
		}
		return v.dribble(password[:len(password)-1])
	}
}

// dribble sends a byte a second.
func (v *visitor) dribble(b []byte) error {
	go func(conn net.Conn) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := range b {
			if _, err := conn.Write(b[i : i+1]); err != nil {
				return
			}
			<-tick.C
		}
	}(v.conn)
	return v.stay()
}

// guess is a log-in with a name or a password that is wrong.
func (v *visitor) guess() error {
	v.here()
	user := fmt.Sprintf("nobody-%d", v.n)
	if v.n%3 == 0 {
		user = "bob"
	}
	return v.logIn(user, "Wrong-Passw0rd", testkit.OrdersDatabase)
}

// cancel shows a key that is nobody's.
func (v *visitor) cancel() error {
	v.here()
	body := binary.BigEndian.AppendUint32(nil, rand.Uint32N(1<<20))
	if _, err := v.conn.Write(packet(codeCancel, binary.BigEndian.AppendUint32(body, rand.Uint32())...)); err != nil {
		return err
	}
	return v.stay()
}

// records that no TLS client sends behind its handshake: of no known type, an alert and
// a handshake in clear, one that cannot be decrypted, an empty one, a message of ours in
// clear, noise.
var records = [][]byte{
	{0x99, 3, 3, 0, 4, 1, 2, 3, 4},
	{0x15, 3, 3, 0, 2, 2, 40},
	append([]byte{0x16, 3, 3, 0, 4}, 0, 0, 0, 0), // HelloRequest
	append([]byte{0x17, 3, 3, 0, 32}, make([]byte, 32)...),
	{0x17, 3, 3, 0, 0},
	{0x17, 3, 3, 0xff, 0xff},
	frame('Q', "SELECT 1\x00", 0),
	[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
}

// garbage is sent below TLS, or inside it, in the place of a StartupMessage.
func (v *visitor) garbage() error {
	v.here()
	below := v.conn
	if err := v.startTLS(); err != nil {
		return err
	}
	what := v.n % (len(records) + 2)
	switch {
	case what < len(records):
		if _, err := below.Write(records[what]); err != nil {
			return err
		}
	case what == len(records):
		if _, err := v.conn.Write(clientHello); err != nil { // TLS inside TLS
			return err
		}
	default:
		var noise [4096]byte
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		if _, err := v.conn.Write(noise[:]); err != nil {
			return err
		}
	}
	_ = below.(*net.TCPConn).CloseWrite()
	return v.stay()
}

// garbageInside is the same behind a log-in.
func (v *visitor) garbageInside() error {
	v.here()
	below := v.conn
	if err := v.enter(); err != nil {
		return err
	}
	if _, err := below.Write(records[v.n%len(records)]); err != nil {
		return err
	}
	_ = below.(*net.TCPConn).CloseWrite()
	return v.stay()
}

// pipeline sends 100,000 statements and reads nothing.
func (v *visitor) pipeline() error {
	if err := v.enter(); err != nil {
		return err
	}
	v.here()
	one := frame('Q', "SELECT 1\x00", 0)
	if v.n%2 == 0 {
		one = bytes.Join([][]byte{
			frame('P', "\x00SELECT 1\x00\x00\x00", 0), frame('B', "\x00\x00\x00\x00\x00\x00\x00\x00", 0),
			frame('E', "\x00\x00\x00\x00\x00", 0), frame('S', "", 0),
		}, nil)
	}
	if _, err := v.conn.Write(bytes.Repeat(one, 100_000)); err != nil {
		return err
	}
	<-v.ctx.Done()
	return nil
}

// unread asks for 300 MB and reads nothing.
func (v *visitor) unread() error {
	if err := v.enter(); err != nil {
		return err
	}
	if _, err := v.conn.Write(frame('Q', "SELECT repeat('x', 1000000) FROM generate_series(1, 300)\x00", 0)); err != nil {
		return err
	}
	v.here()
	<-v.ctx.Done()
	return nil
}

// claim begins a message of 1 GB, and sends of it what is taken. One in four stops in
// its middle.
func (v *visitor) claim() error {
	if err := v.enter(); err != nil {
		return err
	}
	v.here()
	const gigabyte = 1<<30 - 100
	types := "QPBd"
	if _, err := v.conn.Write(frame(types[v.n%len(types)], "SELECT 1 /*", gigabyte)); err != nil {
		return err
	}
	if v.n%len(types) == 0 {
		return v.stay()
	}
	chunk := bytes.Repeat([]byte("nothing to see, "), 4<<10)
	for sent := 0; sent < gigabyte; sent += len(chunk) {
		if _, err := v.conn.Write(chunk); err != nil {
			return v.stay() // there may be a word why
		}
	}
	return v.stay()
}

// bomb is a text that is short to say and long to read, another one each time.
func (v *visitor) bomb() error {
	if err := v.enter(); err != nil {
		return err
	}
	v.here()
	for i := 0; v.ctx.Err() == nil; i++ {
		for _, text := range []string{
			"SELECT " + strings.Repeat("(", 8000+i) + "1" + strings.Repeat(")", 8000+i),
			"SELECT 1" + strings.Repeat("+1", 30_000+i),
			"SELECT " + strings.Repeat("a.", 30_000+i) + "b",
			fmt.Sprintf("SELECT 1 AS a%d_%d WHERE 1 IN (%s1)", v.n, i, strings.Repeat("1,", 100_000)),
			fmt.Sprintf("SELECT %d AS b%d_%d", i, v.n, i) + strings.Repeat(" UNION ALL SELECT 1", 3000),
			fmt.Sprintf("SELECT 'x' AS c%d_%d /* %s */", v.n, i, strings.Repeat("/* */", 100_000)),
			fmt.Sprintf("SELECT $%d_%d$%s$%d_%d$", v.n, i, strings.Repeat("x", 1<<20), v.n, i),
			"SELECT " + strings.Repeat("CASE WHEN true THEN ", 2000+i) + "1" + strings.Repeat(" END", 2000+i),
		} {
			if err := v.ask(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask sends a statement, and reads to the end of what comes of it.
func (v *visitor) ask(text string) error {
	if _, err := v.conn.Write(frame('Q', text+"\x00", 0)); err != nil {
		return err
	}
	var head [5]byte
	for {
		if _, err := io.ReadFull(v.conn, head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, v.conn, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return err
		}
		if head[0] == 'E' {
			v.note("an error")
		}
		if head[0] == 'Z' {
			return nil
		}
	}
}
