package proxy

import (
	"net/netip"
	"testing"
)

// TestGuessedKeysFromEverywhere: who guesses is barred by address, IPv6 by its network, and
// when too many do, all are that nobody knows.
func TestGuessedKeysFromEverywhere(t *testing.T) {
	var g guesses
	one, neighbour, another := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2:1"), netip.MustParseAddr("192.0.2.1")
	for range mostWrongKeys {
		if g.barred(one, true) {
			t.Fatal("it is barred too early")
		}
		g.wrong(one)
	}
	if !g.barred(one, true) || !g.barred(neighbour, true) || g.barred(another, false) {
		t.Error("not its network, or more, is barred")
	}
	for i := range mostWrongKeysOfAll {
		g.wrong(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if !g.barred(another, false) || g.barred(another, true) {
		t.Error("strangers may guess on, or those who are known may not cancel")
	}
	if n := len(g.bySource); n > mostStrangers {
		t.Errorf("%d sources are told apart", n)
	}
	g.forget()
	if g.barred(one, false) || g.barred(another, false) {
		t.Error("they are barred for ever")
	}
}
