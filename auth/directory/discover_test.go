package directory

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// nameServer is a name server of the domain, on the loopback.
type nameServer struct {
	address string

	mu    sync.Mutex
	hosts []string          // guarded by mu; of the controllers, in order
	addrs map[string]string // guarded by mu; their addresses
	asked int               // guarded by mu; for the controllers
	code  dnsmessage.RCode  // guarded by mu
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	s := &nameServer{address: conn.LocalAddr().String(), addrs: map[string]string{}}
	var work sync.WaitGroup
	work.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			s.answer(&m)
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		work.Wait()
	})
	return s
}

func (s *nameServer) names(hosts map[string]string, order ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs, s.hosts = hosts, order
}

func (s *nameServer) answer(m *dnsmessage.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := m.Questions[0]
	m.Response, m.RCode = true, s.code
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
	name := strings.TrimSuffix(q.Name.String(), ".")
	switch {
	case s.code != dnsmessage.RCodeSuccess:
	case q.Type == dnsmessage.TypeSRV && name == "_ldap._tcp.dc._msdcs."+testkit.Domain:
		s.asked++
		for i, host := range s.hosts {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.SRVResource{
				Priority: uint16(i), Port: 389, Target: dnsmessage.MustNewName(host + "."),
			}})
		}
	case q.Type == dnsmessage.TypeA && s.addrs[name] != "":
		var a dnsmessage.AResource
		copy(a.A[:], net.ParseIP(s.addrs[name]).To4())
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &a})
	}
}

// inDomain makes two controllers whose certificates name the domain, as those of
// domain controllers do.
func inDomain(t *testing.T) (*testkit.CA, *testkit.Controller, *testkit.Controller) {
	t.Helper()
	ca, err := testkit.NewCA("CORP")
	must(t, err)
	leaf, err := ca.Issue(testkit.Leaf{Names: []string{testkit.ControllerName, testkit.Domain}})
	must(t, err)
	o := testkit.Options{CA: ca, Certificate: leaf}
	return ca, testkit.NewController(t, o), testkit.NewController(t, o)
}

