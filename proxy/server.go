package proxy

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/ration"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/telemetry"
	"github.com/pgcustos/pgcustos/internal/telemetry/tracing"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/spool"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// Options are what a server is made of. It closes none of them.
type Options struct {
	Policy   Policy
	Recorder audit.Recorder
	Judge    statement.Judge
	// MaxText is the longest text, in bytes, that Judge reads.
	MaxText int
	// Spool keeps messages that are too large to be held in memory; nil: all are held.
	Spool   *spool.Store
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	Tracer  *tracing.Tracer // nil for none
	// Loops drive the sessions; nil: goroutines do, two for each.
	Loops *driver.Loops
	// SpoolDir is where parameters are put that are recorded and too large for memory,
	// while their message comes in; "" is the system's directory for temporary files.
	SpoolDir string
	// Node is told apart in cancel keys, where other replicas pass cancels on; empty
	// where there are none.
	Node string
	// Memory is what the process may take; nil for no bound.
	Memory *ration.Budget
}

// Policy is the part of the options that a reload replaces.
type Policy struct {
	Startup       startup.Options
	Methods       auth.Methods
	Authenticator auth.Authenticator
	Resolver      auth.Resolver
	Watcher       auth.Watcher // nil where nobody follows accounts
	// Adopt gives an account the names that it has by this policy, or tells that it has
	// none; nil: accounts keep theirs.
	Adopt    func(auth.Identity) (auth.Identity, error)
	Rules    *rules.Set
	Backends map[string]*backend.Backend
	// Catalogs are those of the backends that have one, by the backend's name.
	Catalogs map[string]*catalog.Catalog
	// ClientGoneGrace is how long a statement may go on whose client closed its
	// side.
	ClientGoneGrace time.Duration
	// Budget is what each account may write to the journal.
	Budget audit.BudgetLimits
	// MaxMessage bounds a message that is judged, in bytes.
	MaxMessage int
	// Patterns are what is kept out of all that is recorded; nil for none.
	Patterns *statement.Patterns
}

// Server accepts clients and holds their sessions.
type Server struct {
	recorder audit.Recorder
	judge    statement.Judge
	maxText  int
	spool    *spool.Store
	loops    *driver.Loops
	log      *slog.Logger
	metrics  *instruments
	tracer   *tracing.Tracer
	policy   atomic.Pointer[Policy]
	limiter  atomic.Pointer[startup.Limiter]
	regulars startup.Regulars
	locks    atomic.Pointer[[]auth.Lock]
	// quarantined are the services that are kept out, by SID, with the reason.
	quarantined atomic.Pointer[map[string]string]
	started     time.Time
	spoolDir    string
	node        string
	memory      *ration.Budget

	strangers *strangers
	replaced  chan struct{}  // a token when there is another policy
	work      sync.WaitGroup // sessions, and what the server runs beside them
	draining  atomic.Bool
	keptOut   atomic.Bool // somebody was turned away for want of memory since there was room

	listener atomic.Pointer[net.Listener] // that Serve accepts from
	ceded    atomic.Bool                  // others accept from its socket
	arriving atomic.Int64                 // connections that have been accepted and are not relayed yet
	gone     chan struct{}                // closed when Serve accepts no more
	left     func()                       // closes gone
	// elsewhere passes a cancel on whose key is none of this process's.
	elsewhere atomic.Pointer[Elsewhere]

	rota     rota
	register register

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	keys     map[uint32][]*session // by the process id of the cancel key
	usage    map[usageKey]int
	// byAccount are the live sessions of each account, by its key.
	byAccount map[string]map[*session]struct{}
	// kills are those since which nobody may have come in.
	kills []kill
	// used is when each service last began a session, by SID.
	used map[string]time.Time
	// allowances are the accounts' shares of the journal, by SID.
	allowances map[string]*allowance
}

// usageKey counts sessions: of a backend, or of a principal under a rule.
type usageKey struct{ backend, rule, account string }

// New makes a server.
func New(opt Options) *Server {
	s := &Server{
		recorder: opt.Recorder,
		judge:    opt.Judge,
		maxText:  opt.MaxText,
		spool:    opt.Spool,
		loops:    opt.Loops,
		log:      opt.Log,
		metrics:  newInstruments(opt.Metrics),
		tracer:   opt.Tracer,
		started:  time.Now(),
		spoolDir: opt.SpoolDir,
		node:     opt.Node,
		memory:   opt.Memory,
		sessions: make(map[*session]struct{}),
		keys:     make(map[uint32][]*session),
		usage:    make(map[usageKey]int),
		replaced: make(chan struct{}, 1),

		byAccount:  make(map[string]map[*session]struct{}),
		used:       make(map[string]time.Time),
		allowances: make(map[string]*allowance),
	}
	s.gone = make(chan struct{})
	s.left = sync.OnceFunc(func() { close(s.gone) })
	s.strangers = newStrangers(s)
	s.setPolicy(&opt.Policy)
	return s
}

// waitedPart is the part of the time before authentication for which a connection is
// waited for though others have no place.
const waitedPart = 10

func (s *Server) setPolicy(p *Policy) {
	s.policy.Store(p)
	s.limiter.Store(startup.NewLimiter(p.Startup.Pending, p.Startup.PendingPerSource, p.Startup.Timeout/waitedPart, &s.regulars))
	select {
	case s.replaced <- struct{}{}:
	default:
	}
}

// spoolOver is the size in bytes beyond which a message is spooled, 0 for none.
func (s *Server) spoolOver() int {
	if s.spool == nil {
		return 0
	}
	return s.spool.Over()
}

// now is the clock of all sessions: nanoseconds since the server was made, on the
// monotonic clock.
func (s *Server) now() int64 { return int64(time.Since(s.started)) }

// Sessions returns the number of live sessions.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
