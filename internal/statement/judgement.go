package statement

import "context"

// Judgement is what is known of one text: of a Query message, or of a Parse
// message. It is immutable, and shared by every session that sent the text.
type Judgement struct {
	// Statements are those of the text, in their order; none for an empty
	// text. A text that could not be read has exactly one, of class Unknown.
	Statements []Statement
	// Class and Tags are the unions over Statements.
	Class Class
	Tags  Tag
	// Cause says why the text is Unknown; CauseNone where it is not.
	Cause Cause
	// Form says how far the Text of each statement is the client's own.
	Form Form
	// Sensitive is set where the reading would differ under other settings of
	// standard_conforming_strings or client_encoding: a backslash in a plain
	// literal, or one directly behind a byte outside ASCII. Whoever cannot
	// exclude that a statement still outstanding changes them must take the
	// text for Unknown.
	Sensitive bool
	// Maskable is set where a text that differs in its Holes only would be judged
	// alike, but for the texts of its statements.
	Maskable bool
}

// Statement is one SQL statement of a text.
type Statement struct {
	// Command is the command tag as PostgreSQL names it (cmdtaglist.h), known
	// before execution: "SELECT", "DROP TABLE". Empty for what is Unknown.
	Command string
	Class   Class
	Tags    Tag
	Objects []Object
	// Text is what may be recorded: the statement's own text, without secrets.
	Text string
	// Digest is Text's under the journal's key; zero where nobody computed it.
	Digest [32]byte
	// Blob names the text where it is kept elsewhere. Text is empty then.
	Blob Ref
	// Fingerprint is pg_query's of Text as the parser gave it, without secrets: alike for
	// texts that differ in constants only; 0 where there is none.
	Fingerprint uint64
	// Fields are the names behind a dot that are columns as far as the text tells, and
	// would be calls of functions of the database's own where there is no such column.
	Fields []string
	// Secrets is set where something in the text is given a secret by its name: the PASSWORD
	// of a role, an argument password => …. Where that is a parameter, the text has none.
	Secrets bool
	// Calls is set where a function of the database's own is called: it may do anything.
	Calls bool
	// Effect is what the statement does to the session's names and transaction.
	Effect Effect
	// Searched are the patterns that Text has been through. Hides is set where they
	// found something, and where a secret was redacted.
	Searched *Patterns
	Hides    bool
	// Destructive names what makes TagDestructive apply ("DELETE without
	// WHERE"), for the message to the user; empty otherwise.
	Destructive string
}

// Object is a thing in the database that a statement names.
type Object struct {
	Schema string // as written; empty where the text left it to search_path
	Name   string
	Kind   string // table, index, view, function, schema, role, database, … ; "relation" where the text does not tell
	Use    Use
	// Late is set where the name stands in SQL that the statement runs, or keeps to be
	// run: it is looked up then, by the search_path of that time.
	Late bool
}

// Any is the schema, or the name, of an object that the text does not tell: a table that
// a function is given by its OID, or in a parameter.
const Any = "*"

// Use is how a statement uses an object.
type Use uint8

// How an object is used.
const (
	UseRead Use = iota + 1
	UseWrite
	UseCreate
	UseAlter
	UseDrop
	UseExecute
)

var useNames = [...]string{"", "read", "written", "created", "altered", "dropped", "executed"}

// String returns the use's name in records.
func (u Use) String() string {
	if int(u) < len(useNames) {
		return useNames[u]
	}
	return ""
}

// EffectKind is what a statement does to names that live in the session, or to
// the transaction.
type EffectKind uint8

