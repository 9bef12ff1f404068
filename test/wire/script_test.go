package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// script is one text file: what a client sends, and where it waits.
type script struct {
	name string
	raw  string // of a raw one, the file that it stands in
	// oneOfSeveral stands in a file with others.
	oneOfSeveral bool

	header header
	steps  []step
}

// header is what stands before a script's steps.
type header struct {
	setup, reset []string          // SQL, before the first play and before each
	mask         map[string]bool   // what differs between any two runs
	startup      map[string]string // parameters of the connection
	greeting     bool              // the parameters that log-in reports are compared too
	role         string            // who connects to the orders database; only the shape is compared
	standIn      [][2]string       // text that goes directly in the place of what is denied
	unanswered   bool              // it ends with work that is never answered
	timed        bool              // it says when to write: it is not played in one write
}

// step is one line of a script.
type step struct {
	line  int
	kind  stepKind
	data  []byte  // emit: the bytes of a message
	build builder // emit, in a raw script: what makes them
	text  string  // SQL, the type of a message, a role
	n     int
}

type stepKind uint8

const (
	emit       stepKind = iota // put a message into the queue
	send                       // write the queue
	until                      // wait for the n-th message of a type
	untilClose                 // wait for the end
	run                        // execute SQL on the second connection
	await                      // wait until SQL on the second connection says true
	cancel                     // send a CancelRequest
	leave                      // close the connection's sending side
	oneByte                    // read the answer to a request for encryption
	handshake                  // begin TLS
)

// masks are the names of what a script may leave out of the comparison.
var masks = map[string]bool{
	"table-oid": true, // of RowDescription
	"numbers":   true, // in the texts of errors and notices
	"rows":      true, // what stands in DataRow
	// In a raw script:
	"message":    true, // the text of an error
	"parameters": true, // those that log-in reports
}

// readScripts reads the scripts of a directory: each file is one, or one for each
// line "case NAME" in it.
func readScripts(tb testing.TB, dir string) []*script {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.wire"))
	if err != nil {
		tb.Fatal(err)
	}
	var scripts []*script
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		some, err := parseScripts(strings.TrimSuffix(filepath.Base(file), ".wire"), string(text), dir == "raw")
		if err != nil {
			tb.Fatal(err)
		}
		scripts = append(scripts, some...)
	}
	return scripts
}

func parseScripts(file, text string, raw bool) ([]*script, error) {
	cases := strings.Split("\n"+text, "\ncase ")
	if len(cases) == 1 {
		s, err := parseScript(file, text)
		return []*script{s}, err
	}
	var scripts []*script
	for _, text := range cases[1:] {
		name, text, _ := strings.Cut(text, "\n")
		p := &parser{script: newScript(strings.TrimSpace(name))}
		p.script.oneOfSeveral = true
		if raw {
			p.script.raw = file
		}
		s, err := p.parse(text)
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, s)
	}
	return scripts, nil
}

// parser reads a script line by line.
type parser struct {
	script *script
	second bool // inside a second-connection block
	repeat []int
	starts []int
}

func newScript(name string) *script {
	return &script{name: name, header: header{mask: map[string]bool{}, startup: map[string]string{}}}
}

func parseScript(name, text string) (*script, error) {
	return (&parser{script: newScript(name)}).parse(text)
}

func (p *parser) parse(text string) (*script, error) {
	name := p.script.name
	for i, line := range strings.Split(text, "\n") {
		words, err := split(line)
		if err == nil && len(words) > 0 {
			err = p.line(i+1, words)
		}
		if err != nil {
			return nil, fmt.Errorf("%s.wire:%d: %s: %w", name, i+1, strings.TrimSpace(line), err)
		}
	}
	if p.second || len(p.repeat) > 0 {
		return nil, fmt.Errorf("%s.wire: a block has no end", name)
	}
	if len(p.script.steps) == 0 {
		return nil, fmt.Errorf("%s.wire: there are no steps", name)
	}
	return p.script, nil
}

func (p *parser) line(n int, words []word) error {
	a := &args{words: words[1:]}
	verb := words[0].text
	var err error
	switch {
	case words[0].quoted || words[0].key != "":
		err = fmt.Errorf("a line starts with a directive")
	case p.second:
		err = p.secondLine(n, verb, a)
	case headers[verb] != nil:
		if len(p.script.steps) > 0 {
			return fmt.Errorf("%s stands before the first step", verb)
		}
		err = headers[verb](&p.script.header, a)
	case p.script.raw != "" && rawMessages[verb] != nil:
		var build builder
		build, err = rawMessages[verb](a)
		p.add(step{line: n, kind: emit, build: build})
	case messages[verb] != nil:
		var data []byte
		data, err = messages[verb](a)
		p.add(step{line: n, kind: emit, data: data})
	default:
		err = p.control(n, verb, a)
	}
	if err != nil {
		return err
	}
	return a.end()
}

func (p *parser) add(s step) { p.script.steps = append(p.script.steps, s) }

