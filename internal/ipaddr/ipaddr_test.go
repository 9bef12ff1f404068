package ipaddr

import (
	"net"
	"net/netip"
	"testing"
)

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.20.0.5":               "10.20.0.5/32",
		"::ffff:10.20.0.5":        "10.20.0.5/32",
		"10.20.0.5/16":            "10.20.0.0/16",
		"::ffff:10.20.0.5/112":    "10.20.0.0/16",
		"::ffff:0.0.0.0/96":       "0.0.0.0/0",
		"2001:db8::1":             "2001:db8::1/128",
		"2001:db8::1/48":          "2001:db8::/48",
		"fe80::1%eth0":            "",
		"::/0":                    "::/0",
		"::ffff:10.20.0.5/64":     "::/64",
		"fe80::1%eth0/64":         "",
		"10.20.0.0/33":            "",
		"10.20/16":                "",
		"db.example.com":          "",
		"":                        "",
		"10.20.0.5/255.255.255.0": "",
	} {
		p, err := ParseNetwork(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is read as %s", text, p)
			}
			continue
		}
		if err != nil || p != netip.MustParsePrefix(want) {
			t.Errorf("%q: %s, %v; want %s", text, p, err, want)
		}
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		end  net.Addr
		want netip.AddrPort
	}{
		{&net.TCPAddr{IP: net.ParseIP("10.20.0.5"), Port: 5}, netip.MustParseAddrPort("10.20.0.5:5")},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:10.20.0.5"), Port: 5}, netip.MustParseAddrPort("10.20.0.5:5")},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 5}, netip.MustParseAddrPort("[fe80::1]:5")},
		{&net.UnixAddr{Name: "/run/s"}, netip.AddrPort{}},
	} {
		if got := Of(c.end); got != c.want {
			t.Errorf("%s: %s", c.end, got)
		}
	}
}
