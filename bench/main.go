// Command bench measures what the proxy costs, on real parts: pgbench, psql and
// libpq's own TLS against PostgreSQL directly, and through PgBouncer, HAProxy
// and pgcustos, in turn, several rounds.
//
// The cost is the processor time of the proxy process alone (user and system,
// what proc(5) calls utime and stime), divided by transactions or bytes: on a
// shared machine that can be compared, where throughput is noise. What the
// parser workers of pgcustos take is counted apart.
//
//	go run ./bench [-rounds 5] [-seconds 2] [-rows simple,bulk,…] [-out bench/results]
//	go run ./bench -gate
//	go run ./bench -falls
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

type flags struct {
	rounds  int
	seconds float64
	rows    string
	targets string
	out     string
	docs    string
	gate    bool
	falls   bool
}

func main() {
	var f flags
	flag.IntVar(&f.rounds, "rounds", 5, "how often each target is measured")
	flag.Float64Var(&f.seconds, "seconds", 2, "how long each time")
	flag.StringVar(&f.rows, "rows", "", "the rows to measure, with commas between; all where it is empty")
	flag.StringVar(&f.targets, "targets", "", "likewise the targets")
	flag.StringVar(&f.out, "out", "", "the directory for the result; none is written where it is empty")
	flag.StringVar(&f.docs, "docs", "", "the root of the documentation that shows tables and plots; left alone where it is empty")
	flag.BoolVar(&f.gate, "gate", false, "only hold pgcustos against the gates, and fail where one falls")
	flag.BoolVar(&f.falls, "falls", false, "likewise, and fail only where it costs more than it ever did, on whatever machine")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) (err error) {
	b := &bench{rounds: f.rounds, seconds: f.seconds, only: words(f.rows), targetsOnly: words(f.targets)}
	if b.stage, err = newStage(ctx); err != nil {
		return err
	}
	defer func() {
		if stopErr := b.stage.stop(); err == nil {
			err = stopErr
		}
	}()
	switch {
	case f.gate:
		return b.gates(ctx, gateRows)
	case f.falls:
		return b.gates(ctx, tolerant(gateRows))
	}
	result, err := b.all(ctx)
	if err != nil {
		return err
	}
	fmt.Print(result.markdown())
	if f.out != "" {
		if err := result.write(filepath.Join(f.out, result.Date+".json")); err != nil {
			return err
		}
	}
	if f.docs != "" {
		return result.show(f.docs)
	}
	return nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// say tells whoever waits what is being done.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
