package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestHeadroom(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 1 << 20: 3200, 8 << 20: 400, 32 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes alive: %d percent, want %d", live, got, want)
		}
	}
}

// The pace follows what is alive, from one collection to the next.
func TestPaceFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(goPercent)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	now := func() uint64 {
		percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(percent)
		return percent[0].Value.Uint64()
	}
	settle := func(good func(uint64) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !good(now()); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the pace is %d percent", now())
			}
			runtime.GC()
		}
	}
	collectSeldom()
	settle(func(p uint64) bool { return p > goPercent })
	alive := make([]byte, 2*headroom)
	settle(func(p uint64) bool { return p == goPercent })
	runtime.KeepAlive(alive)
}
