package driver

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	bignum "math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: bignum.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// encrypted is a session whose peers speak TLS.
type encrypted struct {
	*ends
	client, backend *tls.Conn
	raw             net.Conn // of the client
}

func trusting(version uint16) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MaxVersion: version} //nolint:gosec // nobody is between the test and itself
}

// startTLS starts a session over TLS to both sides. before is called with the
// proxy's end of the client's connection, when that is established.
func (d kind) startTLS(tb testing.TB, before func(client, proxy *tls.Conn)) *encrypted {
	tb.Helper()
	server := &tls.Config{Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: true}
	e := &encrypted{}
	e.ends = d.startWith(tb, func(_ *relay.Options, o *Options) {
		outside, inside := tcpPair(tb)
		e.raw = outside
		client, proxy := tls.Client(outside, trusting(d.version)), tls.Server(handover.New(inside), server)
		shake(tb, client, proxy)
		before(client, proxy)
		o.Client, e.client = proxy, client
		outside, inside = tcpPair(tb)
		backend, toBackend := tls.Server(outside, server), tls.Client(handover.New(inside), trusting(d.version))
		shake(tb, backend, toBackend)
		o.Backend, e.backend = toBackend, backend
	})
	tb.Cleanup(func() {
		_ = e.client.Close()
		_ = e.backend.Close()
	})
	return e
}

func shake(tb testing.TB, a, b *tls.Conn) {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- a.Handshake() }()
	if err := b.Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
}

func asIs(_, _ *tls.Conn) {}

// tlsKinds are all drivers with each version of TLS.
func tlsKinds(tb testing.TB) []kind {
	tb.Helper()
	var list []kind
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		for _, d := range kinds(tb) {
			list = append(list, kind{name: d.name + "/" + name, loops: d.loops, version: version})
		}
	}
	return list
}

func TestTLS(t *testing.T) {
	for _, d := range tlsKinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.startTLS(t, asIs)
			for range 10 {
				send(t, e.client, query)
				if got := receive(t, e.backend, len(query)); !bytes.Equal(got, query) {
					t.Fatalf("the backend got %q", got)
				}
				send(t, e.backend, answer)
				if got := receive(t, e.client, len(answer)); !bytes.Equal(got, answer) {
					t.Fatalf("the client got %q", got)
				}
			}
		})
	}
}

// More than any buffer holds, in both directions at once.
func TestTLSInBulk(t *testing.T) {
	for _, d := range tlsKinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.startTLS(t, asIs)
			rows := bytes.Repeat(row, 8<<20/len(row))
			queries := bytes.Repeat(pgwire.AppendMessage(nil, pgwire.Query, bytes.Repeat([]byte("x"), 300), []byte{0}), 500)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = e.client.Write(queries) })
			wg.Go(func() { _, _ = e.backend.Write(rows) })
			wg.Go(func() {
				if got := receive(t, e.backend, len(queries)); !bytes.Equal(got, queries) {
					t.Error("the backend got something else")
				}
			})
			if got := receive(t, e.client, len(rows)); !bytes.Equal(got, rows) {
				t.Error("the client got something else")
			}
			wg.Wait()
		})
	}
}

// TestReadAheadIsHandedOver: what crypto/tls has read when the session begins, no
// event will ever tell of.
func TestReadAheadIsHandedOver(t *testing.T) {
	for _, d := range tlsKinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.startTLS(t, func(client, proxy *tls.Conn) {
				send(t, client, append([]byte("start-up"), query...))
				send(t, client, query[:3])
				if got := receive(t, proxy, len("start-up")); string(got) != "start-up" {
					t.Fatalf("read %q", got)
				}
				_ = proxy.SetReadDeadline(time.Time{})
			})
			receive(t, e.backend, len(query))
			send(t, e.client, query[3:])
			if got := receive(t, e.backend, len(query)); !bytes.Equal(got, query) {
				t.Errorf("the backend got %q", got)
			}
		})
	}
}

// The client says close_notify, and waits for its answer.
func TestCloseNotify(t *testing.T) {
	for _, d := range tlsKinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.startTLS(t, asIs)
			send(t, e.client, query)
			if err := e.client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := rest(t, e.backend); !bytes.Equal(got, query) {
				t.Errorf("the backend got %q", got)
			}
			send(t, e.backend, answer)
			_ = e.backend.Close()
			got, err := io.ReadAll(e.client)
			if !bytes.Equal(got, answer) || err != nil {
				t.Errorf("the client got %q, %v", got, err)
			}
			e.ended(t, ClientClosed)
		})
	}
}

// TestTLSAtEachByte: records that come in pieces of one byte.
func TestTLSAtEachByte(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			outside, inside := tcpPair(t)
			drip := &dripping{Conn: outside}
			server := &tls.Config{Certificates: []tls.Certificate{certificate()}}
			client, proxy := tls.Client(drip, trusting(0)), tls.Server(handover.New(inside), server)
			shake(t, client, proxy)
			e := d.startWith(t, func(_ *relay.Options, o *Options) {
				o.Client, o.Backend = proxy, handover.New(o.Backend)
			})
			drip.on = true
			go func() {
				for range 20 {
					_, _ = client.Write(query)
				}
			}()
			for range 20 {
				if got := receive(t, e.backend, len(query)); !bytes.Equal(got, query) {
					t.Fatalf("the backend got %q", got)
				}
			}
			_ = client.Close()
			if got := rest(t, e.backend); len(got) > 0 {
				t.Errorf("the backend got %q behind what it has not answered", got)
			}
		})
	}
}

// dripping is a connection that sends each byte by itself.
type dripping struct {
	net.Conn
	on bool
}

func (d *dripping) Write(b []byte) (int, error) {
	if !d.on {
		return d.Conn.Write(b)
	}
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}
