package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestHeadroom(t *testing.T) {
	for live, want := range map[uint64]int{0: 800, 1 << 20: 800, 4 << 20: 200, 8 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes alive: %d percent, want %d", live, got, want)
		}
	}
}

// What log-ins leave behind is given back when they are over, once.
func TestGivingBack(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r := newRemains()
	runtime.GC()
	r.worthGiving()
	garbage := make([][]byte, 64)
	for i := range garbage {
		garbage[i] = make([]byte, 256<<10)
	}
	runtime.KeepAlive(garbage)
	if r.worthGiving() {
		t.Error("given back in a second in which much was allocated")
	}
	if !r.worthGiving() {
		t.Error("not given back in a quiet second")
	}
	debug.FreeOSMemory()
	if r.worthGiving() {
		t.Error("given back twice")
	}
	for i := range garbage {
		garbage[i] = make([]byte, 256<<10)
	}
	clear(garbage)
	runtime.GC() // what was left behind is found free, and kept
	r.worthGiving()
	if !r.worthGiving() {
		t.Error("what a collection has found is not given back")
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
