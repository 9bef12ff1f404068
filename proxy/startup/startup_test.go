package startup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Setting
		fail bool
	}{
		{in: "", want: nil},
		{in: "-c work_mem=1MB", want: []Setting{{"work_mem", "1MB"}}},
		{in: "-cwork_mem=1MB --jit=off", want: []Setting{{"work_mem", "1MB"}, {"jit", "off"}}},
		{in: "--search-path=a", want: []Setting{{"search_path", "a"}}},
		{in: `-c search_path=a\ b\\c`, want: []Setting{{"search_path", `a b\c`}}},
		{in: "  -c\tx.y=1\n", want: []Setting{{"x.y", "1"}}},
		{in: "-c a=b=c", want: []Setting{{"a", "b=c"}}},
		{in: "-c a=", want: []Setting{{"a", ""}}},
		{in: "--", want: nil},
		{in: "-ePS 1MB -fs", want: []Setting{{"datestyle", "euro"}, {"ignore_system_indexes", "true"}, {"work_mem", "1MB"}, {"enable_seqscan", "false"}}},
		{in: "-d 5 -tpa -b -C x -r/tmp/x", want: []Setting{{"log_min_messages", "debug5"}, {"log_parser_stats", "true"}}},
		{in: "-d0", want: []Setting{{"log_min_messages", "notice"}}},
		{in: "-c", fail: true},
		{in: "-c name", fail: true},
		{in: "-c =1", fail: true},
		{in: "-- -e", fail: true},
		{in: "-eZ", fail: true},
		{in: "-S", fail: true},
		{in: "-f", fail: true},
		{in: "-tx", fail: true},
		{in: "-", fail: true},
		{in: "stray", fail: true},
	} {
		got, err := parseOptions(c.in)
		if (err != nil) != c.fail || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %v", c.in, got, err)
		}
	}
}

func startupBody(pairs ...string) []byte {
	var b []byte
	for _, s := range pairs {
		b = append(append(b, s...), 0)
	}
	return append(b, 0)
}

func TestRoleIsRefusedInEverySpelling(t *testing.T) {
	for _, pairs := range [][]string{
		{"role", "dba"},
		{"ROLE", "dba"},
		{"session_authorization", "dba"},
		{"options", "-c role=dba"},
		{"options", "-crole=dba"},
		{"options", "--role=dba"},
		{"options", "-c Role=dba"},
		{"options", "--session-authorization=dba"},
		{"options", "-c jit=off -c session_authorization=dba"},
		{"options", `-c r\ole=dba`},
		{"options", "-ec role=dba"},
		{"options", "-Pcrole=dba"},
		{"options", `-e -C x -c role=dba stray`},
		{"options", "stray --role=dba"},
		{"replication", ""},
		{"replication", "bogus"},
		{"replication", "o"},
		{"replication", "Database"},
	} {
		r, err := readRequest(3<<16, startupBody(append([]string{"user", "alice"}, pairs...)...))
		var told *pgwire.Error
		if err == nil {
			told = r.Refusal
		}
		if told == nil && !errors.As(err, &told) || told.Severity != pgwire.SeverityFatal {
			t.Errorf("%v: %v", pairs, err)
		}
	}
}

