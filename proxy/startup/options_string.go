package startup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// parseOptions reads the options parameter as a backend reads its command line
// (process_postgres_switches in postgres.c): "-c name=value", "-cname=value",
// "--name=value", and the switches that stand for settings.
func parseOptions(s string) ([]Setting, *pgwire.Error) {
	g := getopt{words: splitOptions(s), done: "postgres"}
	var settings []Setting
	for !g.failed && g.next() {
		if g.option == 'c' || g.option == '-' {
			setting, e := assignment(g.option, g.argument)
			if e != nil {
				return nil, e
			}
			settings = append(settings, setting)
			continue
		}
		some, ok := switchSettings(g.option, g.argument)
		g.failed = g.failed || !ok
		settings = append(settings, some...)
	}
	if word, ok := g.complaint(); ok {
		e := fatal("42601", "invalid command-line argument for server process: "+bounded(word))
		e.Hint = "Settings are -c name=value and --name=value."
		return nil, e
	}
	return settings, nil
}

// assignment is ParseLongOption of guc.c, which reads dashes as underscores.
func assignment(option byte, s string) (Setting, *pgwire.Error) {
	name, value, ok := strings.Cut(s, "=")
	name = strings.ReplaceAll(name, "-", "_")
	switch {
	case !ok && option == '-':
		return Setting{}, fatal("42601", fmt.Sprintf("--%s requires a value", bounded(s)))
	case !ok:
		return Setting{}, fatal("42601", fmt.Sprintf("-c %s requires a value", bounded(s)))
	case name == "":
		return Setting{}, unrecognized(name)
	}
	return Setting{Name: name, Value: value}, nil
}

// switches are the others: of each whether it has an argument, and the setting that
// it stands for. Those without one do nothing in a session.
var switches = map[byte]struct {
	argument    bool
	name, value string // the value is the argument where there is one
}{
	'B': {true, "shared_buffers", ""},
	'b': {},
	'C': {argument: true},
	'c': {argument: true},
	'D': {argument: true},
	'd': {argument: true},
	'E': {},
	'e': {false, "datestyle", "euro"},
	'F': {false, "fsync", "false"},
	'f': {argument: true},
	'h': {true, "listen_addresses", ""},
	'i': {false, "listen_addresses", "*"},
	'j': {},
	'k': {true, "unix_socket_directories", ""},
	'l': {false, "ssl", "true"},
	'N': {true, "max_connections", ""},
	'n': {},
	'O': {false, "allow_system_table_mods", "true"},
	'P': {false, "ignore_system_indexes", "true"},
	'p': {true, "port", ""},
	'r': {argument: true},
	'S': {true, "work_mem", ""},
	's': {false, "log_statement_stats", "true"},
	'T': {},
	't': {argument: true},
	'v': {argument: true},
	'W': {true, "post_auth_delay", ""},
	'-': {argument: true},
}

// plans are the arguments of -f, the kinds of plan that it disables
// (set_plan_disabling_options).
var plans = map[byte]string{
	's': "enable_seqscan", 'i': "enable_indexscan", 'o': "enable_indexonlyscan", 'b': "enable_bitmapscan",
	't': "enable_tidscan", 'n': "enable_nestloop", 'm': "enable_mergejoin", 'h': "enable_hashjoin",
}

// statistics are the beginnings of the arguments of -t (get_stats_option_name).
var statistics = map[string]string{"pa": "log_parser_stats", "pl": "log_planner_stats", "e": "log_executor_stats"}

// switchSettings returns what a switch stands for; not ok where its argument is none.
func switchSettings(option byte, argument string) (settings []Setting, ok bool) {
	s := switches[option]
	switch {
	case option == 'd':
		return debugSettings(argument), true
	case option == 'f':
		if argument == "" || plans[argument[0]] == "" {
			return nil, false
		}
		return []Setting{{plans[argument[0]], "false"}}, true
	case option == 't':
		for beginning, name := range statistics {
			if strings.HasPrefix(argument, beginning) {
				return []Setting{{name, "true"}}, true
			}
		}
		return nil, false
	case s.name == "":
		return nil, true
	case s.argument:
		return []Setting{{s.name, argument}}, true
	default:
		return []Setting{{s.name, s.value}}, true
	}
}

// debugSettings is what of set_debug_options only those may do who may do the rest
// of it by name.
func debugSettings(argument string) []Setting {
	digits := strings.TrimLeft(argument, "0123456789")
	level, _ := strconv.Atoi(argument[:len(argument)-len(digits)])
	if level == 0 {
		return []Setting{{"log_min_messages", "notice"}}
	}
	return []Setting{{"log_min_messages", "debug" + strconv.Itoa(level)}}
}

// getopt takes words apart as getopt of glibc does, with the switches.
type getopt struct {
	words    []string
	word     string // that is looked at
	cluster  string // what is left of it
	option   byte
	argument string
	stray    []string // words that are no switches
	done     string   // the last word that nothing is left of
	failed   bool
}

// next finds the next switch, and its argument if it has one.
func (g *getopt) next() bool {
	for g.cluster == "" {
		if len(g.words) == 0 {
			return false
		}
		word := g.words[0]
		g.words = g.words[1:]
		switch {
		case word == "--":
			g.stray, g.words = append(g.stray, g.words...), nil
		case len(word) < 2 || word[0] != '-':
			g.stray = append(g.stray, word)
		default:
			g.word, g.cluster = word, word[1:]
		}
	}
	g.option, g.cluster, g.argument = g.cluster[0], g.cluster[1:], ""
	s, known := switches[g.option]
	if s.argument {
		g.argument, g.cluster = g.cluster, ""
	}
	if g.cluster == "" {
		g.done = g.word
	}
	switch {
	case !known:
		g.failed = true
	case !s.argument || g.argument != "":
	case len(g.words) > 0:
		g.argument, g.done, g.words = g.words[0], g.words[0], g.words[1:]
	default:
		g.failed = true
	}
	return !g.failed
}

// complaint returns the word that the server complains about, if there is one.
func (g *getopt) complaint() (word string, ok bool) {
	switch {
	case g.failed:
		return g.done, true
	case len(g.stray) > 0:
		return g.stray[0], true
	default:
		return "", false
	}
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

// OptionsWord is one word of an options parameter that a backend reads as s.
func OptionsWord(s string) string {
	var word strings.Builder
	for i := range len(s) {
		if strings.IndexByte("\\ \t\n\v\f\r", s[i]) >= 0 {
			word.WriteByte('\\')
		}
		word.WriteByte(s[i])
	}
	return word.String()
}

// bounded is what a stranger sent, for a message back to it.
func bounded(s string) string {
	const most = 64
	return s[:min(most, len(s))]
}
