package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
	"github.com/pgcustos/pgcustos/proxy/spool"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// Config is a configuration that passed every check. It is immutable.
type Config struct {
	File   string
	Digest string // SHA-256 of the file's bytes, hexadecimal
	Node   string

	Listen  Listen
	Admin   Admin
	Control Control
	Peers   Peers
	// MemoryLimit is what the process may take of the machine's memory, in bytes.
	MemoryLimit int64
	Log         Log
	Directory   Directory
	Kerberos    Kerberos
	// ClientCertificates are a way in.
	ClientCertificates ClientCertificates
	Backends           []backend.Options // in the order of the file
	// Catalogs say how those of backends are read, by backend; the others are not.
	Catalogs map[string]catalog.Options
	// Authorities are the files of the backends' authorities, by backend.
	Authorities map[string]AuthorityFiles
	Rules       []rules.Rule // in the order of the file, which is their rank
	Journal     journal.Options
	// Budget is what each account may write to the journal.
	Budget audit.BudgetLimits
	// EncryptionOverdue is how long a sealed segment may wait in clear for its sinks
	// before that is an alarm; 0: nothing is encrypted.
	EncryptionOverdue time.Duration
	Spool             spool.Options // where large messages wait
	Parser            statement.Options
	// Patterns are what is kept out of all that is recorded; nil for none.
	Patterns *statement.Patterns
	Sinks    []Sink // in the order of the file
	Tracing  Tracing

	// Trusted tells of each file of authorities that connections to others rest on when
	// the last certificate in it ends.
	Trusted map[string]time.Time

	// Warnings are what is allowed and probably not meant, one line each.
	Warnings []string

	// serviceRules are the names of rules that services are declared for.
	serviceRules []value

	// origins tell where each secret is read from: by backend and role, and
	// under the zero key the directory's.
	origins map[credential]origin
}

type credential struct{ backend, role string }

// Listen is the side that clients see.
type Listen struct {
	Address string // host:port
	Startup startup.Options
	// ClientGoneGrace is how long a half-closed client's statements may go on.
	ClientGoneGrace time.Duration
	// ShutdownTimeout is how long sessions may take to reach an idle point.
	ShutdownTimeout time.Duration
	// ShutdownDelay is how long clients are served after SIGTERM, while /readyz says 503.
	ShutdownDelay time.Duration
	// TakeOverGrace is how long sessions have to end by themselves when another process
	// has taken this one's place.
	TakeOverGrace time.Duration
	// MaxMessage bounds a message that is judged, in bytes.
	MaxMessage int
	// Driver moves the bytes of sessions: epoll or goroutine. Loops is how many the
	// former has; 0 for one for each processor.
	Driver string
	Loops  int
}

// Admin is the HTTP server for metrics and health; none where Address is empty.
type Admin struct{ Address string }

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format string // json | text
}

// Load reads and checks a configuration file. The error is an Errors wherever
// the file could be read.
func Load(path string) (*Config, error) {
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	return parse(&loader{file: path, anchors: anchorsOf{}}, data)
}

// loader collects the complaints of one file.
type loader struct {
	file    string
	errs    Errors
	anchors anchorsOf
	// alone leaves the files that the configuration names unread: whoever tests
	// rules need not have the proxy's secrets.
	alone bool
	// unmade lets backends' authorities be missing.
	unmade bool
	// trusted is Config.Trusted.
	trusted map[string]time.Time
}

func (l *loader) complain(at *token.Position, key, message string) {
	e := &Error{File: l.file, Key: key, Message: message}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	l.errs = append(l.errs, e)
}

func parse(l *loader, data []byte) (*Config, error) {
	body, err := l.tree(data)
	if err != nil {
		return nil, err
	}
	root, ok := value{node: body, at: &token.Position{Line: 1, Column: 1}, l: l}.object()
	c := newConfig(l.file, data)
	if ok {
		c.read(root)
	}
	c.Trusted = l.trusted
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return c, nil
}

func newConfig(path string, data []byte) *Config {
	digest := sha256.Sum256(data)
	return &Config{File: path, Digest: hex.EncodeToString(digest[:]), Authorities: map[string]AuthorityFiles{}, Catalogs: map[string]catalog.Options{}, origins: map[credential]origin{}}
}

// tree parses the YAML. The parser is a library that is fed a file: should it
// panic, that is an error of this file.
func (l *loader) tree(data []byte) (body ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, Errors{{File: l.file, Message: fmt.Sprintf("not readable as YAML: %v", p)}}
		}
	}()
	text, err := plain(data)
	if err != nil {
		return nil, Errors{{File: l.file, Line: 1, Column: 1, Message: err.Error()}}
	}
	tokens := lexer.Tokenize(text)
	if at := tooDeep(tokens); at != nil {
		return nil, Errors{{File: l.file, Line: at.Line, Column: at.Column, Message: fmt.Sprintf("is nested more than %d levels deep: a bracket may not be closed", maxNesting)}}
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, Errors{l.syntax(err)}
	}
	docs := make([]*ast.DocumentNode, 0, 1)
	for _, d := range f.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	switch {
	case len(docs) == 0:
		return nil, Errors{{File: l.file, Message: "is empty: pgcustos.example.yaml shows every key"}}
	case len(docs) > 1:
		at := position(docs[1].Body, &token.Position{})
		return nil, Errors{{File: l.file, Line: at.Line, Column: at.Column, Message: "a second YAML document: the file must hold one"}}
	}
	ast.Walk(references{l}, docs[0].Body)
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return docs[0].Body, nil
}

func (l *loader) syntax(err error) *Error {
	const advice = " (look, here and above, for a quote or bracket that is not closed, a missing space behind a colon, and indentation)"
	e := &Error{File: l.file, Message: "not readable as YAML: " + err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Message = "not readable as YAML: " + y.GetMessage() + advice
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	return e
}

// read fills the configuration in. The order matters where one section refers
// to another: rules come after backends.
func (c *Config) read(root *object) {
	c.Node = readNode(root)
	c.readListen(root)
	c.readAdmin(root)
	c.readPeers(root)
	c.readMemory(root)
	c.readLog(root)
	c.readDirectory(root)
	c.readServices(root)
	c.readKerberos(root)
	c.readClientCertificates(root)
	c.readThrottle(root)
	c.readJournal(root)
	c.readControl(root)
	c.readSpool(root)
	c.readParser(root)
	c.readRedact(root)
	c.readSinks(root)
	c.readTracing(root)
	c.readBackends(root)
	c.readRules(root)
	c.tellKinds()
	root.done()
	c.warn()
}

func readNode(root *object) string {
	v, given := root.get("node")
	if given {
		s, ok := v.word()
		if ok && !isLabel(s) {
			v.errorf("%q: %s", s, labelHelp)
		}
		return s
	}
	host, err := os.Hostname()
	if err != nil || !isLabel(host) {
		root.errorf("\"node\" is missing and the host's name cannot stand for it: name this instance")
	}
	return host
}

const labelHelp = "a name is made of 1 to 63 letters, digits and . _ - and begins with a letter or digit"

// isLabel reports whether s can be the name of a thing in records, metrics and
// paths.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
