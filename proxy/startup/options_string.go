package startup

import (
	"fmt"
	"strings"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// parseOptions reads the options parameter as a backend reads its command line
// (process_postgres_switches in postgres.c): "-c name=value", "-cname=value" and
// "--name=value". Other switches are refused.
func parseOptions(s string) ([]Setting, error) {
	words := splitOptions(s)
	var settings []Setting
	for i := 0; i < len(words); i++ {
		word, assignment := words[i], ""
		switch {
		case word == "-c" && i+1 < len(words):
			i++
			assignment = words[i]
		case strings.HasPrefix(word, "-c") && len(word) > 2:
			assignment = word[2:]
		case strings.HasPrefix(word, "--") && len(word) > 2:
			assignment = word[2:]
		default:
			return nil, fatal("42601", fmt.Sprintf("invalid command-line argument for server process: %s", printable(word)))
		}
		name, value, ok := strings.Cut(assignment, "=")
		if !ok || name == "" {
			return nil, fatal("42601", fmt.Sprintf("%s requires a value", printable(assignment)))
		}
		// ParseLongOption in guc.c reads dashes as underscores.
		settings = append(settings, Setting{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
	return settings, nil
}

// splitOptions is pg_split_opts of postinit.c: words between white space, where
// a backslash takes the next character as it is.
func splitOptions(s string) []string {
	var words []string
	var word strings.Builder
	inWord, escaped := false, false
	for i := range len(s) {
		c := s[i]
		switch {
		case escaped:
			word.WriteByte(c)
			escaped = false
		case c == '\\':
			inWord, escaped = true, true
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// printable bounds and quotes what a stranger sent, for a message back to it.
func printable(s string) string {
	const most = 64
	return fmt.Sprintf("%.*q", most, s)
}

var _ error = (*pgwire.Error)(nil)
