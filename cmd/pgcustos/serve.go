package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
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
	"github.com/pgcustos/pgcustos/internal/ration"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/telemetry"
	"github.com/pgcustos/pgcustos/internal/telemetry/tracing"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/control"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/peers"
	"github.com/pgcustos/pgcustos/proxy/services"
	"github.com/pgcustos/pgcustos/proxy/spool"
	"github.com/pgcustos/pgcustos/proxy/succession"
)

func newServe() *cobra.Command {
	var path string
	var takeOver bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long: `Runs the proxy until SIGTERM or SIGINT, which let each session come to an idle
point first; a second one ends them at once. SIGHUP reads the configuration
again: a wrong one changes nothing. SIGUSR2 starts the program anew, with the
same arguments and --take-over: the new process goes on with the listening
sockets, and this one ends when its sessions have.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), path, takeOver, cmd.ErrOrStderr())
		}),
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&takeOver, takeOverFlag, false, "go on with the sockets of the process that serves, which drains; without one, start as usual")
	return cmd
}

// takeOverFlag is also what a process gives to the one that it starts.
const takeOverFlag = "take-over"

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
	runners  map[string]*atomic.Pointer[sink.Runner] // of the sinks, by name: for their lag
	tracer   *tracing.Tracer                         // nil for none
	readings *reading.Server                         // nil where it cannot listen
	services *services.Keeper
	peers    *peers.Peers // nil where this node is alone
	control  *control.Server
	health   health
	memory   memory

	budget *ration.Budget // of the process's memory

	asks  chan func()   // for the goroutine that handles signals
	over  chan struct{} // closed when it takes no more of them
	ended chan error    // holds what fails

	// Owned by the goroutine that handles signals.
	config    *config.Config
	policy    *policy
	sockets   []succession.Socket
	inherited []succession.Socket // of them, those that wait to be used
	layDown   func() error        // ends what only one process can have; nil: it has none of it
	before    *succession.Predecessor
	incumbent *succession.Incumbent
	ending    bool          // no successor is wanted any more
	child     int           // the process that this one started to succeed it; 0 for none
	heir      atomic.Int64  // the process that has succeeded it; 0 for none; read by others
	hurried   chan struct{} // closed when sessions get no time to end by themselves any more
	hurry     func()
	abandoned chan struct{} // closed when the successor is gone
	abandon   func()
}

// serve runs until a signal ends it.
func serve(ctx context.Context, path string, takeOver bool, stderr io.Writer) (err error) {
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
	signal.Notify(signals, append(upgradeSignals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)...)
	defer signal.Stop(signals)

	d, err := newDaemon(ctx, c, takeOver, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return d.run(ctx, signals)
}

func newDaemon(ctx context.Context, c *config.Config, takeOver bool, stderr io.Writer) (d *daemon, err error) {
	d = &daemon{
		level: new(slog.LevelVar), metrics: telemetry.New(), config: c, memory: memory{kerberos.NewReplays(), throttle.New()},
		runners: make(map[string]*atomic.Pointer[sink.Runner]), asks: make(chan func()), over: make(chan struct{}), ended: make(chan error, 4), hurried: make(chan struct{}), abandoned: make(chan struct{}),
	}
	d.hurry = sync.OnceFunc(func() { close(d.hurried) })
	d.abandon = sync.OnceFunc(func() { close(d.abandoned) })
	d.level.Set(c.Log.Level)
	d.log = telemetry.NewLogger(stderr, c.Log.Format, d.level).With("node", c.Node)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	d.budget = ration.New(c.MemoryLimit)
	d.metrics.GaugeFunc("pgcustos_memory_bytes", "Memory that counts towards the budget.", func() float64 { return float64(d.budget.Used()) })
	d.metrics.GaugeFunc("pgcustos_memory_limit_bytes", "The memory's budget.", func() float64 { return float64(d.budget.Limit()) })
	if err := d.inherit(ctx, takeOver); err != nil {
		return d, err
	}
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
	if d.policy, err = newPolicy(c, d.memory, d.catalogHooks(), d.log); err != nil {
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
		SpoolDir: c.Journal.Path, Loops: d.loops, Node: nodeInKeys(c), Memory: d.budget,
	})
	d.knowPeers(c)
	d.server.SetElsewhere(d.cancelElsewhere)
	d.published(c)
	return d, nil
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
		Directory: c.Control.Directory, Group: c.Control.Group, Target: d.everyone(), Recorder: d.recorder, Log: d.log,
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
	d.services, err = services.Open(services.Options{Directory: c.Control.Directory, Target: d.everyone(), Recorder: d.recorder, Log: d.log})
	if err == nil {
		d.services.Declare(c.Directory.Services, c.Directory.Recheck)
	}
	return err
}

// close ends what newDaemon made, in the reverse order. The journal comes last but
// for the successor: what ends may have something to say, and whoever waits for the
// end waits for that of the journal.
func (d *daemon) close() error {
	close(d.over)
	errs := []error{d.stopAlone()}
	if d.loops != nil {
		errs = append(errs, d.loops.Close())
	}
	if d.policy != nil {
		errs = append(errs, d.policy.close())
	}
	if d.reader != nil {
		d.reader.Close()
	}
	d.stopSinks()
	d.stopTracing()
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	errs = append(errs, d.before.Close())
	if d.incumbent != nil {
		errs = append(errs, d.incumbent.Close())
	}
	for _, s := range slices.Concat(d.sockets, d.inherited) {
		errs = append(errs, s.File.Close())
	}
	return errors.Join(errs...)
}

// run listens, serves and handles signals.
func (d *daemon) run(ctx context.Context, signals <-chan os.Signal) error {
	clients, err := d.listen(ctx)
	if err != nil {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return errors.Join(err, clients.Close())
	}
	d.readAhead()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { giveBack(ctx) })
	work.Go(func() { d.health.watch(ctx, d.metrics, d.log) })
	d.health.setDirectory(d.policy.directory, d.metrics)
	work.Go(func() { d.ended <- d.server.Serve(ctx, clients) })
	d.log.Info("serving", "address", clients.Addr().String(), "config", d.config.Digest, "version", telemetry.Version())
	d.notify(ready)
	work.Go(func() { d.watchdog(ctx) })

	err = d.handle(ctx, cancel, signals)
	cancel()
	d.untilDone(work.Wait)
	err = errors.Join(err, d.stopAlone())
	if stopErr := d.recordConfiguration(stopped, d.config, "", d.successorDetail()); err == nil && stopErr != nil {
		err = fmt.Errorf("the stop cannot be recorded: %w", stopErr)
	}
	return err
}

// begin makes this process the one that serves.
func (d *daemon) begin(ctx context.Context) error {
	detail := ""
	if d.before != nil {
		d.health.setDirectory(d.policy.directory, d.metrics)
		d.health.probe(ctx, d.metrics, d.log)
		if err := d.before.Yield(ctx); err != nil && !d.before.Killed() {
			return fmt.Errorf("the process that serves does not yield: %w", err)
		}
		detail = fmt.Sprintf("in the place of process %d", d.before.PID)
	}
	if err := d.beAlone(); err != nil {
		return err
	}
	if err := d.startSinks(d.config); err != nil {
		return err
	}
	if err := d.recordConfiguration(started, d.config, "", detail); err != nil {
		return fmt.Errorf("the start cannot be recorded: %w", err)
	}
	if err := d.succeed(ctx); err != nil {
		return err
	}
	return d.awaitSuccessor()
}

// handle answers signals until one of them, a failure, or a successor ends the
// proxy. Then it shuts down, and calls stop when no session is left that has to be
// watched.
func (d *daemon) handle(ctx context.Context, stop func(), signals <-chan os.Signal) error {
	for {
		select {
		case err := <-d.ended:
			return errors.Join(err, d.shutdown(stop, signals))
		case <-ctx.Done():
			return d.shutdown(stop, signals)
		case f := <-d.asks:
			if f(); d.heir.Load() != 0 {
				return d.drain(stop, signals)
			}
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				d.reloadAll()
			case slices.Contains(upgradeSignals, s):
				d.startSuccessor()
			default:
				d.log.Info("shutting down", "signal", s.String(), "sessions", d.server.Sessions(), "timeout", d.config.Listen.ShutdownTimeout)
				d.retire(signals)
				return d.shutdown(stop, signals)
			}
		}
	}
}
