package reading

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
)

// Notice is what a command says of itself, as JSON on one line.
type Notice struct {
	Command string `json:"command"` // audit query
	Filter  string `json:"filter"`  // its flags and arguments
	// Signing is the certificate that the command is about to sign; empty for one
	// that reads.
	Signing string `json:"signing,omitempty"`
}

// Bounds in bytes.
const (
	maxNotice  = 32 << 10 // on the wire: JSON may need six for one
	maxCommand = 64
	maxFilter  = 4 << 10
)

// How a reading came to be on record.
const (
	causeServed = "served" // told to the process that serves
	causeAlone  = "alone"  // written by the command itself
)

// event makes the event of a reading, or of a signature.
func (n *Notice) event(by *audit.Reader, cause string) *audit.Event {
	if n.Signing != "" {
		return &audit.Event{
			Type: audit.Issued, Decision: audit.Allowed, Cause: cause, Command: clean(n.Command, maxCommand), Detail: clean(n.Signing, maxFilter), Reader: by,
		}
	}
	what := audit.Reading
	switch n.Command {
	case "audit hold":
		what = audit.Held
	case "audit release":
		what = audit.Released
	}
	return &audit.Event{
		Type: what, Decision: audit.Allowed, Cause: cause, Command: clean(n.Command, maxCommand), Filter: clean(n.Filter, maxFilter), Reader: by,
	}
}

// clean bounds a text, and replaces what could act in a terminal or a log.
func clean(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s[:min(len(s), most)])
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
