package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

var everySplit = flag.Bool("wire.all", false, "play each script in every way, not with pieces of one size")

// splits are the sizes of the pieces in which one side's bytes come.
var splits = []int{1, 2, 3, 7}

// sizesFor are those for a script: one, unless all are asked for.
func sizesFor(s *script, turn uint32) []int {
	if *everySplit {
		return splits
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.name))
	return []int{splits[(h.Sum32()+turn)%uint32(len(splits))]}
}

// backendModes are the plays of a script with the backend's bytes in pieces.
func backendModes(s *script, turn uint32) (modes []mode) {
	for _, n := range sizesFor(s, turn) {
		modes = append(modes, mode{name: splitName + strconv.Itoa(n), proxied: true})
	}
	return modes
}

// clientModes are the plays of a script with the client's bytes in pieces. One by one
// they come for each script that is a file of its own.
func clientModes(s *script, turn uint32) (modes []mode) {
	sizes := sizesFor(s, turn)
	if !s.oneOfSeveral && !slices.Contains(sizes, 1) {
		sizes = slices.Concat([]int{1}, sizes)
	}
	for _, n := range sizes {
		modes = append(modes, mode{name: "split" + strconv.Itoa(n), proxied: true, piece: n})
	}
	return modes
}

// splitName is how the name of an application ends, before a number, whose backend's
// bytes are to be split.
const splitName = "backend"

// shim stands between the proxy and PostgreSQL. It speaks TLS with both, and passes on
// what PostgreSQL sends in pieces, each in a TLS record of its own.
type shim struct {
	postgres       string
	server, client *tls.Config
}

// throughShim has the proxy reach PostgreSQL by way of a shim, as long as the test.
func throughShim(t *testing.T, site *testkit.Site) {
	t.Helper()
	// With PostgreSQL's own certificate, to which the proof of the password is bound.
	cert, err := tls.LoadX509KeyPair(filepath.Join(site.Postgres.Dir, "server.crt"), filepath.Join(site.Postgres.Dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(site.Postgres.CA.PEM)
	s := &shim{
		postgres: net.JoinHostPort(site.Postgres.Host, fmt.Sprint(site.Postgres.Port)),
		server:   &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		client:   &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(site.Postgres.Host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		useBackend(context.WithoutCancel(t.Context()), t, site, s.postgres)
		_ = l.Close()
		work.Wait() // for sessions that have ended
	})
	useBackend(t.Context(), t, site, l.Addr().String())
}

// useBackend has the proxy reach PostgreSQL at that address from now on.
func useBackend(ctx context.Context, t *testing.T, site *testkit.Site, address string) {
	t.Helper()
	if err := site.WriteConfig(func(c *testkit.SiteConfig) { c.BackendAddress = address }); err != nil {
		t.Fatal(err)
	}
	if err := site.Reload(ctx); err != nil {
		t.Fatal(err)
	}
}

// serve passes one connection on.
func (s *shim) serve(proxy net.Conn) {
	defer func() { _ = proxy.Close() }()
	if _, err := packetFrom(proxy); err != nil { // SSLRequest
		return
	}
	if _, err := proxy.Write([]byte{'S'}); err != nil {
		return
	}
	near := tls.Server(proxy, s.server)
	first, err := packetFrom(near)
	if err != nil {
		return
	}
	far, err := s.dial()
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	if _, err := far.Write(first); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.CloseWrite()
	})
	both.Go(func() {
		passInPieces(near, far, pieceFor(first))
		_ = near.CloseWrite()
		_ = proxy.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
}

func (s *shim) dial() (*tls.Conn, error) {
	conn, err := net.Dial("tcp", s.postgres)
	if err != nil {
		return nil, err
	}
	var answer [1]byte
	_, err = conn.Write(packetOf(80877103, "")(nil))
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err != nil || answer[0] != 'S' {
		return nil, errors.Join(err, conn.Close())
	}
	return tls.Client(conn, s.client), nil
}

// packetFrom reads a packet without a type.
func packetFrom(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	_, err := io.ReadFull(r, body)
	return append(head, body...), err
}

// pieceFor reads in a StartupMessage how large the pieces are to be; 0 for whole.
func pieceFor(startup []byte) int {
	_, rest, ok := bytes.Cut(startup, []byte("application_name\x00"))
	name, _, _ := bytes.Cut(rest, []byte{0})
	i := bytes.LastIndex(name, []byte(" "+splitName))
	if !ok || i < 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(name[i+1+len(splitName):]))
	return n
}

// splitUpTo is how much of a connection comes in pieces, in bytes: each is a record.
const splitUpTo = 4 << 10

func passInPieces(to io.Writer, from io.Reader, piece int) {
	buf := make([]byte, 16<<10)
	for total := 0; ; {
		n, err := from.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			k := len(b)
			if piece > 0 && total < splitUpTo {
				k = min(k, piece)
			}
			if _, err := to.Write(b[:k]); err != nil {
				return
			}
			b, total = b[k:], total+k
		}
		if err != nil {
			return
		}
	}
}
