package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// percentiles of the latency, by their names in the result.
var percentiles = []struct {
	name  string
	share float64
}{{"p10", .1}, {"p50", .5}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}}

// latencySeconds is long enough for a p99.9.
const latencySeconds = 4

// latency measures single transactions at half the load that the slowest target
// bears: the same rate for everybody, so that none waits for itself.
func (b *bench) latency(ctx context.Context) error {
	disk, err := b.stage.startPgcustos(ctx, diskName, variant{Driver: drivers[0], Durability: "disk"})
	if err != nil {
		return err
	}
	targets := append(slices.Clone(b.targets), disk)
	rate, err := b.halfLoad(ctx, b.targets)
	if err != nil {
		return err
	}
	b.result.LatencyRate = rate
	for range min(b.rounds, copyRounds) {
		for _, t := range targets {
			if err := b.latencies(ctx, t, rate); err != nil {
				return err
			}
		}
	}
	return disk.server.Stop()
}

var diskName = driverName(drivers[0]) + ", durability: disk"

func (b *bench) halfLoad(ctx context.Context, targets []*target) (float64, error) {
	l := load{"simple", 8, []string{"-S"}}
	slowest := 0.0
	for _, t := range targets {
		tps := 0.0
		if c := b.result.find("simple", t.name); c != nil {
			tps = c.Metrics["tps"].Median
		} else {
			r, err := l.pgbench(ctx, t, inSeconds(latencySeconds/2, report{})...)
			if err != nil {
				return 0, err
			}
			tps = r.tps
		}
		if slowest == 0 || tps < slowest {
			slowest = tps
		}
	}
	return max(100, float64(int(slowest/2/100)*100)), nil
}

func (b *bench) latencies(ctx context.Context, t *target, rate float64) error {
	dir, err := os.MkdirTemp(b.stage.dir, "log")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := load{"latency", 8, []string{"-S", "-R", fmt.Sprint(rate), "-l", "--log-prefix", filepath.Join(dir, "log")}}
	if _, err := l.pgbench(ctx, t, inSeconds(latencySeconds, report{})...); err != nil {
		return err
	}
	times, err := readLogs(dir)
	if err != nil {
		return err
	}
	slices.Sort(times)
	for _, p := range percentiles {
		b.result.cell(l.name, t.name).stat(p.name).add(percentile(times, p.share))
	}
	return nil
}

// readLogs reads pgbench's log of transactions: client, number, µs from when it
// was due, script, time in two fields, µs that it began late.
func readLogs(dir string) ([]float64, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return nil, err
	}
	var times []float64
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 7 {
				continue
			}
			due, err := strconv.ParseFloat(fields[2], 64)
			if err != nil {
				continue // skipped
			}
			late, err := strconv.ParseFloat(fields[6], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q", path, lines.Text())
			}
			times = append(times, due-late)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("no transactions in %s", dir)
	}
	return times, nil
}
