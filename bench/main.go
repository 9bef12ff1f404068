// Command bench measures what the proxy costs, on real parts: pgbench against
// PostgreSQL directly and through pgcustos, in turn, several rounds. The cost is
// the processor time of the proxy alone (user and system, from /proc, its parser
// workers included), divided by transactions: on a shared machine that can be
// compared, where throughput is noise.
//
//	go run ./bench [-rounds 5] [-seconds 5] [-clients 8]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each target is measured")
	seconds := flag.Int("seconds", 5, "how long each time")
	clients := flag.Int("clients", 8, "pgbench -c")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{rounds: *rounds, seconds: *seconds, clients: *clients}
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds, seconds, clients int
	site                     *testkit.Site
}

// load is what pgbench does.
type load struct {
	name string
	args []string
}

var loads = []load{
	{"simple", []string{"-S", "-M", "simple"}},
	{"extended", []string{"-S", "-M", "extended"}},
	{"prepared", []string{"-S", "-M", "prepared"}},
}

// sample is one measurement.
type sample struct {
	tps float64
	cpu float64 // µs of the proxy's processor time per transaction
}

func (b *bench) run(ctx context.Context) error {
	site, err := testkit.StartSite(ctx, "", testkit.SiteOptions{Fill: testkit.WithLab})
	if err != nil {
		return err
	}
	defer site.Stop()
	b.site = site
	if err := site.SetupLab(ctx); err != nil {
		return err
	}
	if _, err := b.pgbench(ctx, site.LabDirect(), "-i", "-q", "-s", "10"); err != nil {
		return err
	}
	fmt.Printf("%-10s %14s %14s %8s %22s\n", "load", "direct tps", "pgcustos tps", "ratio", "CPU µs/txn (min-max)")
	for _, l := range loads {
		if err := b.measure(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// measure takes the two targets in turn and prints the medians.
func (b *bench) measure(ctx context.Context, l load) error {
	var direct, proxied, ratios, cpu []float64
	for range b.rounds {
		d, err := b.sample(ctx, l, b.site.LabDirect())
		if err != nil {
			return err
		}
		p, err := b.sample(ctx, l, b.site.LabProxied())
		if err != nil {
			return err
		}
		direct, proxied = append(direct, d.tps), append(proxied, p.tps)
		ratios, cpu = append(ratios, p.tps/d.tps), append(cpu, p.cpu)
	}
	fmt.Printf("%-10s %14.0f %14.0f %8.2f %10.1f (%.1f-%.1f)\n",
		l.name, median(direct), median(proxied), median(ratios), median(cpu), slices.Min(cpu), slices.Max(cpu))
	return nil
}

var transactions = regexp.MustCompile(`number of transactions actually processed: (\d+)`)

func (b *bench) sample(ctx context.Context, l load, dsn string) (sample, error) {
	before, err := cpuTime(b.site.ProxyPID())
	if err != nil {
		return sample{}, err
	}
	args := append([]string{"-n", "-c", strconv.Itoa(b.clients), "-j", "2", "-T", strconv.Itoa(b.seconds)}, l.args...)
	out, err := b.pgbench(ctx, dsn, args...)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(b.site.ProxyPID())
	if err != nil {
		return sample{}, err
	}
	m := transactions.FindStringSubmatch(out)
	if m == nil {
		return sample{}, fmt.Errorf("pgbench said:\n%s", out)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return sample{}, err
	}
	return sample{tps: n / float64(b.seconds), cpu: (after - before) * 1e6 / n}, nil
}

func (b *bench) pgbench(ctx context.Context, dsn string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "/usr/lib/postgresql/15/bin/pgbench", append(args, dsn)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	return string(out), nil
}

// cpuTime returns the processor time that a process and its children that ended
// have used, in seconds (proc(5), stat: utime, stime, cutime, cstime).
func cpuTime(pid int) (float64, error) {
	const ticks = 100 // USER_HZ, the same on every Linux that Go runs on
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	var sum float64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum / ticks, nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
