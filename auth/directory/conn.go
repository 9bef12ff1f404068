package directory

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

const (
	// mostBytes bounds what a controller may answer to one operation. The largest
	// good answer, a thousand entries of a few short attributes, is below. What the
	// library makes of bytes takes up to 125 times their room: two are an element.
	mostBytes = 2 << 20
	// mostOfBind bounds the answer to a bind, which says yes, or why not.
	mostOfBind = 64 << 10
	// mostNested bounds the elements within elements: the values of an entry are six
	// deep, and for each level the library copies what is in it.
	mostNested = 16
)

func init() {
	// Nobody else in this program decodes with that library.
	ber.MaxPacketLengthBytes, ber.MaxNestingDepth = mostBytes, mostNested
}

// errTooLong says that an answer went beyond mostBytes.
var errTooLong = errors.New("the answer is too long")

// unreachable is an error that says nothing of the account: the controller could
// not be reached, or went silent, or spoke no LDAP. Another one may be asked.
type unreachable struct{ err error }

func (u *unreachable) Error() string { return u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// conn is one connection to a controller, for one operation at a time.
type conn struct {
	ldap *ldap.Conn
	net  *boundedConn
	born time.Time
	idle *idleConn // the pool's; nil before the first time there
	// names are what its controller has said of groups; nil where nothing is kept of that.
	names *known
	most  int64 // bytes that an operation may be answered with
	// broken is set when the stream can no longer be trusted.
	broken bool
	// spent is set when it is not to be kept, though it answers.
	spent bool
}

// mostDials bounds the connections that are being opened to one controller at
// once. Samba's listening queue holds ten: beyond them the kernel drops the
// packet that opens a connection, and sends it again after a second.
const mostDials = 8

// dial connects, and returns when TLS is on. The timeout is for all of it: the wait for a
// place, the connection and the handshake.
func dial(ctx context.Context, c *controller, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case c.dials <- struct{}{}:
		defer func() { <-c.dials }()
	case <-ctx.Done():
		return nil, &unreachable{fmt.Errorf("wait to connect to %s: %w", c.url, ctx.Err())}
	}
	raw, err := c.connect(ctx)
	if err != nil {
		return nil, &unreachable{fmt.Errorf("connect to %s: %w", c.url, err)}
	}
	fresh := newConn(raw, !c.starts)
	if !c.starts {
		return fresh, nil
	}
	if err := fresh.do(ctx, timeout, func(l *ldap.Conn) error { return l.StartTLS(c.tls) }); err != nil {
		fresh.close()
		return nil, &unreachable{fmt.Errorf("connect to %s: StartTLS: %w", c.url, err)}
	}
	return fresh, nil
}

// newConn speaks LDAP on a connection that is open.
func newConn(raw net.Conn, encrypted bool) *conn {
	bounded := &boundedConn{Conn: raw, reader: bufio.NewReader(raw)}
	bounded.left.Store(mostBytes)
	l := ldap.NewConn(bounded, encrypted)
	l.Start()
	return &conn{ldap: l, net: bounded, born: time.Now(), most: mostBytes}
}

// connect opens the connection, with TLS on it where that comes first.
func (c *controller) connect(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{Resolver: c.resolver}
	if c.starts {
		return dialer.DialContext(ctx, "tcp", c.address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, "tcp", c.address)
}

// do runs one operation within the timeout. What the directory answers comes
// back as *ldap.Error; when there was no answer that can be used, the error is
// *unreachable and the connection broken.
func (c *conn) do(ctx context.Context, timeout time.Duration, operation func(*ldap.Conn) error) error {
	deadline := time.Now().Add(timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	c.net.left.Store(c.most)
	if err := c.net.SetDeadline(deadline); err != nil {
		c.broken = true
		return &unreachable{err}
	}
	// Most operations of the library know no context, so its end cuts them off.
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) })
	// A second hold, for what waits inside the library. Its own is a goroutine for each
	// request, and a timer for each part of an answer.
	hold := time.AfterFunc(timeout+time.Second, c.close)
	err := operation(c.ldap)
	if !hold.Stop() {
		c.broken = true
	}
	cutOff := !stop()
	if answered(err) && !cutOff {
		if e := c.net.SetDeadline(time.Time{}); e != nil {
			c.broken = true
		}
		return err
	}
	c.broken = true
	if cutOff && ctx.Err() != nil {
		return &unreachable{ctx.Err()}
	}
	if cause := c.net.failure(); cause != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return &unreachable{err}
}

// answered reports whether err is what a server may say, as opposed to what the
// library makes of a dead or nonsensical stream (its codes from 200 on).
func answered(err error) bool {
	if err == nil {
		return true
	}
	var answer *ldap.Error
	return errors.As(err, &answer) && answer.ResultCode < ldap.ErrorNetwork
}

// timedOut reports whether the connection went silent, as opposed to ended.
func (c *conn) timedOut() bool {
	return errors.Is(c.net.failure(), os.ErrDeadlineExceeded)
}

func (c *conn) close() {
	// The deadline first: the library's Close waits for its own goroutines.
	_ = c.net.SetDeadline(time.Unix(1, 0))
	_ = c.ldap.Close()
}

// boundedConn ends the connection of an answer that is too long, and remembers
// why reading ended, which the library turns into a mere text.
type boundedConn struct {
	net.Conn
	reader *bufio.Reader // the library reads its messages byte by byte
	left   atomic.Int64  // bytes that the operation may still read

	mu    sync.Mutex
	cause error // guarded by mu
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left.Load() <= 0 {
		return 0, c.fail(errTooLong)
	}
	n, err := c.reader.Read(p)
	c.left.Add(-int64(n))
	if err != nil {
		return n, c.fail(err)
	}
	return n, nil
}

func (c *boundedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		return n, c.fail(err)
	}
	return n, nil
}

func (c *boundedConn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = err
	}
	return err
}

func (c *boundedConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}
