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

// Behind a Flush all is answered, and nothing is at an end: the next Sync commits.
func TestFlushIsNoIdlePoint(t *testing.T) {
	h := newHarness(t)
	h.client(parse("", "INSERT a"), bind("", ""), execute("", 0), msg('H'))
	h.backend(parseOK, bindOK, complete("INSERT 0 1"))
	if h.m.IdlePoint() || h.m.Part() {
		t.Error("a transaction that is open is taken for an idle point")
	}
	h.client(syncMsg)
	if h.m.IdlePoint() {
		t.Error("a Sync without an answer is taken for an idle point")
	}
	h.backend(ready('I'))
	if !h.m.IdlePoint() {
		t.Error("there is no idle point behind the answer")
	}
	h.settledAll()
}
