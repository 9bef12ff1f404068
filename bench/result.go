package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// result is what a run found, as its file holds it.
type result struct {
	Date        string            `json:"date"`
	Machine     map[string]string `json:"machine"`
	Versions    map[string]string `json:"versions"`
	Rounds      int               `json:"rounds"`
	Seconds     float64           `json:"seconds"`
	BulkBytes   float64           `json:"bulk_bytes_per_transaction,omitempty"`
	LatencyRate float64           `json:"latency_rate_per_second,omitempty"`
	Cells       []*cell           `json:"cells"`
	Growth      []*point          `json:"growth,omitempty"`
}

// cell is one row of one target: cpu_us, workers_us, tps, and the like.
type cell struct {
	Row     string           `json:"row"`
	Target  string           `json:"target"`
	Metrics map[string]*stat `json:"metrics"`
}

// point is what one target costs at one size of something.
type point struct {
	Of     string  `json:"of"` // what grows
	Target string  `json:"target"`
	Size   float64 `json:"size"`
	CPU    stat    `json:"cpu_us"`
	Worker stat    `json:"workers_us"`
}

func newResult(ctx context.Context, b *bench) *result {
	return &result{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Versions: versions(ctx),
		Rounds: b.rounds, Seconds: b.seconds,
	}
}

// find returns a cell; nil where it was not measured.
func (r *result) find(row, target string) *cell {
	for _, c := range r.Cells {
		if c.Row == row && c.Target == target {
			return c
		}
	}
	return nil
}

// cell returns a cell, made if need be.
func (r *result) cell(row, target string) *cell {
	c := r.find(row, target)
	if c == nil {
		c = &cell{Row: row, Target: target, Metrics: make(map[string]*stat)}
		r.Cells = append(r.Cells, c)
	}
	return c
}

func (c *cell) stat(metric string) *stat {
	s := c.Metrics[metric]
	if s == nil {
		s = &stat{}
		c.Metrics[metric] = s
	}
	return s
}

// share enters for the round that has just ended which share of direct's
// throughput each target had.
func (r *result) share(row string, direct float64) {
	if direct == 0 {
		return
	}
	for _, c := range r.Cells {
		if tps := c.Metrics["tps"]; c.Row == row && tps != nil && len(tps.Samples) > len(c.stat("share").Samples) {
			c.stat("share").add(tps.Samples[len(tps.Samples)-1] / direct)
		}
	}
}

// median returns a cell's median, and whether there is one.
func (r *result) median(row, target, metric string) (float64, bool) {
	c := r.find(row, target)
	if c == nil || c.Metrics[metric] == nil || len(c.Metrics[metric].Samples) == 0 {
		return 0, false
	}
	return c.Metrics[metric].Median, true
}

func (r *result) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func machine() map[string]string {
	m := map[string]string{"os": runtime.GOOS + "/" + runtime.GOARCH}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m["kernel"] = unix.ByteSliceToString(u.Release[:])
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m["processor"] = strings.TrimSpace(value)
		}
	}
	m["processors"] = strconv.Itoa(runtime.NumCPU())
	return m
}

// versions asks each program for its own.
func versions(ctx context.Context) map[string]string {
	v := map[string]string{"go": runtime.Version()}
	for name, command := range map[string][]string{
		"postgresql": {"/usr/lib/postgresql/15/bin/postgres", "--version"},
		"pgbouncer":  {"/usr/sbin/pgbouncer", "--version"},
		"haproxy":    {"/usr/sbin/haproxy", "-v"},
		"pgcustos":   {"git", "describe", "--always", "--dirty"},
	} {
		out, _ := exec.CommandContext(ctx, command[0], command[1:]...).Output()
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		v[name] = first
	}
	return v
}
