package driver

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/ration"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/spool"
)

// Options are what a driver moves bytes between, and whom it asks.
type Options struct {
	Client, Backend net.Conn // owned by the driver from New on
	Machine         *relay.Machine
	Judge           statement.Judge
	Recorder        audit.Recorder
	// Cancel asks the backend to cancel what the session runs.
	Cancel func(context.Context) error
	// Now is the clock of the machine, in nanoseconds.
	Now func() int64
	// ClientGoneGrace is how long a statement may go on whose client closed its
	// side.
	ClientGoneGrace time.Duration
	// Incident makes an id for what the driver itself tells the client; may be nil.
	Incident func() string
	// MaxMessage bounds the buffer for a message that has to be there whole.
	MaxMessage int
	// Spool keeps messages that are too large to be held; nil where the machine asks
	// for none. Principal is whose they are.
	Spool     *spool.Store
	Principal string
	// MaxText is the longest text, in bytes, that Judge reads. A spooled one that is
	// longer is masked on its way to the record, and UNKNOWN.
	MaxText int
	// Memory is asked before a buffer becomes larger than usual; nil: nobody is.
	Memory *ration.Budget
	// Loops drive the session; nil for two goroutines of its own.
	Loops *Loops
}

// Cause says why a session ended. It stands in records.
type Cause string

// The causes of an end.
const (
	ClientTerminated Cause = "client_terminated" // it said goodbye
	ClientClosed     Cause = "client_closed"     // it closed its side
	ClientGone       Cause = "client_gone"       // the connection broke
	ClientFraming    Cause = "client_framing"    // it sent what is no message
	BackendClosed    Cause = "backend_closed"    // it said why, or was told to
	BackendLost      Cause = "backend_lost"      // it went away without a word
	BackendFraming   Cause = "backend_framing"   // it sent what is no message
	Ended            Cause = "ended"             // by End
	Unrecorded       Cause = "unrecorded"        // something could not be written down
	Fault            Cause = "fault"             // the proxy met a fault of its own
	OutOfMemory      Cause = "out_of_memory"     // the memory's budget is used up
	SpoolLost        Cause = "spool_lost"        // what was kept of a large message could not be read while it was forwarded
)

// Relay drives one session. Start is called once; End may be called from anywhere.
type Relay struct {
	opt Options

	farewell atomic.Pointer[pgwire.Error]
	ending   chan struct{} // closed by End
	endOnce  sync.Once

	judging context.Context // ends with the session; nil before begin
	stop    context.CancelFunc
	lookout lookout
	drained chan struct{} // a token: the backend answered something
	braking atomic.Bool   // the client's direction waits for that
	severed atomic.Bool   // the backend takes nothing more

	// Each owned by its direction, wherever that runs.
	client, backend direction
	errand          *errand // of the client's direction, under way

	wrote   bool           // the backend was written to, and the machine not told that all is sent; owned by the client's direction
	cancels sync.WaitGroup // that go to the backend behind what they were kept for

	place    place                 // in the event loops
	fault    atomic.Pointer[fault] // the first
	incident string                // of the last words to the client
}

// direction is what an event loop leaves of one, when the session goes on without it.
type direction struct {
	buf buffer
	end *part // nil while it goes on
}

// New makes a driver. It starts nothing.
func New(opt Options) *Relay {
	r := &Relay{opt: opt, ending: make(chan struct{}), drained: make(chan struct{}, 1)}
	r.lookout.conn, r.lookout.grace, r.lookout.gone = handover.Of(opt.Client), opt.ClientGoneGrace, make(chan part, 1)
	r.client.buf.budget, r.backend.buf.budget = opt.Memory, opt.Memory
	return r
}

// End makes the session end soon: what runs is cancelled, the client is told e where
// a message may stand, and both connections are closed. Only the first call
// counts.
func (r *Relay) End(e *pgwire.Error) {
	r.endOnce.Do(func() {
		r.farewell.Store(e)
		close(r.ending)
		r.leaveLoop()
	})
}

// Start moves bytes until either side ends, or End is called. It calls then once,
// with what sees the session to its end: that closes both connections, joins
// whatever was begun for the session, and tells the cause, or panics where a
// direction did.
//
// With event loops Start returns at once, and then is called from a goroutine of its
// own when the end has begun. Otherwise it is called by Start.
func (r *Relay) Start(then func(finish func() (Cause, error))) {
	if !r.enterLoop(then) {
		then(r.finish)
	}
}

// begin makes the context of what the session waits for.
func (r *Relay) begin() {
	if r.judging == nil {
		r.judging, r.stop = context.WithCancel(context.Background())
	}
}

// finish moves bytes with a goroutine for each direction, until the end.
func (r *Relay) finish() (Cause, error) {
	r.begin()
	defer r.stop()
	client, backend := make(chan part, 1), make(chan part, 1)
	var wg sync.WaitGroup
	wg.Go(func() { client <- r.contained(r.clientLoop) })
	wg.Go(func() { backend <- r.contained(r.backendLoop) })

	cause, err := r.await(client, backend)

	r.stop()
	r.opt.Machine.Halt()
	_ = r.opt.Backend.Close()
	closeClient(r.opt.Client)
	wg.Wait()
	if r.errand != nil {
		<-r.errand.done // of a session that met a fault
	}
	_ = r.opt.Client.Close()
	r.cancels.Wait()
	if f := r.fault.Load(); f != nil {
		defer panic(f)
	}
	r.opt.Machine.Finish()
	return cause, err
}
