package statement

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Pattern is what an operator keeps out of the record: whatever of a text matches,
// and what stands in its place.
type Pattern struct{ Name, Expression, Replace string }

// The bounds on patterns. Texts are searched for all of them at once, in a time
// that grows with the text and with the size of the patterns together.
const (
	MaxPatterns   = 32
	maxExpression = 1 << 10
	maxProgram    = 4 << 10 // instructions
)

// Patterns are an operator's patterns, compiled. A nil one finds nothing.
type Patterns struct {
	list []Pattern
	all  *regexp.Regexp // each pattern a group
}

// tree parses the pattern by itself, without groups, and tells its size in
// instructions.
func (p Pattern) tree() (tree *syntax.Regexp, size int, err error) {
	if len(p.Expression) > maxExpression {
		return nil, 0, fmt.Errorf("has %d bytes, and may have %d", len(p.Expression), maxExpression)
	}
	if tree, err = syntax.Parse(p.Expression, syntax.Perl); err != nil {
		return nil, 0, err
	}
	if shortest(tree) == 0 {
		return nil, 0, errors.New("can match no characters at all, and so everywhere")
	}
	ungroup(tree)
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, err
	}
	return tree, len(program.Inst), nil
}

// Validate reports what is wrong with a pattern by itself.
func (p Pattern) Validate() error {
	_, size, err := p.tree()
	if err == nil && size > maxProgram {
		return fmt.Errorf("is too large: %d steps, of which all patterns together may have %d", size, maxProgram)
	}
	return err
}

// NewPatterns compiles patterns; nil for none.
func NewPatterns(list []Pattern) (*Patterns, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > MaxPatterns {
		return nil, fmt.Errorf("%d patterns: there may be %d", len(list), MaxPatterns)
	}
	parts, steps := make([]string, len(list)), 0
	for i, one := range list {
		tree, size, err := one.tree()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		parts[i] = "(" + tree.String() + ")"
		steps += size
	}
	if steps > maxProgram {
		return nil, fmt.Errorf("the patterns together are too large: %d steps, of which there may be %d", steps, maxProgram)
	}
	all, err := regexp.Compile(strings.Join(parts, "|"))
	if err != nil {
		return nil, err
	}
	return &Patterns{list, all}, nil
}

// ungroup makes the groups of an expression ones that are not told apart.
func ungroup(re *syntax.Regexp) {
	if re.Op == syntax.OpCapture {
		re.Op, re.Name, re.Cap = syntax.OpConcat, "", 0
	}
	for _, sub := range re.Sub {
		ungroup(sub)
	}
}

// shortest is the length of the shortest match, at least.
func shortest(re *syntax.Regexp) int {
	switch re.Op { //nolint:exhaustive // the others match no characters
	case syntax.OpNoMatch, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * shortest(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += shortest(sub)
		}
		return n
	case syntax.OpAlternate:
		n := shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, shortest(sub))
		}
		return n
	}
	return 0
}

// String names the patterns, and what each does.
func (p *Patterns) String() string {
	if p == nil {
		return ""
	}
	out := make([]string, len(p.list))
	for i, one := range p.list {
		out[i] = fmt.Sprintf("%s: %q by %q", one.Name, one.Expression, one.Replace)
	}
	return strings.Join(out, ", ")
}

// Match tells if there is anything to replace.
func (p *Patterns) Match(text []byte) bool { return p != nil && p.all.Match(text) }

// Redact returns the text with what matches replaced, and its form: Verbatim where
// nothing matches. At each place the first of the patterns counts. A text with more than
// maxMatches is masked instead. It allocates only where something is replaced.
func (p *Patterns) Redact(text string) (string, Form) {
	if p == nil || !p.all.MatchString(text) {
		return text, Verbatim
	}
	var out strings.Builder
	w := patternWriter{to: &out, patterns: p, held: []byte(text)}
	_ = w.Close() // a Builder takes everything
	if w.spent {
		return string(AppendMasked(nil, text)), Masked
	}
	return out.String(), Redacted
}

// replacement is that of the pattern which matched.
func (p *Patterns) replacement(at []int) string {
	for i := range p.list {
		if at[2*(i+1)] >= 0 {
			return p.list[i].Replace
		}
	}
	return ""
}

const (
	// PatternReach is the longest match, in bytes, that is sure to be found in a text
	// beyond searchWindow.
	PatternReach = 4 << 10
	// searchWindow and maxMatches bound what a text may cost: there are patterns for
	// which each match is found only when all that follows has been looked at.
	searchWindow = 16 << 10
	maxMatches   = 1000
)

// patternWriter redacts a text that comes in pieces.
type patternWriter struct {
	to       io.Writer
	patterns *Patterns
	held     []byte
	matches  int
	spent    bool // there were too many
}

// Writer redacts what is written to it, and passes it on; Close passes on the last
// of it. Of what follows too many matches, there is no more than a question mark.
func (p *Patterns) Writer(to io.Writer) io.WriteCloser { return &patternWriter{to: to, patterns: p} }

// Write implements io.Writer.
func (w *patternWriter) Write(b []byte) (int, error) {
	switch {
	case w.patterns == nil:
		return w.to.Write(b)
	case w.spent:
		return len(b), nil
	}
	w.held = append(w.held, b...)
	if len(w.held) < searchWindow {
		return len(b), nil
	}
	return len(b), w.pass(false)
}

// Close implements io.Closer.
func (w *patternWriter) Close() error { return w.pass(true) }

// pass passes on what no match can reach that is not known yet; at the end all.
func (w *patternWriter) pass(end bool) error {
	kept := 0
	for !w.spent && kept < len(w.held) {
		window := w.held[kept:min(len(w.held), kept+searchWindow)]
		last := end && kept+len(window) == len(w.held)
		sure := len(window)
		if !last {
			sure = certain(window)
		}
		at := w.patterns.all.FindSubmatchIndex(window)
		if at == nil || at[0] >= sure {
			if _, err := w.to.Write(window[:sure]); err != nil {
				return err
			}
			if kept += sure; !end && len(w.held)-kept < searchWindow {
				break
			}
			continue
		}
		if err := w.replace(window, at); err != nil {
			return err
		}
		kept += at[1]
	}
	w.held = append(w.held[:0], w.held[kept:]...)
	return nil
}

// replace passes on what stands before a match, and what stands for it.
func (w *patternWriter) replace(window []byte, at []int) error {
	mark := w.patterns.replacement(at)
	if w.matches++; w.matches > maxMatches {
		w.spent, mark = true, "?"
	}
	if _, err := w.to.Write(window[:at[0]]); err != nil {
		return err
	}
	_, err := io.WriteString(w.to, mark)
	return err
}

// certain is up to where a match would be found whole that begins there. It is the
// beginning of a character.
func certain(window []byte) int {
	n := max(0, len(window)-PatternReach)
	for n < len(window) && !utf8.RuneStart(window[n]) {
		n++
	}
	return n
}
