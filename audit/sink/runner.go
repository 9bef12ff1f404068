package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// Options say what a Runner carries, and where to.
type Options struct {
	Name    string // of the sink: a directory for its positions
	Sink    Sink
	Journal string // the journal's directory
	// Head returns the sequence number of the newest record of this process's
	// own stream, for the lag; nil where there is none.
	Head   func() uint64
	Stream string // this process's own

	Observer Observer     // may be nil
	Log      *slog.Logger // may be nil

	MaxRecords int           // of a batch; 2,000 where it is 0
	MaxBytes   int           // of a batch, about; 4 MiB where it is 0
	Timeout    time.Duration // of one delivery; 30 s where it is 0
}

const (
	pollEvery = 100 * time.Millisecond // how often the journal's end is looked at
	saveEvery = time.Second            // how often positions are written, at most
)

func (o *Options) setDefaults() {
	if o.Observer == nil {
		o.Observer = blind{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("sink", o.Name)
	if o.MaxRecords == 0 {
		o.MaxRecords = 2000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 20
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
}

// Runner carries records from the journal to one sink.
type Runner struct {
	// Static.
	o     Options
	shelf *shelf
	stop  chan struct{} // closed by Stop
	done  chan struct{} // closed by run
	ctx   context.Context
	end   context.CancelFunc

	// Read by Lag.
	oldest    atomic.Int64  // Unix ns of the first record that waits; 0 for none
	delivered atomic.Uint64 // of this process's own stream

	// Owned by run.
	at    Positions // what was delivered
	dirty map[string]uint64
	low   time.Time // of the last record delivered before dirty became what it is
	saved time.Time
	whole bool // the journal has to be read from its beginning
}

// errStopped ends a session because Stop was called.
var errStopped = errors.New("stopped")

// Start starts a Runner. Stop ends it.
func Start(o Options) *Runner {
	o.setDefaults()
	r := &Runner{
		o: o, shelf: newShelf(o.Journal, o.Name), dirty: map[string]uint64{},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	r.ctx, r.end = context.WithCancel(context.Background())
	go r.run()
	return r
}

// Stop lets the Runner deliver what the journal holds, until ctx ends or the
// sink fails, and joins it. Call it once.
func (r *Runner) Stop(ctx context.Context) {
	close(r.stop)
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	r.end()
	<-r.done
}

// Lag tells how many records of this process's stream wait, and for how long the
// oldest record of all has waited.
func (r *Runner) Lag() (records uint64, age time.Duration) {
	if r.o.Head != nil {
		if head, at := r.o.Head(), r.delivered.Load(); head > at {
			records = head - at
		}
	}
	if oldest := r.oldest.Load(); oldest != 0 {
		age = max(0, time.Since(time.Unix(0, oldest)))
	}
	return records, age
}

func (r *Runner) run() {
	defer close(r.done)
	defer r.end()
	var pause backoff
	for {
		err := r.session(&pause)
		if !errors.Is(err, errAnew) {
			r.save(true)
		}
		if err != nil && !errors.Is(err, errAnew) && !errors.Is(err, errStopped) {
			r.failed(err)
		}
		switch {
		case errors.Is(err, errAnew):
		case err == nil, errors.Is(err, errStopped), closed(r.stop), r.rest(&pause) != nil:
			if err := r.o.Sink.Close(); err != nil {
				r.o.Log.Warn("close the sink", "error", err)
			}
			return
		}
	}
}

func (r *Runner) failed(err error) {
	r.o.Observer.Failed()
	r.o.Log.Warn("the sink did not take records, they wait in the journal", "error", err)
}

// rest waits before another try. When a stop is asked for meanwhile there is one
// more try at once, and none after that.
func (r *Runner) rest(pause *backoff) error {
	if closed(r.stop) || r.ctx.Err() != nil {
		return errStopped
	}
	t := time.NewTimer(pause.next())
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.stop:
	}
	return nil
}

// session reads and delivers until something fails, or a stop was asked for and
// the journal's end is reached.
func (r *Runner) session(pause *backoff) error {
	if err := r.load(); err != nil {
		// What waits is not known; it waits from now on, at least.
		r.oldest.CompareAndSwap(0, time.Now().UnixNano())
		return err
	}
	src, err := openSource(r.o.Journal, &r.at, r.whole)
	if err != nil {
		return err
	}
	defer src.close()
	src.missing = func(stream string, from, to uint64) {
		r.o.Log.Error("records are not in the journal any more and cannot be delivered", "stream", stream, "from", from, "to", to)
	}
	for {
		stopping := closed(r.stop)
		records, err := src.batch(&r.o, r.ctx.Done())
		if len(records) > 0 {
			r.oldest.Store(records[0].Time.UnixNano())
			if err := r.deliver(records, pause); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errAnew):
			r.whole = true
			return err
		case errors.Is(err, io.EOF):
			r.oldest.Store(0)
			if stopping {
				return nil
			}
			r.save(false)
			r.poll()
		case err != nil:
			return err
		}
	}
}

func (r *Runner) poll() {
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.stop:
	}
}

// load learns where to go on: from a Keeper itself, otherwise from the files, or
// from what this Runner has delivered since it read them.
func (r *Runner) load() error {
	if k, ok := r.o.Sink.(Keeper); ok {
		at, err := r.ask(k)
		if err != nil {
			return err
		}
		r.at, r.low = at, at.Since
		// The files are for whoever wants to know what may be removed.
		r.dirty = map[string]uint64{}
		for stream, sequence := range at.Streams {
			if streamName.MatchString(stream) && exists(filepath.Join(r.o.Journal, stream)) {
				r.dirty[stream] = sequence
			}
		}
	} else if r.at.Streams == nil {
		at, err := r.shelf.load(r.o.Journal, func(file string, err error) {
			r.o.Log.Error("a position cannot be read: its stream is delivered from the beginning", "file", file, "error", err)
		})
		if err != nil {
			return err
		}
		r.at, r.low = at, at.Since
	}
	r.delivered.Store(r.at.Streams[r.o.Stream])
	return nil
}

func (r *Runner) ask(k Keeper) (Positions, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.Timeout)
	defer cancel()
	at, err := k.Positions(ctx)
	if err == nil && at.Streams == nil {
		at.Streams = map[string]uint64{}
	}
	return at, err
}

