package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/catalog"
	"github.com/pgcustos/pgcustos/proxy/parameters"
)

// Options are what a machine is made of. They do not change over its life, but
// for the grant.
type Options struct {
	Judge    statement.Judge // only Cached is called
	Recorder audit.Recorder
	Prepared *audit.Prepared // the session's constant block
	// Budget is what the session's records count against; nil: nobody's.
	Budget *audit.Budget
	Grant  *auth.Grant
	// Incident makes an id for a refusal.
	Incident func() string
	// MaxMessage bounds a message that is judged, header included, in bytes.
	MaxMessage int
	// AtOnce bounds how many messages one call of Client takes, but for data of a
	// COPY: each may have a record, and others wait meanwhile. 0: there is no bound.
	AtOnce int
	// MayWait says whether Recorder may wait before it records a statement; nil: it does
	// not.
	MayWait func() bool
	// Spool makes a file for parameters that are too large for memory; nil for one
	// in the system's directory for temporary files.
	Spool func() (parameters.Spool, error)
	// SpoolOver is the size in bytes, header included, beyond which a message that
	// is judged is asked for by way of Spool; 0: none is.
	SpoolOver int
	// Path is what the start-up parameters made of search_path, and SearchPath what they
	// set it to; "" where they do not.
	Path       auth.Path
	SearchPath string
	// Role is the session user at the backend.
	Role string
	// Catalog is that of the session's database; nil for none.
	Catalog *catalog.Database
	// Began is when the session began, and has been idle since: in nanoseconds of the
	// driver's clock.
	Began int64
	// Parameters are those that the backend reported at log-in.
	Parameters map[string]string
	// OnParameter hears of later changes. It is called under the machine's lock
	// and must not call back. The machine records with the block it returns, or
	// goes on with the old one where that is nil.
	OnParameter func(name, value string) *audit.Prepared
	// OnDecision hears of each statement's decision, in the same way.
	OnDecision func(decision audit.Decision, rule string)
	// OnUnrecorded hears of each statement that the journal did not take.
	OnUnrecorded func(incident string, err error)
	// OnOutcome hears of each statement's end, in the same way.
	OnOutcome func(result audit.Result, took time.Duration)
}

// maxOutstanding bounds the messages that wait for an answer, and so what a
// pipeline may hold; maxExecuting those of them that run something, for each of
// which the journal keeps room, 4 KB. PostgreSQL flushes its answers every 8 KB, and
// where it is told to: behind the last message that a full queue takes stands a Flush
// of the proxy's own, so that it does not read on before it answers.
const (
	maxOutstanding = 16384
	maxExecuting   = 512
)

