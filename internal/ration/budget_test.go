package ration

import (
	"runtime"
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	var none *Budget
	if !none.Allow(1<<40) || none.Crowded() || none.Exceeded() {
		t.Error("where there is no budget, something is refused")
	}
	b := New(1 << 40)
	defer b.Close()
	used := b.Used()
	if used < 1<<20 || used > 1<<34 {
		t.Errorf("%d bytes are in use", used)
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	for began := time.Now(); b.Used()-used < 48<<20; runtime.Gosched() { // until the look is renewed
		if time.Since(began) > time.Minute {
			t.Fatalf("64 MiB more are %d bytes", b.Used()-used)
		}
	}
	runtime.KeepAlive(held)
	b.SetLimit(b.Used() + 8<<20)
	if !b.Allow(4<<20) || b.Allow(1<<30) {
		t.Error("the rest of the budget is not given, or more than it")
	}
	b.SetLimit(32 << 20)
	if !b.Crowded() || !b.Exceeded() {
		t.Error("a budget that is used up is not told")
	}
	if n := Machine(); runtime.GOOS == "linux" && n < 64<<20 {
		t.Errorf("the machine has %d bytes", n)
	}
}