func TestReadRequest(t *testing.T) {
	r, err := readRequest(3<<16|2, startupBody("user", "bob", "user", "alice", "application_name", "x",
		"options", "-c pgcustos.role=r -c pgcustos.reason=CHG-7 -c search_path=s"))
	if err != nil {
		t.Fatal(err)
	}
	if r.User != "alice" || r.Database != "alice" || r.Role != "r" || r.Reason != "CHG-7" || r.Get("SEARCH_PATH") != "s" || r.KeyLength() != 32 {
		t.Errorf("read %+v", r)
	}
	r, err = readRequest(3<<16, startupBody("user", "u", "TimeZone", "a", "options", "-c timezone=lost", "options", "-c timezone=b -c jit=off", "timezone", "c"))
	want := []Setting{{"timezone", "b"}, {"jit", "off"}, {"TimeZone", "a"}, {"timezone", "c"}}
	if err != nil || !slices.Equal(r.Settings, want) {
		t.Errorf("read %+v, %v", r, err)
	}
	for value, want := range map[string]Replication{
		"off": NoReplication, "F": NoReplication, "0": NoReplication, "n": NoReplication,
		"database": Logical, "true": Physical, "T": Physical, "on": Physical, "1": Physical, "ye": Physical,
	} {
		if r, err := readRequest(3<<16, startupBody("user", "u", "database", "d", "replication", value)); err != nil || r.Replication != want {
			t.Errorf("replication=%s: %+v, %v", value, r, err)
		}
	}
	long := strings.Repeat("d", 100)
	if r, err := readRequest(3<<16, startupBody("user", "u", "database", long)); err != nil || r.Database != long[:63] || r.KeyLength() != 4 {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestNegotiation(t *testing.T) {
	for _, c := range []struct {
		minor, speaks uint16
		extension     bool
		answered      bool
	}{
		{0, 0, false, false},
		{1, 0, false, true},
		{2, 2, false, false},
		{3, 2, false, true},
		{9999, 2, false, true},
		{0, 0, true, true},
		{2, 2, true, true},
	} {
		pairs := []string{"user", "alice"}
		if c.extension {
			pairs = append(pairs, "_pq_.test_protocol_negotiation", "on")
		}
		r, err := readRequest(3<<16|uint32(c.minor), startupBody(pairs...))
		if err != nil {
			t.Fatal(err)
		}
		if r.Minor != c.speaks || (r.Negotiation() != nil) != c.answered {
			t.Errorf("3.%d: speaks 3.%d, answers %q", c.minor, r.Minor, r.Negotiation())
		}
		if c.answered && binary.BigEndian.Uint32(r.Negotiation()[5:]) != 3<<16|uint32(c.speaks) {
			t.Errorf("3.%d: answers %q", c.minor, r.Negotiation())
		}
	}
}

// FuzzRequest: a StartupMessage is read or refused, and what is read was sent, asks for no
// role, and for replication in one of its two forms.
func FuzzRequest(f *testing.F) {
	f.Add(uint32(3<<16), startupBody("user", "alice", "options", "-c role=x"))
	f.Add(uint32(3<<16|9999), startupBody("user", "alice", "_pq_.x", ""))
	f.Add(uint32(2<<16), []byte{0})
	f.Fuzz(func(t *testing.T, code uint32, body []byte) {
		r, err := readRequest(code, body)
		if err != nil {
			var told *pgwire.Error
			if !errors.As(err, &told) || told.Code == "" {
				t.Fatalf("an error that cannot be told: %v", err)
			}
			return
		}
		if r.User == "" || r.Database == "" || len(r.Database) > 63 || r.Replication == Physical && r.Database != "replication" {
			t.Fatalf("read %+v", r)
		}
		given := "\x00" + string(body)
		if !strings.Contains(given, "\x00"+r.User+"\x00") || !strings.Contains(given, "\x00"+r.Database) && !strings.HasPrefix(r.User, r.Database) && r.Database != "replication" {
			t.Fatalf("read what nobody sent: %+v", r)
		}
		for _, s := range r.Settings {
			if strings.EqualFold(s.Name, "role") || strings.EqualFold(s.Name, "session_authorization") {
				t.Fatalf("a role came through: %+v", r)
			}
		}
	})
}

// FuzzPackets: what strangers send is read without a panic, and never more than
// a packet's bound is kept.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		p := &packets{conn: &script{Reader: bytes.NewReader(in)}}
		for {
			_, body, err := p.next()
			if len(body) > maxPacket {
				t.Fatalf("%d bytes were kept", len(body))
			}
			if err != nil {
				if !errors.Is(err, ErrSilent) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}

// TestLimiterMakesRoom: who has been waited for longest makes room, unless it was heard,
// and nobody before it was waited for long enough.
func TestLimiterMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 3 * time.Second
		l := NewLimiter(3, 3, patience, &Regulars{})
		addr := netip.MustParseAddr("192.0.2.1")
		var displaced []string
		enter := func(name string) *Place {
			return l.Enter(addr, func() { displaced = append(displaced, name) })
		}
		heard, slow, slower := enter("heard"), enter("slow"), enter("slower")
		heard.Heard()
		if enter("hasty") != nil {
			t.Error("somebody was displaced at once")
		}
		time.Sleep(patience)
		fourth := enter("fourth")
		if fourth == nil || !slow.Displaced() || slower.Displaced() || heard.Displaced() {
			t.Fatalf("displaced: %v", displaced)
		}
		slow.Leave() // it finds out later
		slow.Heard()
		if l.Pending() != 3 {
			t.Errorf("%d places are taken of 3", l.Pending())
		}
		if enter("fifth") == nil || enter("sixth") != nil {
			t.Error("not all that were waited for made room, or those that were not")
		}
		if got := strings.Join(displaced, " "); got != "slow slower" {
			t.Errorf("displaced: %s", got)
		}
		heard.Leave()
		if enter("seventh") == nil || fourth.Displaced() {
			t.Error("a place that was given back was not to be had")
		}
	})
}

