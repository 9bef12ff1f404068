package hba

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// read makes lines of what the file would hold.
func read(t *testing.T, text string) []Line {
	t.Helper()
	var lines []Line
	for i, row := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(row)
		l := Line{Number: int32(i + 1), Type: f[0], Databases: strings.Split(f[1], ","), Users: strings.Split(f[2], ",")}
		rest := f[3:]
		if l.Type != "local" {
			l.Address, rest = rest[0], rest[1:]
			if p, err := netip.ParsePrefix(l.Address); err == nil {
				ones := strings.Repeat("1", p.Bits()) + strings.Repeat("0", p.Addr().BitLen()-p.Bits())
				l.Address, l.Netmask = p.Addr().String(), mask(t, ones)
			}
		}
		l.Method, l.Options = rest[0], rest[1:]
		lines = append(lines, l)
	}
	return lines
}

func mask(t *testing.T, bits string) string {
	t.Helper()
	var b []byte
	for i := 0; i < len(bits); i += 8 {
		var octet byte
		if _, err := fmt.Sscanf(bits[i:i+8], "%08b", &octet); err != nil {
			t.Fatal(err)
		}
		b = append(b, octet)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func TestElsewhere(t *testing.T) {
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32"), netip.MustParsePrefix("2001:db8::5/128")}
	socket := []netip.Prefix(nil)
	for _, c := range []struct {
		name     string
		networks []netip.Prefix
		text     string
		want     []int32
	}{
		{"the proxy alone", proxy, "hostssl all all 10.0.0.5/32 cert map=pgcustos\nhost all all 2001:db8::5/128 scram-sha-256", nil},
		{"everywhere", proxy, "host all all 0.0.0.0/0 scram-sha-256\nhost all all ::/0 md5\nhost all all all trust", []int32{1, 2, 3}},
		{"a network around the proxy", proxy, "hostssl orders app 10.0.0.0/24 scram-sha-256", []int32{1}},
		{"other roles", proxy, "host all postgres,other 0.0.0.0/0 scram-sha-256", nil},
		{"its group", proxy, "host all +apps 10.9.0.0/16 scram-sha-256\nhost all +others 10.9.0.0/16 scram-sha-256", []int32{1}},
		{"an expression", proxy, "host all /^app 10.9.0.0/16 scram-sha-256\nhost all /^x 10.9.0.0/16 scram-sha-256", []int32{1}},
		{"replication alone", proxy, "host replication all 0.0.0.0/0 scram-sha-256", nil},
		{"rejected before", proxy, "host all app 10.0.0.5/32 scram-sha-256\nhost all app all reject\nhost all all 0.0.0.0/0 scram-sha-256\nlocal all all scram-sha-256", []int32{4}},
		{"rejected by network", proxy, "host all app 10.0.0.0/8 reject\nhost all all 10.1.0.0/16 scram-sha-256\nhost all all 11.0.0.0/8 scram-sha-256", []int32{3}},
		{"rejected in another database", proxy, "host orders app all reject\nhost all all all scram-sha-256", []int32{2}},
		{"rejected without TLS alone", proxy, "hostnossl all all all reject\nhostssl all all all scram-sha-256", []int32{2}},
		{"rejected behind", proxy, "host all all all scram-sha-256\nhost all app all reject", []int32{1}},
		{"names", proxy, "host all all db.example.com scram-sha-256\nhost all all samenet scram-sha-256", []int32{1, 2}},
		{"the socket by peer", proxy, "local all all peer", nil},
		{"the socket by peer and map", proxy, "local all all peer map=m", []int32{1}},
		{"the socket", proxy, "local all all scram-sha-256", []int32{1}},
		{"a proxy at the socket", socket, "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256", []int32{2}},
	} {
		got := Elsewhere(read(t, c.text), "app", func(u string) bool { return u == "+apps" || u == "/^app" }, c.networks)
		var numbers []int32
		for _, l := range got {
			numbers = append(numbers, l.Number)
		}
		if fmt.Sprint(numbers) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLineText(t *testing.T) {
	for text, want := range map[string]string{
		"hostssl all,x +a,b 10.0.0.0/8 scram-sha-256": "line 1 (hostssl all,x +a,b 10.0.0.0/8 scram-sha-256)",
		"local all all peer":                          "line 1 (local all all peer)",
		"host all all all trust":                      "line 1 (host all all all trust)",
		"host all all 2001:db8::/32 md5":              "line 1 (host all all 2001:db8::/32 md5)",
	} {
		if got := read(t, text)[0].String(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	broken := Line{Number: 7, Type: "host", Databases: []string{"all"}, Users: []string{"all"}, Address: "10.0.0.0", Netmask: "nonsense", Method: "trust"}
	if got := Elsewhere([]Line{broken}, "app", nil, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}); len(got) != 1 || got[0].String() != "line 7 (host all all 10.0.0.0 trust)" {
		t.Errorf("%v", got)
	}
}