// deliver hands a batch over, again and again until it is taken.
func (r *Runner) deliver(records []*journal.Record, pause *backoff) error {
	for {
		err := r.try(records)
		if err == nil {
			pause.reset()
			r.took(records)
			return nil
		}
		r.failed(err)
		if r.rest(pause) != nil {
			return errStopped
		}
		if k, ok := r.o.Sink.(Keeper); ok {
			if at, err := r.ask(k); err == nil && lost(&r.at, &at) {
				r.o.Log.Warn("the sink has lost what it had taken: delivering it again")
				return errAnew
			}
		}
	}
}

// lost says whether a Keeper has less than it had.
func lost(had, has *Positions) bool {
	for stream, sequence := range had.Streams {
		if has.Streams[stream] < sequence {
			return true
		}
	}
	return false
}

// try delivers once. A fault of the sink's code is an error of the sink.
func (r *Runner) try(records []*journal.Record) (err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of the sink: %v\n%s", p, debug.Stack())
		}
	}()
	return r.o.Sink.Deliver(ctx, records)
}

// took notes that the sink has a batch.
func (r *Runner) took(records []*journal.Record) {
	for _, rec := range records {
		r.at.Streams[rec.Stream] = rec.Sequence
		r.dirty[rec.Stream] = rec.Sequence
	}
	r.at.Since = records[0].Time
	r.delivered.Store(r.at.Streams[r.o.Stream])
	r.o.Observer.Delivered(len(records))
	r.save(false)
}

// save writes what has changed. Where it cannot, the records come again after a
// restart; the sink goes on.
func (r *Runner) save(now bool) {
	if len(r.dirty) == 0 || !now && time.Since(r.saved) < saveEvery {
		return
	}
	r.saved = time.Now()
	if err := r.shelf.save(r.dirty, r.low); err != nil {
		r.o.Log.Error("the sink's positions cannot be written", "error", err)
		return
	}
	clear(r.dirty)
	r.low = r.at.Since
}