// The effects that a session's bookkeeping follows.
const (
	EffectNone          EffectKind = iota
	EffectPrepare                  // PREPARE Name AS Inner
	EffectExecute                  // EXECUTE Name (also inside EXPLAIN and CREATE TABLE AS); Hold where that makes a temporary relation
	EffectDeallocate               // DEALLOCATE Name
	EffectDeallocateAll            // DEALLOCATE ALL
	EffectDeclare                  // DECLARE Name CURSOR FOR Inner; Hold for WITH HOLD
	EffectFetch                    // FETCH or MOVE from Name
	EffectCloseCursor              // CLOSE Name
	EffectCloseAll                 // CLOSE ALL
	EffectDiscardAll               // DISCARD ALL
	EffectBegin                    // BEGIN, START TRANSACTION
	EffectCommit                   // COMMIT, END; Hold for AND CHAIN
	EffectRollback                 // ROLLBACK, ABORT; Hold for AND CHAIN
	EffectSavepoint                // SAVEPOINT, RELEASE, ROLLBACK TO: stays in the transaction
	EffectTwoPhase                 // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
	EffectRole                     // SET ROLE Name, "" for NONE; Hold unless LOCAL
	EffectAuthorization            // SET SESSION AUTHORIZATION Name, "" for DEFAULT; Hold unless LOCAL
	EffectTemporary                // creates a temporary relation, which hides others of its name
	EffectNoPath                   // SET search_path = '': names without a schema are the system's from now on
	EffectCommits                  // commits on its way, where it is in no block: REINDEX, CREATE INDEX CONCURRENTLY, …
	effectEnd
)

// Effect is an EffectKind with what it needs.
type Effect struct {
	Kind EffectKind
	Name string
	Hold bool
	// Inner is the statement that Name stands for from now on; its Text is the
	// part of the text that follows AS or FOR.
	Inner *Statement
}

// CommitsWithin tells whether a statement that is in no block may commit before it ends:
// what it did up to there stays when it fails, and so does what stands before it.
func (st *Statement) CommitsWithin() bool {
	return st.Effect.Kind == EffectCommits || st.Command == "CALL" || st.Command == "DO" || st.Class&Unknown != 0
}

// Cause says why a text is Unknown.
type Cause string

// The causes. They stand in records, so their names stay.
const (
	CauseNone     Cause = ""
	CauseSyntax   Cause = "syntax"        // the parser refuses it; the server's grammar may be newer
	CauseEncoding Cause = "encoding"      // bytes outside ASCII under a client_encoding other than UTF8, or not UTF-8 at all
	CauseStrings  Cause = "strings"       // where a literal ends depends on a setting that cannot be trusted
	CauseSize     Cause = "size"          // beyond the bound on what is parsed
	CauseTimeout  Cause = "timeout"       // the parser took longer than it may
	CauseParser   Cause = "parser"        // the parser died of it, or could not be asked
	CauseName     Cause = "name"          // a prepared statement or portal that nobody saw being made
	CauseProtocol Cause = "protocol"      // a message whose text cannot be told from its bytes
	CauseFastpath Cause = "function_call" // a FunctionCall message names an OID only
)

// Form says how a recorded text relates to the client's.
type Form uint8

// The forms of a recorded text.
const (
	Verbatim Form = iota // byte for byte
	Redacted             // secrets replaced by <redacted>
	Masked               // each literal replaced, lexically: it was not parsed, or a rule asks for it
	Withheld             // none is recorded, by a rule
)

// String returns the form's name in records.
func (f Form) String() string { return [...]string{"verbatim", "redacted", "masked", "withheld"}[f] }

// Judge reads texts.
//
// Both methods take the text as it stands in the message, without its NUL, and
// keep no reference to it. encoding is the session's client_encoding as the
// server reports it. A text of ASCII reads alike in all encodings that
// PostgreSQL lets a client use.
type Judge interface {
	// Cached returns the judgement of a text that was read before. It neither
	// blocks nor allocates.
	Cached(text []byte, encoding Encoding) (*Judgement, bool)
	// Judge reads the text, through a parser worker where it must. It blocks no
	// longer than the worker's deadline or ctx, and always returns a judgement:
	// what cannot be read is Unknown.
	Judge(ctx context.Context, text []byte, encoding Encoding) *Judgement
}

// Encoding is as much of client_encoding as the reading of a text rests on.
type Encoding uint8

// The encodings.
const (
	UTF8  Encoding = iota // UTF8
	Other                 // anything else: only ASCII is trusted
)

// UnknownText returns the judgement of a text that could not be read: one
// statement of class Unknown, recorded with its literals masked.
func UnknownText(text []byte, cause Cause) *Judgement {
	return &Judgement{
		Statements: []Statement{{Class: Unknown, Text: Mask(text)}},
		Class:      Unknown,
		Cause:      cause,
		Form:       Masked,
	}
}
