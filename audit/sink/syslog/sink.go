package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// Sink sends to a syslog server.
type Sink struct {
	o      Options
	conn   *connection // nil where there is none
	recent recent
	doubt  []byte // frames that a broken connection may have lost
}

var _ sink.Sink = (*Sink)(nil)

// New makes a sink. It connects to nothing.
func New(o Options) *Sink { return &Sink{o: o} }

// Deliver implements sink.Sink.
func (s *Sink) Deliver(ctx context.Context, records []*journal.Record) error {
	var b []byte
	for _, r := range records {
		message, err := s.o.message(r)
		if err != nil {
			return fmt.Errorf("record %d of %s: %w", r.Sequence, r.Stream, err)
		}
		b = frame(b, message)
	}
	if s.conn != nil && s.conn.gone() {
		s.drop()
	}
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	if err := s.conn.send(ctx, s.doubt, b); err != nil {
		s.drop()
		return err
	}
	s.recent.add(append(s.doubt, b...), time.Now())
	s.doubt = nil
	return nil
}

// drop ends the connection. What was sent on it shortly before is in doubt.
func (s *Sink) drop() {
	s.conn.close()
	s.conn = nil
	s.doubt = append(s.doubt, s.recent.take(time.Now())...)
}

// Close says goodbye, and waits for the server's: then it has read everything.
func (s *Sink) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.goodbye()
	s.conn.close()
	s.conn = nil
	return err
}

func (s *Sink) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout)
	defer cancel()
	conn, raw, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.conn = newConnection(conn, raw)
	return nil
}

// dial connects. raw is what is below conn; both are the same without TLS.
func (s *Sink) dial(ctx context.Context) (conn, raw net.Conn, err error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	if raw, err = dialer.DialContext(ctx, "tcp", s.o.Address); err != nil {
		return nil, nil, err
	}
	if s.o.TLS == nil {
		if a, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, nil, errors.Join(errors.New("syslog without TLS leaves this machine for nobody"), raw.Close())
		}
		return raw, raw, nil
	}
	config := s.o.TLS.Clone()
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(s.o.Address); err != nil {
			return nil, nil, errors.Join(err, raw.Close())
		}
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("TLS with %s: %w", s.o.Address, err), raw.Close())
	}
	return secured, raw, nil
}

// connection is a connection with a goroutine that reads: a syslog server says
// nothing but that it goes.
type connection struct {
	net.Conn
	raw  net.Conn      // below TLS
	over chan struct{} // closed by the goroutine
}

func newConnection(conn, raw net.Conn) *connection {
	c := &connection{Conn: conn, raw: raw, over: make(chan struct{})}
	go func() {
		defer close(c.over)
		_, _ = io.Copy(io.Discard, conn)
	}()
	return c
}

func (c *connection) gone() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *connection) close() {
	_ = c.raw.Close()
	<-c.over
}

// goodbyeWait is how long a server may take to read what it was sent.
const goodbyeWait = 2 * time.Second

func (c *connection) goodbye() error {
	_ = c.SetWriteDeadline(time.Now().Add(goodbyeWait))
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	if _, secured := c.Conn.(*tls.Conn); secured {
		if tcp, ok := c.raw.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	t := time.NewTimer(goodbyeWait)
	defer t.Stop()
	select {
	case <-c.over:
	case <-t.C:
	}
	return nil
}

var errGone = errors.New("the syslog server has closed the connection")

// send writes, and waits until the other side's system has all of it.
func (c *connection) send(ctx context.Context, parts ...[]byte) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, b := range parts {
		if _, err := c.Write(b); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if c.gone() {
			return errGone
		}
		left, err := unacknowledged(c.raw)
		if err != nil || left == 0 {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("the syslog server does not take %d bytes: %w", left, ctx.Err())
		case <-c.over:
			t.Stop()
		case <-t.C:
		}
	}
}
