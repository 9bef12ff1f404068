package auth

import (
	"net/netip"
	"time"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Request is what a client asks for, beside who it is.
type Request struct {
	Database string
	Source   netip.Addr
	Method   Method
	// Assurance are the SIDs of the client's ticket, which say how it logged on
	// beside whom it belongs to. Nothing but a ticket has any.
	Assurance []string
	// Role and Reason are the client's own words (invariant 11): nothing is
	// granted for them, a rule may only demand them.
	Role   string
	Reason string
}

// Grant is what a rule gives to a session. It is immutable.
type Grant struct {
	Rule    string // the rule's name
	Group   string // the group, or account, that made the rule match
	Backend string
	Role    string
	Classes statement.Class // what may be sent
	Tags    statement.Tag   // what may be sent although it is guarded, see Guarded
	// Commands are what may be sent of those classes, by command tag; nil for all.
	Commands       []Command
	DeniedCommands []Command
	// Objects are what may be touched, nil for all; DeniedObjects what may not,
	// although Objects may name it.
	Objects       []Pattern
	DeniedObjects []Pattern
	// Replication is which replication connections the session may be.
	Replication Replication
	Limits      Limits
	Mode        Mode
	// Durability is what a record waits for before its statement is forwarded.
	Durability Durability
	Record     Record
	Changes    Changes
}

// Record says what is recorded of statements, and beside them.
type Record struct {
	// StatementText is how much of the statements' texts stands in their records.
	StatementText Text
	// Patterns are what is kept out of all that is recorded; nil for none.
	Patterns   *statement.Patterns
	Parameters Recording // of Bind and FunctionCall messages
	Copy       Recording // the data of COPY: RecordNone or RecordDigest
}

// Hides reports whether statements' texts are not recorded as they are.
func (r *Record) Hides() bool { return r.StatementText == TextMasked || r.StatementText == TextNone }

// Text is how much of a text is recorded. The zero value is full, too: a secret is
// never part of it.
type Text string

// The texts. Their digest is recorded in any case.
const (
	TextFull   Text = "full"
	TextMasked Text = "masked" // without literals and comments
	TextNone   Text = "none"
)

// Recording is how much of some data is recorded.
type Recording string

// The recordings. The zero value is none, too.
const (
	RecordNone   Recording = "none"
	RecordDigest Recording = "digest" // under a key: whoever does not hold it cannot guess
	RecordFull   Recording = "full"
)

// Replication is how far replication connections go. The zero value is none, too.
type Replication string

// The replications. Each includes the one before it.
const (
	ReplicationNone     Replication = "none"
	ReplicationDatabase Replication = "database" // logical, of one database
	ReplicationPhysical Replication = "physical" // the whole cluster: base backups and WAL
)

// Replicates reports whether the grant lets a session be a replication connection.
func (g *Grant) Replicates(physical bool) bool {
	return g.Replication == ReplicationPhysical || !physical && g.Replication == ReplicationDatabase
}

// Mode tells whether a grant's denials are enforced.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Observe Mode = "observe" // a denial is recorded as what enforcement would have done
)

// Durability is what a record must survive before its statement is forwarded.
type Durability string

// The durabilities.
const (
	DurableProcess Durability = "process" // the end of the process, SIGKILL included
	DurableDisk    Durability = "disk"    // the loss of power
)

// Limits bound a session. Zero is no limit.
type Limits struct {
	Statement         time.Duration // from forwarding to the outcome: then cancelled, 57014
	Idle              time.Duration // outside a transaction: then 57P05
	IdleInTransaction time.Duration // then 25P03
	Session           time.Duration // from log-in: then 57P01
	Connections       int           // of one principal under one rule, at once: 53300
}

// Guarded are the tags that a grant must name to let a statement pass.
// TagSession and TagTransaction only describe.
const Guarded = ^(statement.TagSession | statement.TagTransaction)