// Machine is the state of one session's relay. Client and Backend may be called
// from one goroutine each; all other methods from any.
type Machine struct {
	opt   Options
	grant atomic.Pointer[auth.Grant] // what SetGrant gave last
	// catalog is what SetCatalog gave last; nil for none.
	catalog atomic.Pointer[catalog.Database]
	// activity is what watches over the limits read, see Activity.
	activity activity

	mu sync.Mutex // guards everything below; never held across I/O

	// ruling is the grant for the client's message at hand: the one that it was
	// weighed under stands in its record, whatever a reload does meanwhile.
	ruling *auth.Grant
	// Likewise what is known of the database for that message: its catalog, the newest
	// snapshot, and whether it is as of now.
	database *catalog.Database
	view     *catalog.Snapshot
	current  bool
	known    knowledge

	client  direction
	backend direction
	parting bool // Part was called

	cancels    cancels
	filing     bool // a spooled message is being forwarded
	queue      ring[entry]
	runs       ring[run]
	statements table
	portals    table
	nextID     uint64
	segment    uint32
	executing  int // outstanding messages that run something
	// unreported is set while something ran whose changes of settings the
	// backend has not told: it does so with ReadyForQuery only, not with the
	// statement's end (ReportChangedGUCOptions, since PostgreSQL 14).
	unreported bool
	// recoding is set while something that may change client_encoding is outstanding or
	// unreported, recoded once that has changed: what ends a transaction may change it
	// then, too.
	recoding, recoded bool
	loose             bool // Syncs whose answer is uncertain may stand in the queue
	uncertain         bool // no Sync was sent behind those

	want        int                  // bytes that Client needs to go on
	text        []byte               // what Client asks its driver to have judged
	asked       statement.Encoding   // what that text was taken to be in
	judged      *statement.Judgement // what it got
	trace       statement.Trace      // what a comment of the text that was judged last claims
	capture     capture              // of the parameters of the Bind at hand
	scratch     *scratch             // nil between two steps, see hand
	replacement []byte               // scratch, the message that goes in another's place
	rewritten   []byte               // scratch, the ErrorResponse of a refusal
	shown       shown                // of a text that is not recorded as it is

	path            auth.Path  // where names without a schema are found
	emptying        emptying   // of search_path
	hidden          bool       // temporary relations may stand before them
	identity        identities // who the session is, as the backend confirmed
	expected        identities // and will be, should all that was sent succeed
	encoding        statement.Encoding
	standardStrings bool
	backslashes     bool // that was off at log-in: what was prepared meanwhile reads so behind a RESET

	skipping    bool    // the server skips to the next Sync
	failure     failure // for which it does
	tags        []byte  // command tags of a text that could not be read
	unknownRows int64   // and the rows that they count

	long     bool      // a statement was prepared whose text is kept in a file; owned by the client's direction
	copyIn   bool      // the backend is reading COPY data
	sent     copyMeter // COPY data of the client's, since the last message that was none
	given    copyMeter // COPY data of the backend's
	copied   copied    // of the COPY at the front, or the last one
	tally    tally     // of the statement at the front
	tx       transaction
	goodbye  bool  // the client sent a Terminate
	derailed bool  // or a header that is none
	fatal    bool  // the backend said why it closes
	deaf     bool  // the backend took nothing more, before anybody had said goodbye
	broken   error // of the recorder, about something that had happened already
	totals   Totals
}

// direction is where a stream of frames stands.
type direction struct {
	left   int  // bytes of the current frame that are still to come
	drop   bool // they are not forwarded
	copies bool // they are a CopyData's
	binds  bool // they are a Bind's whose parameters are recorded
	dead   bool // nothing more is forwarded
}

// Totals count what a session did.
type Totals struct {
	Statements, Denied   uint64
	FromClient, ToClient uint64 // bytes
}

// New makes a machine for a session that has just been told ReadyForQuery.
func New(opt Options) *Machine {
	// What the backend does not report is not trusted.
	m := &Machine{opt: opt, encoding: statement.Other, path: opt.Path}
	m.grant.Store(opt.Grant)
	m.catalog.Store(opt.Catalog)
	m.tx = transaction{number: 1, status: txIdle}
	m.activity.enter(PhaseIdle, opt.Began)
	for name, value := range opt.Parameters {
		m.follow(name, value)
	}
	m.backslashes = !m.standardStrings
	m.opt.Parameters = nil
	m.known.search.begin(opt.Path, opt.SearchPath)
	return m
}

// SetGrant makes the machine judge by another grant from now on: a statement
// that was prepared before is judged again when it is executed.
func (m *Machine) SetGrant(g *auth.Grant) { m.grant.Store(g) }

// Recording is what the session's grant wants on record.
func (m *Machine) Recording() *auth.Record { return &m.grant.Load().Record }

// Totals returns what the session did so far.
func (m *Machine) Totals() Totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.totals
}

// Outstanding reports whether the client waits for an answer, or the backend
// for the rest of a message.
func (m *Machine) Outstanding() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.resting() || m.client.left > 0 || m.copyIn
}