// TestRegulars: the last places are for those who have been here, and of these only so
// many are remembered.
func TestRegulars(t *testing.T) {
	r := &Regulars{}
	l := NewLimiter(20, 20, time.Hour, r)
	regular, neighbour, stranger := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.1")
	r.Add(regular)
	fill := func(addr netip.Addr) (n int) {
		for l.Enter(addr, func() { t.Error("somebody was displaced") }) != nil {
			n++
		}
		return n
	}
	if strangers, regulars := fill(stranger), fill(neighbour); strangers != 18 || regulars != 2 {
		t.Errorf("of 20 places strangers have %d, and then regulars %d", strangers, regulars)
	}
	for i := range 2 * mostRegulars {
		r.Add(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(r.young) + len(r.old); n > 2*mostRegulars || r.Has(regular) {
		t.Errorf("%d are remembered", n)
	}
}

// script is a connection that says what it was given.
type script struct {
	net.Conn
	io.Reader
}

func (s *script) Read(b []byte) (int, error) { return s.Reader.Read(b) }

func TestLimiter(t *testing.T) {
	addr := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	somewhere := addr("192.0.2.1")
	l := NewLimiter(2, 1, time.Hour, &Regulars{})
	stay := func() { t.Error("somebody was displaced") }
	one, two, three := l.Enter(somewhere, stay), l.Enter(somewhere, stay), l.Enter(somewhere, stay)
	if one == nil || two == nil || three != nil {
		t.Fatalf("entered %v %v %v of 2", one, two, three)
	}
	one.Leave()
	one.Leave() // gives back once only
	if l.Enter(somewhere, stay) == nil || l.Pending() != 2 {
		t.Errorf("the place was not given back once: %d", l.Pending())
	}
	free, ok := l.Admit(addr("2001:db8::1"))
	if !ok {
		t.Fatal("the first of a source was refused")
	}
	if _, ok := l.Admit(addr("2001:db8::2")); ok {
		t.Error("a neighbour in the same /64 counts as another source")
	}
	if _, ok := l.Admit(addr("192.0.2.1")); !ok {
		t.Error("another source was refused")
	}
	if _, ok := l.Admit(addr("::ffff:192.0.2.1")); ok {
		t.Error("the same address in another form counts as another source")
	}
	free()
	if _, ok := l.Admit(addr("2001:db8::2")); !ok {
		t.Error("the place was not given back")
	}
}
