package driver

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// records is one direction of TLS 1.3 as RFC 8446, section 5.2, has it, for what
// crypto/tls does not do by itself: it begins no key update.
type records struct {
	secret []byte
	seq    uint64
	aead   cipher.AEAD
	iv     []byte
}

func newRecords(tb testing.TB, secret []byte) *records {
	tb.Helper()
	r := &records{secret: secret}
	block, err := aes.NewCipher(r.expand(tb, "key", 16))
	if err != nil {
		tb.Fatal(err)
	}
	if r.aead, err = cipher.NewGCM(block); err != nil {
		tb.Fatal(err)
	}
	r.iv = r.expand(tb, "iv", 12)
	return r
}

// expand is HKDF-Expand-Label without a context.
func (r *records) expand(tb testing.TB, label string, n int) []byte {
	tb.Helper()
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(6+len(label))), "tls13 "+label...), 0)
	b, err := hkdf.Expand(sha256.New, r.secret, string(info), n)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// next is what follows a key update.
func (r *records) next(tb testing.TB) *records {
	tb.Helper()
	return newRecords(tb, r.expand(tb, "traffic upd", 32))
}

func (r *records) nonce() []byte {
	n := bytes.Clone(r.iv)
	binary.BigEndian.PutUint64(n[4:], binary.BigEndian.Uint64(n[4:])^r.seq)
	r.seq++
	return n
}

const applicationData, handshake = 23, 22

func (r *records) seal(typ byte, b []byte) []byte {
	head := []byte{applicationData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(b)+1+r.aead.Overhead()))
	return r.aead.Seal(head, r.nonce(), append(bytes.Clone(b), typ), head)
}

// open reads a record.
func (r *records) open(tb testing.TB, c net.Conn) (typ byte, b []byte) {
	tb.Helper()
	head := make([]byte, 5)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, head); err != nil {
		tb.Fatal(err)
	}
	b = make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(c, b); err != nil {
		tb.Fatal(err)
	}
	b, err := r.aead.Open(b[:0], r.nonce(), b, head)
	if err != nil {
		tb.Fatal(err)
	}
	return b[len(b)-1], b[:len(b)-1]
}

// keyed is a session whose client's TLS the test speaks by itself.
type keyed struct {
	*ends
	raw      net.Conn
	sent     *records
	received *records
}

func (d kind) startKeyed(t *testing.T) *keyed {
	t.Helper()
	var log bytes.Buffer
	config := trusting(tls.VersionTLS13)
	config.KeyLogWriter = &log
	k := &keyed{}
	k.ends = d.startWith(t, func(_ *relay.Options, o *Options) {
		outside, inside := unixPair(t)
		server := &tls.Config{Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: true}
		client, proxy := tls.Client(outside, config), tls.Server(handover.New(inside), server)
		shake(t, client, proxy)
		if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Fatalf("the suite is %s: this test makes the keys of AES-128 alone", tls.CipherSuiteName(suite))
		}
		k.raw = outside
		o.Client, o.Backend = proxy, handover.New(o.Backend)
	})
	t.Cleanup(func() { _ = k.raw.Close() })
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			k.sent = newRecords(t, secret)
		case "SERVER_TRAFFIC_SECRET_0":
			k.received = newRecords(t, secret)
		}
	}
	return k
}

// update sends a key update that asks for one in return.
func (k *keyed) update(t *testing.T) {
	t.Helper()
	if _, err := k.raw.Write(k.sent.seal(handshake, []byte{24, 0, 0, 1, 1})); err != nil {
		t.Fatal(err)
	}
	k.sent = k.sent.next(t)
}

// TestKeyUpdate: a read that writes. The answer leaves, and the session goes on with
// new keys in both directions.
func TestKeyUpdate(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			k := d.startKeyed(t)
			for range 3 {
				send(t, k.raw, k.sent.seal(applicationData, query))
				receive(t, k.backend, len(query))
				k.update(t)
				if typ, b := k.received.open(t, k.raw); typ != handshake || !bytes.Equal(b, []byte{24, 0, 0, 1, 0}) {
					t.Fatalf("the answer is %d %x", typ, b)
				}
				k.received = k.received.next(t)
				send(t, k.backend, answer)
				if _, b := k.received.open(t, k.raw); !bytes.Equal(b, answer) {
					t.Fatalf("the client got %q", b)
				}
			}
		})
	}
}

// unixPair are two ends whose buffers hold what they say: of many small segments that
// nobody reads, TCP drops some, acknowledgements included, and waits for its timers.
func unixPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}