// control reads a line that is neither a message nor of the header.
func (p *parser) control(n int, verb string, a *args) error {
	switch verb {
	case "Send":
		p.add(step{line: n, kind: send})
	case "Until":
		name := a.word()
		typ, ok := backendTypes[name]
		if !ok {
			return fmt.Errorf("no message of the backend is called %q", name)
		}
		p.add(step{line: n, kind: until, text: string(typ), n: a.optional(1)})
	case "UntilClose":
		p.add(step{line: n, kind: untilClose})
	case "Byte":
		p.add(step{line: n, kind: oneByte})
	case "TLS":
		alpn, _ := a.key("alpn")
		p.add(step{line: n, kind: handshake, text: alpn})
	case "CloseWrite":
		p.script.header.timed = true
		p.add(step{line: n, kind: leave})
	case "Cancel":
		p.script.header.timed = true
		how := a.word()
		if how != "clear" && how != "tls" && how != "wrong" {
			return fmt.Errorf("there is no way %q to cancel", how)
		}
		p.add(step{line: n, kind: cancel, text: how})
	case "second-connection":
		p.second, p.script.header.timed = true, true
	case "repeat":
		p.repeat, p.starts = append(p.repeat, a.number()), append(p.starts, len(p.script.steps))
	case "end":
		return p.endRepeat()
	default:
		return fmt.Errorf("there is no directive %q", verb)
	}
	return nil
}

func (p *parser) endRepeat() error {
	last := len(p.repeat) - 1
	if last < 0 {
		return fmt.Errorf("there is no block to end")
	}
	body := append([]step(nil), p.script.steps[p.starts[last]:]...)
	for range p.repeat[last] - 1 {
		p.script.steps = append(p.script.steps, body...)
	}
	p.repeat, p.starts = p.repeat[:last], p.starts[:last]
	return nil
}

// secondLine reads a line of a second-connection block. ${pid} stands for the
// first connection's backend.
func (p *parser) secondLine(n int, verb string, a *args) error {
	switch verb {
	case "Run":
		p.add(step{line: n, kind: run, text: a.str()})
	case "Await":
		p.add(step{line: n, kind: await, text: a.str()})
	case "end":
		p.second = false
	default:
		return fmt.Errorf("there is no directive %q in a second-connection block", verb)
	}
	return nil
}

// headers read the lines before the first step.
var headers = map[string]func(*header, *args) error{
	"setup": func(h *header, a *args) error { h.setup = append(h.setup, a.str()); return nil },
	"reset": func(h *header, a *args) error { h.reset = append(h.reset, a.str()); return nil },
	"mask": func(h *header, a *args) error {
		name := a.word()
		h.mask[name] = true
		if !masks[name] {
			return fmt.Errorf("there is no mask %q", name)
		}
		return nil
	},
	"startup":  func(h *header, a *args) error { h.startup[a.word()] = a.str(); return nil },
	"greeting": func(h *header, _ *args) error { h.greeting = true; return nil },
	"role": func(h *header, a *args) error {
		h.role = a.word()
		if logins[h.role].proxied.user == "" {
			return fmt.Errorf("nobody is called %q", h.role)
		}
		return nil
	},
	"stand-in": func(h *header, a *args) error {
		h.standIn = append(h.standIn, [2]string{a.str(), a.str()})
		return nil
	},
	"timed":      func(h *header, _ *args) error { h.timed = true; return nil },
	"unanswered": func(h *header, _ *args) error { h.unanswered = true; return nil },
}

// word is one word of a line: bare, quoted, or key=value.
type word struct {
	key    string
	text   string
	quoted bool
}

// split cuts a line into words. Quoted ones are Go's, and may be repeated:
// "abc"*1000. A # begins a comment.
func split(line string) ([]word, error) {
	var words []word
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		var w word
		if i := strings.IndexAny(line, "= \t\"`"); i > 0 && line[i] == '=' {
			w.key, line = line[:i], line[i+1:]
		}
		var err error
		if w.text, w.quoted, line, err = value(line); err != nil {
			return nil, err
		}
		words = append(words, w)
	}
}

// value cuts a value off the front of a line: a bare word, a string, or a list of
// strings and NULLs, which keeps its form, for it is read again.
func value(line string) (text string, quoted bool, rest string, err error) {
	end, first := 0, 0 // first is where the first string ends
	for end < len(line) && line[end] != ' ' && line[end] != '\t' {
		if line[end] != '"' && line[end] != '`' {
			end++
			continue
		}
		s, err := strconv.QuotedPrefix(line[end:])
		if err != nil {
			return "", false, "", fmt.Errorf("a string has no end: %s", line[end:])
		}
		if end == 0 {
			first = len(s)
		}
		end += len(s)
	}
	text, rest = line[:end], line[end:]
	if first > 0 && (first == end || line[first] == '*') {
		text, err = unquote(text)
		return text, true, rest, err
	}
	return text, false, rest, nil
}

func unquote(text string) (string, error) {
	s, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", fmt.Errorf("no string: %s", text)
	}
	times := 1
	if more := text[len(s):]; more != "" {
		if times, err = strconv.Atoi(strings.TrimPrefix(more, "*")); err != nil || more[0] != '*' {
			return "", fmt.Errorf("behind a string there may stand *N, not %s", more)
		}
	}
	s, err = strconv.Unquote(s)
	return strings.Repeat(s, times), err
}