// TestDiscovery: the controllers are those that DNS names, and no log-in fails when one
// of them dies, or is replaced by another.
func TestDiscovery(t *testing.T) {
	ca, first, second := inDomain(t)
	for _, startTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("StartTLS %v", startTLS), func(t *testing.T) {
			s := newNameServer(t)
			s.names(map[string]string{"dc1.corp.example.com": first.Addr.String(), "dc2.corp.example.com": second.Addr.String()}, "dc1.corp.example.com", "dc2.corp.example.com")
			o := testOptions(ca.Pool())
			o.Discover, o.NameServer, o.StartTLS = true, s.address, startTLS
			d := openDirectory(t, o)
			var storm sync.WaitGroup
			for range 10 {
				storm.Go(func() {
					if err := d.Probe(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			storm.Wait()
			if s.mu.Lock(); s.asked != 1 {
				t.Errorf("DNS was asked %d times", s.asked)
			}
			s.mu.Unlock()
			list := d.known()
			if want := map[bool]string{false: "ldaps://dc1.corp.example.com:636", true: "ldap://dc1.corp.example.com:389"}[startTLS]; len(list) != 2 || list[0].url != want {
				t.Fatalf("found %v", list)
			}
			must(t, first.Kill())
			defer func() { must(t, first.Start(t.Context())) }()
			_, err := authenticate(t, d, "alice", testkit.AlicePassword)
			must(t, err)

			// DNS names the second alone; then nobody answers there, and what is known holds.
			s.names(map[string]string{"dc2.corp.example.com": second.Addr.String()}, "dc2.corp.example.com")
			d.fleet.mu.Lock()
			d.fleet.found = d.fleet.found.Add(-2 * discoverEvery)
			d.fleet.mu.Unlock()
			must(t, testkit.WaitFor(within(t, testTimeout*4), func() error {
				_, err := authenticate(t, d, "alice", testkit.AlicePassword)
				if n := len(d.known()); err == nil && n != 1 {
					err = fmt.Errorf("%d controllers are known", n)
				}
				return errors.Join(err)
			}))
			s.mu.Lock()
			s.code = dnsmessage.RCodeServerFailure
			s.mu.Unlock()
			if _, err := d.discover(t.Context()); err != nil {
				t.Errorf("just found, and: %v", err)
			}
			must(t, d.Probe(t.Context()))
		})
	}
}

// TestDiscoveryIsNotTrusted: a name server can keep people out, and send nobody's
// password to a host that is no controller.
func TestDiscoveryIsNotTrusted(t *testing.T) {
	c := testkit.SharedController(t) // its certificate names its host alone
	s := newNameServer(t)
	o := testOptions(c.CA.Pool())
	o.Discover, o.NameServer = true, s.address
	for _, test := range []struct {
		what string
		do   func()
		says string
	}{
		{"another host", func() { s.names(map[string]string{testkit.ControllerName: c.Addr.String()}, testkit.ControllerName) }, "not " + testkit.Domain},
		{"no controller", func() { s.names(nil) }, "look for domain controllers"},
		{"the root", func() { s.names(nil, "") }, "names no domain controller"},
		{"a host that is not there", func() { s.names(nil, "nowhere.example.com") }, "nowhere.example.com"},
	} {
		test.do()
		_, err := authenticate(t, openDirectory(t, o), "alice", testkit.AlicePassword)
		if f := wantCause(t, err, auth.CauseDirectoryDown); !strings.Contains(f.Detail, test.says) {
			t.Errorf("%s: %s", test.what, f.Detail)
		}
	}
	s.names(map[string]string{testkit.ControllerName: c.Addr.String()}, testkit.ControllerName)
	o.ServerName = testkit.ControllerName
	must(t, openDirectory(t, o).Probe(t.Context()))
}

// TestStartTLS: nothing is said before TLS is on, and without it nothing at all.
func TestStartTLS(t *testing.T) {
	c := testkit.SharedController(t)
	plain := "ldap://" + c.Addr.String()
	o := testOptions(c.CA.Pool(), plain)
	if _, err := Open(o, nil); err == nil || !strings.Contains(err.Error(), "StartTLS") {
		t.Fatalf("ldap:// without StartTLS: %v", err)
	}
	o.StartTLS = true
	d := openDirectory(t, o)
	_, err := authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)
	_, err = authenticate(t, d, "alice", "Not-the-0ne")
	wantCause(t, err, auth.CauseWrongPassword)
	o.ServerName = "dc9.corp.example.com"
	if f := wantCause(t, openDirectory(t, o).Probe(t.Context()), auth.CauseDirectoryDown); !strings.Contains(f.Detail, "StartTLS") || !strings.Contains(f.Detail, "dc9.corp.example.com") {
		t.Errorf("the detail is %q", f.Detail)
	}
}

// TestTLSEndsOnTheWay: a controller behind something that ends TLS takes no password,
// and what is wrong is told as such.
func TestTLSEndsOnTheWay(t *testing.T) {
	c := testkit.SharedController(t)
	ca, err := testkit.NewCA("balancer")
	must(t, err)
	leaf, err := ca.Issue(testkit.Leaf{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, MinVersion: tls.VersionTLS12})
	must(t, err)
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { forward(in, net.JoinHostPort(c.Addr.String(), "389")) })
		}
	})
	o := testOptions(ca.Pool(), "ldaps://"+l.Addr().String())
	_, err = authenticate(t, openDirectory(t, o), "alice", testkit.AlicePassword)
	if f := wantCause(t, err, auth.CauseDirectoryDown); !strings.Contains(f.Detail, "something on the way ends it") {
		t.Errorf("the detail is %q", f.Detail)
	}
}

// forward carries bytes both ways until one side ends.
func forward(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	var work sync.WaitGroup
	work.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	})
	_, _ = io.Copy(in, out)
	_ = in.Close()
	work.Wait()
}

// TestBadBindings: what a controller says that enforces channel binding. No Samba does.
func TestBadBindings(t *testing.T) {
	err := ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New("80090346: LdapErr: DSID-0C090574, comment: AcceptSecurityContext error, data 80090346, v4563"))
	if got := bindFailure(err); got.Cause != auth.CauseDirectoryDown || !strings.Contains(got.Detail, "channel binding") {
		t.Errorf("%s: %s", got.Cause, got.Detail)
	}
}

// TestRevival: who logs in waits for a controller that is frozen once, and never again
// while it is; it is asked first again when it answers.
func TestRevival(t *testing.T) {
	ca, first, second := inDomain(t)
	o := testOptions(ca.Pool(), first.URL, second.URL)
	o.ServerName, o.Timeout = testkit.Domain, 2*time.Second
	d := openDirectory(t, o)
	var mu sync.Mutex
	later := time.Duration(0)
	d.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(later) }
	must(t, first.Freeze())
	must(t, d.Probe(t.Context()))
	mu.Lock()
	later += 2 * downFor // it is due
	mu.Unlock()
	order, err := d.inOrder(t.Context())
	if err != nil || order[0].url != second.URL {
		t.Fatalf("asked first: %v, %v", order, err)
	}
	must(t, first.Thaw())
	must(t, testkit.WaitFor(within(t, 60*time.Second), func() error {
		mu.Lock()
		later += downFor
		mu.Unlock()
		order, err := d.inOrder(t.Context())
		if err == nil && order[0].url != first.URL {
			err = errors.New("the second is asked first still")
		}
		return err
	}))
}
