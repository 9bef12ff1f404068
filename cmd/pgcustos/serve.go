package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/reading"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/kerberos"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/auth/throttle"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/telemetry"
	"github.com/pgcustos/pgcustos/internal/telemetry/tracing"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/control"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/services"
	"github.com/pgcustos/pgcustos/proxy/spool"
)

func newServe() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long: `Runs the proxy until SIGTERM or SIGINT, which let each session come to an idle
point first; a second one ends them at once. SIGHUP reads the configuration
again: a wrong one changes nothing.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), path, cmd.ErrOrStderr())
		}),
	}
	configFlag(cmd, &path)
	return cmd
}

// drainPeriod is how often a shutdown looks whether sessions are left.
const drainPeriod = 50 * time.Millisecond

// daemon is a running proxy with all that it is made of.
type daemon struct {
	log      *slog.Logger
	level    *slog.LevelVar
	metrics  *telemetry.Metrics
	journal  *journal.Journal
	recorder *meter
	reader   *statement.Reader
	server   *proxy.Server
	loops    *driver.Loops // nil for none
	sinks    []*sink.Runner
	tracer   *tracing.Tracer // nil for none
	readings *reading.Server // nil where it cannot listen
	services *services.Keeper
	control  *control.Server
	health   health
	memory   memory

	// Owned by the goroutine that handles signals.
	config *config.Config
	policy *policy
}

// serve runs until a signal ends it.
func serve(ctx context.Context, path string, stderr io.Writer) (err error) {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	if err := harden(); err != nil {
		return err
	}
	collectSeldom()
	// From here on a signal is ours to answer.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	d, err := newDaemon(c, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return d.run(ctx, signals)
}

func newDaemon(c *config.Config, stderr io.Writer) (d *daemon, err error) {
	d = &daemon{level: new(slog.LevelVar), metrics: telemetry.New(), config: c, memory: memory{kerberos.NewReplays(), throttle.New()}}
	d.level.Set(c.Log.Level)
	d.log = telemetry.NewLogger(stderr, c.Log.Format, d.level).With("node", c.Node)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	options := c.Journal
	options.Archive = &archiveWatch{metrics: d.metrics, log: d.log, overdue: c.EncryptionOverdue}
	options.Upkeep = newUpkeep(c)
	options.AwaitsDisk = slices.ContainsFunc(c.Rules, func(r rules.Rule) bool { return r.Grant.Durability == auth.DurableDisk })
	if d.journal, err = journal.Open(options); err != nil {
		return d, err
	}
	d.metrics.Journal(d.journal.Scarce, d.journal.SignError)
	large, err := spool.Open(c.Spool)
	if err != nil {
		return d, err
	}
	d.recorder = &meter{Recorder: d.journal, metrics: d.metrics}
	d.health.recorder = d.recorder
	// The program that runs, whatever stands at its path by now.
	worker := []string{"/proc/self/exe", parserWorker}
	if d.reader, err = statement.Open(c.Parser, worker, statement.Hooks{Died: d.parserDied, Digest: d.journal.Digest}); err != nil {
		return d, fmt.Errorf("parser workers: %w", err)
	}
	d.reader.SetPatterns(c.Patterns)
	d.countParser()
	if d.policy, err = newPolicy(c, d.memory, d.log); err != nil {
		return d, err
	}
	if err := d.startTracing(c); err != nil {
		return d, err
	}
	if d.loops, err = c.Listen.OpenLoops(); err != nil {
		return d, err
	}
	d.server = proxy.New(proxy.Options{
		Policy: d.policy.Policy, Recorder: d.recorder, Judge: d.reader, MaxText: c.Parser.MaxText, Spool: large, Log: d.log, Metrics: d.metrics, Tracer: d.tracer,
		SpoolDir: c.Journal.Path, Loops: d.loops,
	})
	d.published(c)
	d.listenForReaders()
	if err := d.keepServices(c); err != nil {
		return d, err
	}
	if err := d.listenForOperators(c); err != nil {
		return d, err
	}
	return d, d.startSinks(c)
}

// startTracing sends spans where the configuration says, if it does.
func (d *daemon) startTracing(c *config.Config) (err error) {
	o := c.Tracing.Options
	o.Version, o.Log = telemetry.Version(), d.log
	if d.tracer, err = tracing.New(o); err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	if d.tracer != nil {
		d.metrics.Spans(d.tracer.Sent, d.tracer.Dropped)
	}
	return nil
}

// stopTracing sends what waits, for as long as a sink may take.
func (d *daemon) stopTracing() {
	ctx, cancel := context.WithTimeout(context.Background(), sinkDrain)
	defer cancel()
	if err := d.tracer.Close(ctx); err != nil {
		d.log.Warn("spans were left", "error", err)
	}
}

// listenForReaders lets the commands that read the journal put that on record. A
// file system without sockets is no reason not to serve: the commands say that
// nobody listens.
func (d *daemon) listenForReaders() {
	var err error
	d.readings, err = reading.Listen(reading.Options{Journal: d.config.Journal.Path, Recorder: d.recorder, Log: d.log})
	if err != nil {
		d.readings = nil
		d.log.Error("readings of the journal will not be on record", "error", err)
	}
}

// listenForOperators puts the locks in force, without which nobody is let in.
func (d *daemon) listenForOperators(c *config.Config) (err error) {
	d.control, err = control.Listen(control.Options{
		Directory: c.Control.Directory, Group: c.Control.Group, Target: d.server, Recorder: d.recorder, Log: d.log,
		Services: d.services.List,
		Find: func(ctx context.Context, name string) (auth.Identity, error) {
			return d.server.Resolver().Lookup(ctx, name)
		},
		Named: d.server.Named,
	})
	return err
}

// keepServices puts in force which services are in quarantine.
func (d *daemon) keepServices(c *config.Config) (err error) {
	d.services, err = services.Open(services.Options{Directory: c.Control.Directory, Target: d.server, Recorder: d.recorder, Log: d.log})
	if err == nil {
		d.services.Declare(c.Directory.Services, c.Directory.Recheck)
	}
	return err
}

// close ends what newDaemon made, in the reverse order. The journal comes last:
// what ends may have something to say.
func (d *daemon) close() error {
	var errs []error
	if d.loops != nil {
		errs = append(errs, d.loops.Close())
	}
	if d.policy != nil {
		errs = append(errs, d.policy.close())
	}
	if d.reader != nil {
		d.reader.Close()
	}
	if d.control != nil {
		errs = append(errs, d.control.Close())
	}
	if d.readings != nil {
		errs = append(errs, d.readings.Close())
	}
	d.stopSinks()
	d.stopTracing()
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	return errors.Join(errs...)
}

// run listens, serves and handles signals.
func (d *daemon) run(ctx context.Context, signals <-chan os.Signal) error {
	clients, admin, err := d.listen(ctx)
	if err != nil {
		return err
	}
	if err := d.recordConfiguration(started, d.config, "", ""); err != nil {
		return errors.Join(fmt.Errorf("the start cannot be recorded: %w", err), clients.Close(), closeListener(admin))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	ended := make(chan error, 2)
	work.Go(func() { d.health.watch(ctx, d.metrics, d.log) })
	work.Go(func() { d.services.Watch(ctx) })
	d.health.setDirectory(d.policy.directory, d.metrics)
	work.Go(func() { ended <- d.server.Serve(ctx, clients) })
	if admin != nil {
		work.Go(func() {
			if err := d.metrics.Serve(ctx, admin, d.health.ready, d.log); err != nil {
				ended <- err
			}
		})
	}
	d.log.Info("serving", "address", clients.Addr().String(), "config", d.config.Digest, "version", telemetry.Version())

	err = d.handle(ctx, cancel, signals, ended)
	cancel()
	work.Wait()
	if stopErr := d.recordConfiguration(stopped, d.config, "", ""); err == nil && stopErr != nil {
		err = fmt.Errorf("the stop cannot be recorded: %w", stopErr)
	}
	return err
}

func (d *daemon) listen(ctx context.Context) (clients, admin net.Listener, err error) {
	var lc net.ListenConfig
	if clients, err = lc.Listen(ctx, "tcp", d.config.Listen.Address); err != nil {
		return nil, nil, err
	}
	if d.config.Admin.Address == "" {
		return clients, nil, nil
	}
	if admin, err = lc.Listen(ctx, "tcp", d.config.Admin.Address); err != nil {
		return nil, nil, errors.Join(err, clients.Close())
	}
	d.log.Info("admin server", "address", admin.Addr().String())
	return clients, admin, nil
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// handle answers signals until one of them, or a failure, ends the proxy. Then
// it shuts down, and calls stop when no session is left that has to be watched.
func (d *daemon) handle(ctx context.Context, stop func(), signals <-chan os.Signal, ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return errors.Join(err, d.shutdown(stop, signals))
		case <-ctx.Done():
			return d.shutdown(stop, signals)
		case s := <-signals:
			if s == syscall.SIGHUP {
				d.reload()
				continue
			}
			d.log.Info("shutting down", "signal", s.String(), "sessions", d.server.Sessions(), "timeout", d.config.Listen.ShutdownTimeout)
			return d.shutdown(stop, signals)
		}
	}
}

// shutdown lets sessions come to an idle point, until the time is up or a
// second signal comes.
func (d *daemon) shutdown(stop func(), signals <-chan os.Signal) error {
	d.health.draining.Store(true)
	ctx, force := context.WithTimeout(context.Background(), d.config.Listen.ShutdownTimeout)
	defer force()
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(ctx) }()
	tick := time.NewTicker(drainPeriod)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if errors.Is(err, proxy.ErrForced) {
				d.log.Warn("sessions were ended before they were idle")
				return nil
			}
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				d.log.Warn("ending every session now", "signal", s.String())
				force()
			}
		case <-tick.C:
			// Until then the server's own watch over limits and accounts goes on.
			if d.server.Sessions() == 0 || ctx.Err() != nil {
				stop()
			}
		}
	}
}
