package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is what pgbench is told to do.
type load struct {
	name    string
	clients int
	args    []string
}

// program runs one of PostgreSQL's programs and returns what it says.
func program(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "/usr/lib/postgresql/15/bin/"+name, args...)
	cmd.Env = []string{"LC_ALL=C.UTF-8"} // no PG* variables
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return string(out), nil
}

// report is what one run of pgbench against a target came to.
type report struct {
	transactions float64
	tps          float64
	latency      float64 // mean, µs
	cpu          spent
	took         time.Duration // from the start to the end of pgbench
}

// pgbench runs a load, for a time or for a number of transactions of each client.
func (l load) pgbench(ctx context.Context, t *target, long ...string) (report, error) {
	args := []string{"-n", "-c", strconv.Itoa(l.clients), "-j", strconv.Itoa(min(2, l.clients))}
	before, err := t.cpu()
	if err != nil {
		return report{}, err
	}
	began := time.Now()
	out, err := program(ctx, "pgbench", append(append(append(args, long...), l.args...), t.dsn)...)
	if err != nil {
		return report{}, fmt.Errorf("%s, %s: %w%s", l.name, t.name, err, t.logTail())
	}
	after, err := t.cpu()
	if err != nil {
		return report{}, err
	}
	r := report{cpu: after.less(before), took: time.Since(began)}
	return r, r.read(out)
}

// connecting is what it costs to connect the clients and run one transaction in
// each. The first time warms the target up; a crowd needs none.
func (l load) connecting(ctx context.Context, t *target) (report, error) {
	if l.clients <= 64 {
		if _, err := l.pgbench(ctx, t, "-t", "1"); err != nil {
			return report{}, err
		}
	}
	return l.pgbench(ctx, t, "-t", "1")
}

var (
	saidTransactions = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	saidTPS          = regexp.MustCompile(`tps = ([0-9.]+) `)
	saidLatency      = regexp.MustCompile(`latency average = ([0-9.]+) ms`)
)

func (r *report) read(out string) error {
	for pattern, to := range map[*regexp.Regexp]*float64{saidTransactions: &r.transactions, saidTPS: &r.tps, saidLatency: &r.latency} {
		m := pattern.FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("pgbench did not say %q:\n%s", pattern, out)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return err
		}
		*to = v
	}
	r.latency *= 1000
	if r.transactions == 0 || strings.Contains(out, "aborted") {
		return fmt.Errorf("pgbench came to no end:\n%s", out)
	}
	return nil
}

// inSeconds tells pgbench how long to run. It counts from its start: what it
// takes to connect comes on top.
func inSeconds(s float64, connecting report) []string {
	d := time.Duration(s*float64(time.Second)) + connecting.took
	return []string{"-T", strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second)))}
}
