package journal

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever worked for a piece rests seven times as long, unless somebody waits.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		what   string
		rests  int
		hurry  bool
		bytes  int
		worked time.Duration
		rested time.Duration
	}{
		{"a piece", restsFor, false, pieceBytes, time.Millisecond, 7 * time.Millisecond},
		{"a long piece", restsFor, false, pieceBytes, time.Second, longestRest},
		{"short work", restsFor, false, pieceBytes, pieceTime - 1, 0},
		{"few bytes", restsFor, false, pieceBytes - 1, time.Millisecond, 0},
		{"somebody waits", restsFor, true, pieceBytes, time.Millisecond, 0},
		{"no rests", 0, false, pieceBytes, time.Millisecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &pace{rests: c.rests, hurry: func() bool { return c.hurry }, left: pieceBytes, begun: time.Now()}
			time.Sleep(c.worked)
			begun := time.Now()
			p.did(c.bytes)
			if rested := time.Since(begun); rested != c.rested {
				t.Errorf("%s: rested for %s instead of %s", c.what, rested, c.rested)
			}
		})
	}
	(*pace)(nil).did(1 << 30)
}
