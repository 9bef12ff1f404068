package proxy

import (
	"net/netip"
	"testing"
)

// TestRefusalsAreCounted: of one source some refusals are on record each by itself, and
// the others with their count.
func TestRefusalsAreCounted(t *testing.T) {
	s := newStrangers(nil)
	guesser, other := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.2:5000")
	for i := range 3 * mostRefusals {
		if again := s.refusedAgain(guesser, "throttled", "guesses"); again != (i >= mostRefusals) {
			t.Errorf("refusal %d is only counted: %v", i, again)
		}
	}
	if s.refusedAgain(other, "throttled", "") || s.refusedAgain(guesser, "another", "") {
		t.Error("those of others are not on record")
	}
	if n := s.seen[stranger{guesser.Addr(), "throttled"}].again; n != 2*mostRefusals {
		t.Errorf("%d are counted", n)
	}
}
