package startup

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// The versions of the protocol: 3.0, and 3.2 with longer cancel keys. There is
// no 3.1.
const (
	majorVersion = 3
	minorNewest  = 2
	minorUnused  = 1
)

// Request is a StartupMessage.
type Request struct {
	Minor uint16 // the minor version that is spoken: 0 or 2
	User  string // as the client sent it; of several the last, as in PostgreSQL
	// Database is the one asked for, the user's name where none is: cut to 63
	// bytes, as PostgreSQL does before it looks it up.
	Database string
	// Settings are the run-time parameters that the client asks for, those in
	// options included, in the order in which the server would set them.
	Settings []Setting
	// InOptions is how many of Settings stood in options: the first ones.
	InOptions int
	// Replication is what kind of replication connection is asked for. A physical
	// one has no database; rules know it by pg_hba.conf's word, "replication".
	Replication Replication
	// Role, Reason and Auth are the proxy's own parameters: pgcustos.role,
	// pgcustos.reason, pgcustos.auth.
	Role, Reason, Auth string
	// Refusal is what the run-time parameters are refused with, nil where they are
	// not: once it is known who asks, for PostgreSQL too reads them after that.
	Refusal *pgwire.Error

	// negotiate is the NegotiateProtocolVersion message to answer with, nil for
	// none.
	negotiate []byte
}

// Setting is a run-time parameter with its value.
type Setting struct{ Name, Value string }

// nameSize is NAMEDATALEN-1.
const nameSize = 63

// Negotiation returns the NegotiateProtocolVersion message that goes before the
// authentication request; nil where the client gets what it asked for.
func (r *Request) Negotiation() []byte { return r.negotiate }

// KeyLength returns the length of the cancel key's secret, in bytes.
func (r *Request) KeyLength() int {
	if r.Minor >= minorNewest {
		return 32
	}
	return 4
}

