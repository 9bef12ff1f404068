package relay
import "testing"
func TestZZ(t *testing.T) {
	h := newHarness(t)
	t.Logf("%q", h.client(query("COPY x FROM STDIN")))
	t.Logf("%q", h.backend(msg('G', byte(0), int16(0))))
	t.Logf("%q", h.client(syncMsg, msg('d', []byte("nonsense\n")), msg('d', []byte("2\n")), msg('c')))
	t.Logf("%q", h.backend(failed("22P02","x"), ready('I')))
	t.Logf("%d", h.m.queue.len())
	t.Logf("%q", h.client(query("SELECT 1")))
	t.Logf("%q", h.backend(row, complete("SELECT 1"), ready('I')))
	h.settledAll()
}
