package relay

import "testing"

// A session whose client has not said a word is idle since it began, and not since
// the clock did: a limit of idleness would end it at once.
func TestIdleSinceItBegan(t *testing.T) {
	const began = 7_000_000_000
	m := New(Options{Began: began})
	if phase, since := m.Activity(); phase != PhaseIdle || since != began {
		t.Errorf("phase %d since %d", phase, since)
	}
}