// readRequest reads a StartupMessage (ProcessStartupPacket in backend_startup.c).
func readRequest(code uint32, body []byte) (*Request, error) {
	if code>>16 != majorVersion {
		e := fatal(pgwire.FeatureNotSupported, fmt.Sprintf(
			"unsupported frontend protocol %d.%d: server supports 3.0 to 3.%d", code>>16, code&0xffff, minorNewest))
		e.Legacy = code>>16 == 1 || code>>16 == 2
		return nil, e
	}
	r := &Request{}
	var unknown []string
	var settings []Setting
	options, replication := "", "off"
	for {
		name, rest, ok := pgwire.CString(body)
		if ok && len(name) == 0 {
			if len(rest) > 0 {
				ok = false
			} else {
				break
			}
		}
		var value []byte
		if ok {
			value, rest, ok = pgwire.CString(rest)
		}
		if !ok {
			return nil, fatal(pgwire.ProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
		}
		body = rest
		switch name, value := string(name), string(value); {
		case strings.HasPrefix(name, "_pq_."):
			unknown = append(unknown, name)
		case name == "user":
			r.User = value
		case name == "database":
			r.Database = value
		case name == "replication":
			replication = value
		case name == "options":
			options = value
		default:
			settings = append(settings, Setting{name, value})
		}
	}
	r.version(uint16(code), unknown)
	if err := r.replicate(replication); err != nil {
		return nil, err
	}
	r.Refusal = r.settings(options, settings)
	return r, r.complete()
}

// version settles which minor version is spoken.
func (r *Request) version(asked uint16, unknown []string) {
	r.Minor = min(asked, minorNewest)
	if r.Minor == minorUnused {
		r.Minor = 0
	}
	if r.Minor == asked && len(unknown) == 0 {
		return
	}
	body := binary.BigEndian.AppendUint32(nil, majorVersion<<16|uint32(r.Minor))
	body = binary.BigEndian.AppendUint32(body, uint32(len(unknown)))
	for _, name := range unknown {
		body = append(append(body, name...), 0)
	}
	r.negotiate = pgwire.AppendMessage(nil, pgwire.NegotiateVersion, body)
}

// settings takes the run-time parameters: those in options come first, wherever
// they stand, and the others have the last word (process_startup_options in
// postinit.c).
func (r *Request) settings(options string, plain []Setting) *pgwire.Error {
	inOptions, err := parseOptions(options)
	if err != nil {
		return err
	}
	for _, s := range inOptions {
		if err := r.option(s); err != nil {
			return err
		}
	}
	r.InOptions = len(r.Settings)
	for _, s := range plain {
		if err := r.setting(s.Name, s.Value); err != nil {
			return err
		}
	}
	return nil
}

// option takes a run-time parameter out of options. The words of a StartupMessage
// are none: the backend, where settings stand in the StartupMessage, would take
// one for its own.
func (r *Request) option(s Setting) *pgwire.Error {
	switch s.Name {
	case "user", "database", "options", "replication":
		return unrecognized(s.Name)
	}
	if strings.HasPrefix(s.Name, "_pq_.") {
		return unrecognized(s.Name)
	}
	return r.setting(s.Name, s.Value)
}

func unrecognized(name string) *pgwire.Error {
	return fatal("42704", fmt.Sprintf("unrecognized configuration parameter \"%s\"", bounded(name)))
}

// setting takes a run-time parameter: the proxy's own ones are kept here, those
// that would change who the session is are refused, in every spelling.
func (r *Request) setting(name, value string) *pgwire.Error {
	switch lower := strings.ToLower(name); {
	case lower == "pgcustos.role":
		r.Role = value
	case lower == "pgcustos.reason":
		r.Reason = value
	case lower == "pgcustos.auth":
		r.Auth = value
	case strings.HasPrefix(lower, "pgcustos."):
		return unrecognized(name)
	case lower == "role", lower == "session_authorization":
		e := fatal(pgwire.InsufficientPrivilege, fmt.Sprintf("permission denied to set parameter %q at start-up", lower))
		e.Hint = "Ask for a role of yours with options='-c pgcustos.role=NAME'."
		return e
	default:
		r.Settings = append(r.Settings, Setting{Name: name, Value: value})
	}
	return nil
}

func (r *Request) complete() error {
	if r.User == "" {
		return fatal(pgwire.InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	if r.Database == "" {
		r.Database = r.User
	}
	r.Database = r.Database[:min(len(r.Database), nameSize)]
	if r.Replication == Physical {
		r.Database = "replication"
	}
	return nil
}

// Replication is a kind of replication connection, by its value of the parameter.
type Replication string

// The kinds.
const (
	NoReplication Replication = ""
	Logical       Replication = "database"
	Physical      Replication = "true"
)

// replicate reads the replication parameter: "database", or a boolean by any of its
// unambiguous beginnings (ProcessStartupPacket, parse_bool).
func (r *Request) replicate(value string) error {
	lower := strings.ToLower(value)
	switch {
	case value == string(Logical):
		r.Replication = Logical
	case lower == "of", lower == "off", lower == "0", begins("false", lower), begins("no", lower):
	case lower == "on", lower == "1", begins("true", lower), begins("yes", lower):
		r.Replication = Physical
	default:
		e := fatal("22023", fmt.Sprintf("invalid value for parameter \"replication\": \"%s\"", bounded(value)))
		e.Hint = `Valid values are: "false", 0, "true", 1, "database".`
		return e
	}
	return nil
}

// begins reports whether a word, of one letter or more, is the beginning of another.
func begins(word, beginning string) bool {
	return beginning != "" && strings.HasPrefix(word, beginning)
}

// Get returns the last value that the client asks for of a parameter.
func (r *Request) Get(name string) string {
	value := ""
	for _, s := range r.Settings {
		if strings.EqualFold(s.Name, name) {
			value = s.Value
		}
	}
	return value
}

func fatal(code, message string) *pgwire.Error {
	return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: code, Message: message}
}
