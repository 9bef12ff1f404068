package pgparse

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// reading serialises Read: pg_query changes the process's standard error while
// it reads PL/pgSQL, and a worker has one text at a time anyway.
var reading sync.Mutex

// Read judges a text. What it cannot read is Unknown.
func Read(text string) *statement.Judgement {
	reading.Lock()
	defer reading.Unlock()
	if strings.IndexByte(text, 0) >= 0 {
		return unknown(text, statement.CauseProtocol)
	}
	if !utf8.ValidString(text) {
		return unknown(text, statement.CauseEncoding)
	}
	if splits([]byte(text)) || strangelyQuoted([]byte(text), 0) {
		return unknown(text, statement.CauseStrings)
	}
	_, j, err := follow(text)
	switch {
	case err == nil:
		return j
	case err.Error() == "out of memory":
		// PostgreSQL's memory context in this worker: the text may be right.
		return unknown(text, statement.CauseSize)
	default:
		return unknown(text, statement.CauseSyntax)
	}
}

// follow judges a text that the parser takes, and returns how.
func follow(text string) (*reader, *statement.Judgement, error) {
	r := &reader{text: text, raw: []byte(text)}
	tree, err := pg.Parse(text)
	if err != nil {
		return r, nil, err
	}
	j := &statement.Judgement{}
	for i := range tree.Stmts {
		s := r.statement(tree.Stmts[i])
		j.Class |= s.Class
		j.Tags |= s.Tags
		j.Statements = append(j.Statements, s)
	}
	r.finish(j, tree.Stmts)
	j.Sensitive = r.sensitive || statement.Sensitive(r.raw)
	j.Maskable = r.maskable(j, tree.Stmts)
	return r, j, nil
}

// splits tells if a literal goes on behind a comment: 'a' -- b, end of line,
// 'c'. PostgreSQL joins such segments, pg_query takes them for two literals, and
// what one of them then says is not what is executed.
func splits(raw []byte) bool {
	if !bytes.Contains(raw, []byte("--")) {
		return false
	}
	for l := sqllex.New(raw); ; {
		t := l.Next()
		if t.Kind == sqllex.End || t.Commented {
			return t.Commented
		}
	}
}

// maxQuoting bounds how deep literals within literals are looked into.
const maxQuoting = 8

// strangelyQuoted tells if the tag of a dollar-quoted literal, or of one within, is not
// ASCII. In a database of another encoding two tags that differ here may be the same one:
// U+00A6 and U+FFE4 in EUC_JP.
func strangelyQuoted(raw []byte, depth int) bool {
	if bytes.IndexByte(raw, '$') < 0 {
		return false
	}
	if depth > maxQuoting {
		return true
	}
	for l := sqllex.New(raw); ; {
		t := l.Next()
		switch t.Kind {
		case sqllex.End:
			return false
		case sqllex.Dollar:
			tag := raw[t.Start : t.Start+1+bytes.IndexByte(raw[t.Start+1:], '$')]
			if bytes.ContainsFunc(tag, func(r rune) bool { return r >= utf8.RuneSelf }) || strangelyQuoted(t.Content(raw), depth+1) {
				return true
			}
		default:
		}
	}
}

func unknown(text string, cause statement.Cause) *statement.Judgement {
	return statement.UnknownText([]byte(text), cause)
}

// reader holds what concerns one text: the client's, or that of a body in it.
type reader struct {
	text    string
	raw     []byte // the same
	depth   int    // bodies around this text
	secrets []span // literals to redact
	literal bool   // the judgement rests on what a literal says
	lost    bool   // a secret that could not be located: mask everything

	sensitive bool // the text of a literal is, by itself (Judgement.Sensitive)

	variables map[string]bool // of the PL/pgSQL that the text stands in
}

// maxDepth bounds bodies within bodies; what is deeper is dynamic SQL.
const maxDepth = 6

// statement judges one statement of the text.
func (r *reader) statement(raw *pg.RawStmt) statement.Statement {
	w := newWalker(r, bounds(r.text, raw))
	m := message(raw.Stmt)
	if c, ok := lookup(m); ok {
		w.st.Command = c.tag
	} else {
		w.st.Class |= statement.Unknown
	}
	w.givenIn(m)
	w.walk(m)
	w.effect(m)
	return *w.st
}

// finish sets each statement's text, redacted, and its fingerprint. Together
// the texts hold every byte of the client's but the semicolons between them.
func (r *reader) finish(j *statement.Judgement, raws []*pg.RawStmt) {
	r.suspicious()
	slices.SortFunc(r.secrets, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	if len(r.secrets) > 0 {
		j.Form = statement.Redacted
	}
	if r.lost {
		j.Form = statement.Masked
	}
	for i := range j.Statements {
		s, at := &j.Statements[i], bounds(r.text, raws[i])
		if i == 0 {
			at.start = 0
		}
		if i == len(raws)-1 {
			at.end = len(r.text)
		}
		if len(raws) > 1 {
			at = trim(r.raw, at)
		}
		s.Text = r.recordable(at)
		s.Fingerprint = fingerprint(s.Text, j.Form)
		if e := &s.Effect; e.Inner != nil {
			r.finishInner(e.Inner, trim(r.raw, bounds(r.text, raws[i])), e.Kind, j.Form)
		}
	}
}

// finishInner sets the text of what PREPARE or DECLARE gives a name to.
func (r *reader) finishInner(s *statement.Statement, at span, kind statement.EffectKind, form statement.Form) {
	at = behind(r.raw, at, kind)
	s.Text = r.recordable(at)
	s.Fingerprint = fingerprint(s.Text, form)
}

// recordable returns a part of the text without its secrets.
func (r *reader) recordable(at span) string {
	if r.lost {
		return statement.Mask(r.raw[at.start:at.end])
	}
	return r.redact(at)
}

// fingerprint is pg_query's of a text as it is recorded: from one that is of a
// secret, too, the secret could be guessed. What is masked has none, for its marks
// are no SQL.
func fingerprint(text string, form statement.Form) uint64 {
	if form == statement.Masked {
		return 0
	}
	f, err := pg.FingerprintToUInt64(text)
	if err != nil {
		return 0
	}
	return f
}

// span is text[start:end].
type span struct{ start, end int }

// bounds returns where a statement stands. pg_query leaves the length out for
// the last one.
func bounds(text string, raw *pg.RawStmt) span {
	start := min(max(int(raw.StmtLocation), 0), len(text))
	end := len(text)
	if raw.StmtLen > 0 {
		end = min(start+int(raw.StmtLen), len(text))
	}
	return span{start, end}
}

// trim leaves out white space on both sides, and a semicolon left over.
func trim(raw []byte, at span) span {
	const space = " \t\n\r\f\v;"
	part := raw[at.start:at.end]
	at.start += len(part) - len(bytes.TrimLeft(part, space))
	at.end = at.start + len(bytes.Trim(part, space))
	return at
}
