// Command demo shows pgcustos at work on real parts: a Samba domain controller,
// a PostgreSQL cluster, psql, and an application with pgx. It starts all of them
// on loopback under one folder, takes a tour, and ends them again.
//
//	demo start [-keep] -dir FOLDER -binary PGCUSTOS
//	demo stop -dir FOLDER
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say start or stop")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", ".demo", "the folder that everything lives in")
	binary := flags.String("binary", "bin/pgcustos", "the proxy")
	keep := flags.Bool("keep", false, "leave everything running")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "start":
		return start(ctx, *dir, *binary, *keep)
	case "stop":
		return stopRunning(*dir)
	default:
		return fmt.Errorf("%s is neither start nor stop", args[0])
	}
}

// port is the demo's: the line that is printed stays good from run to run.
const port = 6432

func start(ctx context.Context, dir, binary string, keep bool) error {
	began := time.Now()
	if err := stopRunning(dir); err != nil {
		return err
	}
	home, err := place(dir)
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	t := &tour{out: os.Stdout}
	options := testkit.SiteOptions{Binary: binary, Audit: true, Kerberos: true, Detached: keep, Ledgers: []*testkit.Ledger{{Name: ledger}}, Progress: t.step}
	if err := testkit.PortFree(port); err == nil {
		options.Port = port
	}
	site, err := testkit.StartSite(ctx, home, options)
	if err != nil {
		return err
	}
	t.site = site
	t.step(fmt.Sprintf("ready after %.1f s, everything lives in %s", time.Since(began).Seconds(), dir))
	if keep {
		err = remember(home, site.Processes())
	}
	if err == nil {
		err = t.take(ctx)
	}
	if !keep || err != nil {
		return errors.Join(err, site.Stop())
	}
	t.invite()
	return nil
}
