package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// errDiffers says that something through the proxy is not as it is directly.
var errDiffers = errors.New("there are differences, see above")

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	servers := flags.String("postgres", "15=/usr/lib/postgresql/15/bin", "the servers, VERSION=DIRECTORY of their programs")
	suites := flags.String("suites", "drivers,godrivers,tools,pipeline,isolation,regress", "what is run; suites that need PostgreSQL's source run on 15 alone")
	home := flags.String("home", "test/conformance", "where the suites are")
	work := flags.String("work", "", "what suites/fetch.sh prepared; also for what they leave")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var differs error
	for server := range strings.SplitSeq(*servers, ",") {
		version, bin, _ := strings.Cut(server, "=")
		same, err := matrix(ctx, version, bin, *home, *work, strings.Split(*suites, ","))
		if err != nil {
			return fmt.Errorf("PostgreSQL %s: %w", version, err)
		}
		if !same {
			differs = errDiffers
		}
	}
	return differs
}

// ofSource are the suites that are run on one version: their expectations are its
// source's, or they take long.
var ofSource = map[string]bool{"godrivers": true, "pipeline": true, "isolation": true, "regress": true, "tools": true}

// matrix runs the suites on one server, both ways.
func matrix(ctx context.Context, version, bin, home, work string, suites []string) (same bool, err error) {
	s, err := start(ctx, bin)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.site.Stop()) }()
	same = true
	for _, suite := range suites {
		if ofSource[suite] && version != "15" {
			continue
		}
		var left [2]string
		for i, way := range s.ways() {
			left[i] = filepath.Join(work, "left", version, suite, way.name)
			if err := s.suite(ctx, filepath.Join(home, "suites", suite+".sh"), left[i], work, way); err != nil {
				return false, fmt.Errorf("%s, %s: %w", suite, way.name, err)
			}
		}
		out, err := exec.CommandContext(ctx, "diff", "-r", left[0], left[1]).CombinedOutput()
		switch {
		case err == nil:
			fmt.Printf("PostgreSQL %s: %s: the same both ways\n", version, suite)
		case len(out) > 0:
			same = false
			fmt.Printf("PostgreSQL %s: %s differs:\n%s\n", version, suite, out)
		default:
			return false, err
		}
	}
	return same, nil
}
