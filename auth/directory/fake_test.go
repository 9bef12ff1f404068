package directory

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// fake is an LDAP server over TLS that says what no Samba would. What a test
// leaves nil succeeds: binds are accepted, searches find nothing.
type fake struct {
	bind   func(dn, password string) (code uint16, diagnostic string)
	search func(base string, scope int, filter string, attributes []string) ([]*ldap.Entry, uint16)
	// reader is what the reading account's bind is answered with.
	reader uint16
	// raw may answer a request by itself: it then returns true.
	raw func(conn net.Conn, id int64, op ber.Tag) bool

	mu    sync.Mutex
	binds []string // guarded by mu; the names that were bound
	conns []net.Conn
}

// start listens until the test ends and returns options for it.
func (f *fake) start(t *testing.T) Options {
	t.Helper()
	ca, err := testkit.NewCA("fake")
	must(t, err)
	cert, err := ca.Issue(testkit.Leaf{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS13})
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			wg.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, conn := range f.conns {
			_ = conn.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	return testOptions(ca.Pool(), "ldaps://"+l.Addr().String())
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	for {
		packet, err := ber.ReadPacket(conn)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		id, _ := packet.Children[0].Value.(int64)
		op := packet.Children[1]
		if f.raw != nil && f.raw(conn, id, op.Tag) {
			continue
		}
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			f.answerBind(conn, id, op)
		case ldap.ApplicationSearchRequest:
			f.answerSearch(conn, id, op)
		default:
			return
		}
	}
}

func (f *fake) answerBind(conn net.Conn, id int64, op *ber.Packet) {
	dn, _ := op.Children[1].Value.(string)
	f.mu.Lock()
	f.binds = append(f.binds, dn)
	f.mu.Unlock()
	var code uint16
	var diagnostic string
	switch {
	case dn == "svc-pgcustos@"+testkit.Domain:
		code = f.reader
	case f.bind != nil:
		code, diagnostic = f.bind(dn, op.Children[2].Data.String())
	}
	_, _ = conn.Write(result(id, ldap.ApplicationBindResponse, code, diagnostic))
}

func (f *fake) answerSearch(conn net.Conn, id int64, op *ber.Packet) {
	var entries []*ldap.Entry
	var code uint16
	if f.search != nil {
		base, _ := op.Children[0].Value.(string)
		scope, _ := op.Children[1].Value.(int64)
		filter, _ := ldap.DecompileFilter(op.Children[6])
		var attributes []string
		for _, a := range op.Children[7].Children {
			name, _ := a.Value.(string)
			attributes = append(attributes, name)
		}
		entries, code = f.search(base, int(scope), filter, attributes)
	}
	for _, e := range entries {
		_, _ = conn.Write(entryBytes(id, e))
	}
	_, _ = conn.Write(result(id, ldap.ApplicationSearchResultDone, code, "as the test wants it"))
}

// boundBy returns the names that were bound, but the reading account's.
func (f *fake) boundBy() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, n := range f.binds {
		if n != "svc-pgcustos@"+testkit.Domain {
			names = append(names, n)
		}
	}
	return names
}

func message(id int64, op *ber.Packet) []byte {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	return p.Bytes()
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(id int64, tag ber.Tag, code uint16, diagnostic string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(code), ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets(diagnostic))
	return message(id, op)
}

func reference(id int64, url string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	op.AppendChild(octets(url))
	return message(id, op)
}

func entryBytes(id int64, e *ldap.Entry) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(octets(e.DN))
	attributes := ber.NewSequence("")
	for _, a := range e.Attributes {
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range a.Values {
			values.AppendChild(octets(v))
		}
		attribute := ber.NewSequence("")
		attribute.AppendChild(octets(a.Name))
		attribute.AppendChild(values)
		attributes.AppendChild(attribute)
	}
	op.AppendChild(attributes)
	return message(id, op)
}
