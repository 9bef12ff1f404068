package relay

import (
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// discreet returns what may be recorded of an error's message. The server quotes
// the client's text in it ("syntax error at or near …"): where something of that
// text, or of what may be bound to it, is kept out of the record, it is kept out here too, and so is all behind
// the first quotation mark, in any of the server's languages (invariant 8).
func discreet(st *statement.Statement, message string) string {
	if st.Fingerprint != 0 && !st.Hides && !statement.TakesSecrets(st) {
		return message // the whole text is on record
	}
	return unquoted(message)
}

// unquoted is a message up to the first thing that could be a quotation mark.
func unquoted(message string) string {
	i := strings.IndexFunc(message, func(r rune) bool { return r == '"' || r == '\'' || r == '`' || r > '~' })
	if i < 0 {
		return message
	}
	return message[:i] + "?"
}
