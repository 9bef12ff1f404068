package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReportReadsPgbench(t *testing.T) {
	var r report
	err := r.read(`number of transactions actually processed: 2000
latency average = 0.512 ms
initial connection time = 20.1 ms
tps = 15600.5 (without initial connection time)
`)
	if err != nil || r.transactions != 2000 || r.latency != 512 || r.tps != 15600.5 {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := r.read("pgbench: error: connection refused"); err == nil {
		t.Error("what is no report was read as one")
	}
}

func TestStat(t *testing.T) {
	var s stat
	for _, v := range []float64{12.34567, 3, 100} {
		s.add(v)
	}
	if s.Median != 12.35 || s.Min != 3 || s.Max != 100 {
		t.Errorf("got %+v", s)
	}
	if got := percentile([]float64{1, 2, 3, 4}, .999); got != 4 {
		t.Errorf("p99.9 of four values is %v", got)
	}
}

func TestCPUTimeGrows(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before+time.Millisecond {
			return
		}
	}
}

// measured is a result such as a run makes.
func measured() *result {
	r := &result{Date: "2026-11-27", Rounds: 2, LatencyRate: 100}
	for target, cpu := range map[string]float64{pgbouncerName: 10, driverName(drivers[0]): 8} {
		for _, v := range []float64{cpu, cpu * 2, cpu * 2} {
			r.cell("simple", target).stat("cpu_us").add(v)
		}
		r.cell("idle", target).stat("kb_per_session").add(cpu)
		r.cell("latency", target).stat("p50").add(cpu)
		r.Growth = append(r.Growth, &point{Of: ofSessions, Target: target, Size: 8, CPU: stat{Median: cpu}})
	}
	return r
}

func TestGates(t *testing.T) {
	b := &bench{result: measured()}
	for _, c := range []struct {
		gate gate
		want float64
	}{
		{gate{"simple", "cpu_us", pgbouncerName, .9, 1}, .8},
		{gate{"idle", "kb_per_session", "", 24, 30}, 8},
	} {
		if got, text := b.judge(c.gate); got != c.want {
			t.Errorf("%s: got %v (%s), want %v", c.gate.row, got, text, c.want)
		}
	}
}

func TestShow(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time replaces what the first wrote
		if err := measured().show(dir); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "\nafter\n", "| PgBouncer | 20.0 (10.0-20.0) |"} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("%q does not stand once in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("what stood between the marks is still there:\n%s", text)
	}
	for _, plot := range []string{"cpu", "latency", "sessions"} {
		if _, err := os.Stat(filepath.Join(dir, "performance", plot+".svg")); err != nil {
			t.Error(err)
		}
	}
}

// TestGateNeedsAMeasurement: what is nothing, less or no number was not measured.
func TestGateNeedsAMeasurement(t *testing.T) {
	g := gate{most: 0.9}
	for value, want := range map[float64]bool{0.5: true, 0.9: true, 0.91: false, 0: false, -6.7: false, math.Inf(1): false} {
		if g.holds(value) != want {
			t.Errorf("%v: %t", value, !want)
		}
	}
	if g.holds(math.NaN()) {
		t.Error("what is no number holds")
	}
}