// Held returns how much memory the session's prepared statements and portals take, in
// bytes and about. It takes no lock, which may be held for as long as a file takes.
func (m *Machine) Held() int { return int(m.statements.held.Load() + m.portals.held.Load()) }

// Backlog returns how many messages are forwarded and not answered yet.
func (m *Machine) Backlog() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queue.n
}

// InCopy reports whether the backend is reading COPY data.
func (m *Machine) InCopy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copyIn
}

// IdlePoint reports whether the session may end without anybody losing work:
// nothing is outstanding, and no transaction is open.
func (m *Machine) IdlePoint() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.atIdlePoint()
}

// atIdlePoint goes by the phase, too: behind a Flush all is answered, and the transaction
// that the next Sync would end is open.
func (m *Machine) atIdlePoint() bool {
	return m.resting() && m.client.left == 0 && m.backend.left == 0 && m.tx.status == txIdle && Phase(m.activity.phase.Load()) == PhaseIdle
}

// Quiesce ends the client's direction if the session is at an idle point, so that
// nothing that comes later is lost halfway: it was never forwarded.
func (m *Machine) Quiesce() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiesce()
}

// Part is Quiesce, now or at the next idle point, whenever that is: a client that always
// has something to send ends, too. It reports whether the session has come there.
func (m *Machine) Part() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parting = true
	return m.quiesce()
}

func (m *Machine) quiesce() bool {
	if !m.atIdlePoint() {
		return false
	}
	m.client.dead, m.client.drop = true, true
	return true
}

// Halt ends the client's direction at once.
func (m *Machine) Halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.client.dead, m.client.drop = true, true
}

// Lost ends the client's direction because the backend takes nothing more. Why, if
// it says so, comes from the backend.
func (m *Machine) Lost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.client.drop = true
	m.deaf = m.deaf || !m.client.dead
	m.client.dead = true
}

// MayTerminate reports whether a Terminate may be sent for a client that left:
// its last message is whole, and the backend is not reading COPY data.
func (m *Machine) MayTerminate() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.client.left == 0 && !m.copyIn
}

// Parted reports whether the backend has said why it closes, or was told to.
func (m *Machine) Parted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fatal || m.client.dead && !m.deaf
}

// SaidGoodbye reports whether the client sent a Terminate.
func (m *Machine) SaidGoodbye() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goodbye
}

// Derailed reports whether the client sent what is no message, for which the backend
// ends the session.
func (m *Machine) Derailed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.derailed
}

// Boundary reports whether what was forwarded to the client ends with a whole
// message, so that a message of the proxy's own may follow.
func (m *Machine) Boundary() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backend.left == 0
}

// follow keeps the settings that the reading of texts rests on.
func (m *Machine) follow(name, value string) {
	switch name {
	case "client_encoding":
		m.encoding = statement.Other
		if value == "UTF8" {
			m.encoding = statement.UTF8
		}
	case "standard_conforming_strings":
		m.standardStrings = value == "on"
	case "search_path":
		m.known.search.reported, m.known.search.reports = value, true
	}
}

// unfollow forgets a setting whose value is too long to be looked at.
func (m *Machine) unfollow(name string) {
	if s := &m.known.search; name == "search_path" {
		s.reports, s.known = false, false
		s.moves++
	}
}

// settled reports whether the settings that the reading of a text rests on are
// known, and cannot be changed by what is still outstanding, nor were by what
// has run unreported.
func (m *Machine) settled() bool { return m.standardStrings && !m.backslashes && m.reported() }

// reported reports whether nothing has run, or is still to run, whose changes of settings
// the backend has not told.
func (m *Machine) reported() bool { return m.executing == 0 && !m.unreported }

// encoded reports whether it is known what encoding the client's next message is read in.
// Where that is not UTF-8, a character may have a byte of ASCII for its second half, so
// that words and literals end elsewhere, and two names or literals may be the same.
func (m *Machine) encoded() bool { return !m.recoding && (!m.recoded || m.reported()) }
