package audit

import (
	"net/netip"
	"time"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Type is what happened.
type Type string

// The types of event. They stand in the journal, so their names stay.
const (
	Authentication Type = "authentication"    // Outcome: success or failure; Cause says exactly why
	Authorization  Type = "authorization"     // an identity that no rule gives a session, or a limit that was reached
	Connection     Type = "connection"        // a stranger who never came to authentication; Count folds repetitions
	SessionStart   Type = "session.start"     // recorded before the client's first ReadyForQuery
	SessionEnd     Type = "session.end"       //
	Prepare        Type = "statement.prepare" // a Parse message: the text reaches the server, nothing is executed yet
	Statement      Type = "statement"         // recorded before it is forwarded
	Outcome        Type = "outcome"           // of the statement with the sequence number Of
	Transaction    Type = "transaction"       // its fate, where the outcomes could not say it
	Cancel         Type = "cancel"            // a CancelRequest, or a cancel of the proxy's own
	Revocation     Type = "revocation"        // a live session lost its grant
	Operation      Type = "operation"         // somebody ended, locked or unlocked sessions with a command of this program
	Account        Type = "account"           // the directory changed an account of a live session, or of a service
	Configuration  Type = "configuration"     // start, reload, refused reload, stop
	Issued         Type = "certificate"       // a client certificate for a backend, recorded before it is signed
	ParserDied     Type = "parser.died"       // a worker was lost to a text
	JournalOpened  Type = "journal.opened"    // what recovery found
	Reading        Type = "audit.read"        // somebody read the record with a command of this program
	Held           Type = "audit.hold"        // somebody forbade that retention removes records of a period
	Released       Type = "audit.release"     // somebody took that back
	Removed        Type = "audit.removed"     // retention removes a segment
	Checkpoint     Type = "checkpoint"        // the journal's own: how far its hash chain has come, signed
)

// Decision is what was made of a statement or a log-in.
type Decision string

// The decisions.
const (
	Allowed     Decision = "allowed"
	Denied      Decision = "denied"
	WouldDeny   Decision = "would_deny" // mode: observe
	Unavailable Decision = "refused"    // not for a rule but for want of room, of a reader, of a backend
)

// Result is what came of a statement.
type Result string

// The results.
const (
	Completed Result = "completed"
	Failed    Result = "failed"
	Skipped   Result = "skipped"   // an error before it, up to the next Sync
	Suspended Result = "suspended" // a portal that was left before its end
	Lost      Result = "unknown"   // the connection went away
)

// Fate is what became of a transaction.
type Fate string

// The fates.
const (
	Committed    Fate = "committed"
	RolledBack   Fate = "rolled_back"
	FatePrepared Fate = "prepared" // PREPARE TRANSACTION: it outlives the session
	FateLost     Fate = "unknown"
)

// Principal is a directory account as records name it.
type Principal struct {
	Account, UPN, SID, GUID, DN string
	Kind, Owner                 string
}

// Source is where a client came from.
type Source struct {
	Address netip.AddrPort // the client's, behind a listed balancer what the PROXY header says
	Via     netip.AddrPort // the balancer's; the zero value where there is none
	TLS     string         // "TLSv1.3"
	Cipher  string         // "TLS_AES_128_GCM_SHA256"
}

// Context is what stays the same over the records of a session.
type Context struct {
	Session         string // the session's id: 26 characters, unique over nodes
	Principal       Principal
	Source          Source
	Method          string // password, kerberos, certificate
	Rule, Group     string // the rule that gave the session, and what of the identity made it match
	Backend         string
	Database        string
	Role            string
	BackendPID      uint32
	ApplicationName string // claimed: the client's own word
	Reason          string // claimed: the why that the client gave
}

// Doubt is what of a statement cannot be told from outside with certainty.
type Doubt uint8

// The doubts.
const (
	DoubtRole       Doubt = 1 << iota // CurrentRole: a change that was not seen, or is not confirmed yet
	DoubtResolution                   // names without a schema: search_path changed, or temporary relations may hide others
)

var doubtNames = [...]string{"", "role", "resolution", "role,resolution"}

// String returns the doubts' names in records, with a comma between them.
func (d Doubt) String() string { return doubtNames[d&3] }

// Event is one thing that happened. The hot path reuses one Event per session:
// a Recorder keeps no reference to it or to anything it points at.
type Event struct {
	Type Type
	// Time is when it happened; the recorder sets it where it is zero.
	Time time.Time
	// Prepared is the encoded Context of the event's session; nil for events
	// without a session, which may set Context instead.
	Prepared *Prepared
	Context  *Context
	// Budget is what the record counts against; nil: nobody's. Only a statement or
	// its Prepare can be refused for it.
	Budget *Budget

	Decision Decision
	Incident string // the id that the client saw, empty where it saw none
	Cause    string // an exact cause: auth.Cause, statement.Cause, of a session's end, …
	Detail   string // what the directory, the operating system or the backend said
	Claimed  string // the user name as the client sent it, before authentication
	Count    uint64 // of folded repetitions; 0 and 1 are one

	// Of statements.
	Rule string // the rule that decided, where it is not the session's
	// CurrentRole is whose rights the statement runs with, where it is not the
	// session's own role: by SET ROLE, SET SESSION AUTHORIZATION or set_config.
	CurrentRole string
	Doubt       Doubt
	Missing     string // what the grant lacks
	Command     string
	Class       statement.Class
	Tags        statement.Tag
	Objects     []statement.Object
	// Resolution says how far the names were held against the backend's catalog, and
	// Resolved what they stand for and what stands behind them, but for as many as
	// LeftOut says.
	Resolution statement.Resolution
	Resolved   []statement.Resolved
	LeftOut    uint64
	Text       string // whole, never truncated; none of the form Withheld
	// TextDigest is the keyed digest of Text (Store.Keyed), or of what a rule has
	// masked or withheld; the recorder computes it where it is zero.
	TextDigest [32]byte
	// TextBlob names the text where it is kept as a blob and Text is empty. Record
	// sets it where it made a blob of Text.
	TextBlob    BlobRef
	Form        statement.Form
	Name        string // of the prepared statement or portal
	Fingerprint uint64
	Index, Of   uint32          // the statement is number Index of Of in its message; 0, 0 for the only one
	Tx          uint64          // the session's transaction number, from 1
	Protocol    string          // simple, extended, fastpath, startup
	Trace       statement.Trace // claimed: what a comment of the text says
	Parameters  *Parameters     // nil where the rule asks for none, or there was no Bind

	// Of outcomes and transactions.
	Statement uint64 // the sequence number of the statement's record
	Result    Result
	Fate      Fate
	SQLSTATE  string
	Message   string // PostgreSQL's primary message, without DETAIL
	Rows      int64  // -1 where the command tag has none
	Bytes     int64  // that the backend answered with; of COPY, the stream's
	Duration  time.Duration
	// CopyDigest is the keyed digest (Store.Keyed) of the data of a COPY, 32 bytes;
	// nil for none.
	CopyDigest []byte

	// Of configurations.
	Digest string // of the file
	Change string // the difference in meaning, one line each

	// Of readings of the record; Command is the command.
	Reader *Reader
	Filter string // claimed: what the command was asked for
}

// Reader is who read the record, as the operating system knows them.
type Reader struct {
	User  string // the name of UID, empty where it has none
	UID   uint32
	Login string // who logged in before sudo or su, where the system keeps that
	PID   uint32
}
