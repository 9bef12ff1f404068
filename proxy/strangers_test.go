package proxy

import (
	"net/netip"
	"strconv"
	"testing"
)

// TestRefusalsAreCounted: of one source some refusals are on record each by itself, and
// the others with their count.
func TestRefusalsAreCounted(t *testing.T) {
	s := newStrangers(nil)
	guesser, other := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.2:5000")
	for i := range 3 * mostRefusals {
		incident := strconv.Itoa(i)
		onRecord, again := s.refusedAgain(guesser, "throttled", "guesses", incident)
		if want := strconv.Itoa(min(i, mostRefusals-1)); onRecord != want {
			t.Errorf("refusal %d is told incident %s, %s is on record", i, onRecord, want)
		}
		if again != (i >= mostRefusals) {
			t.Errorf("refusal %d is only counted: %v", i, again)
		}
	}
	_, ofOther := s.refusedAgain(other, "throttled", "", "a")
	if _, another := s.refusedAgain(guesser, "another", "", "b"); another || ofOther {
		t.Error("those of others are not on record")
	}
	if n := s.seen[stranger{guesser.Addr(), "throttled"}].again; n != 2*mostRefusals {
		t.Errorf("%d are counted", n)
	}
}
