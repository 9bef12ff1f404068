package statement

import (
	"bytes"
	"context"
	"strings"
)

// Walsender returns the judge of a replication connection: it reads walsender
// commands itself (repl_gram.y), and leaves to j what the server takes for SQL.
func Walsender(j Judge) Judge { return walsender{j} }

type walsender struct{ sql Judge }

func (w walsender) Cached(text []byte, encoding Encoding) (*Judgement, bool) {
	if j := judgeCommand(text, encoding); j != nil {
		return j, true
	}
	return w.sql.Cached(text, encoding)
}

func (w walsender) Judge(ctx context.Context, text []byte, encoding Encoding) *Judgement {
	if j := judgeCommand(text, encoding); j != nil {
		return j
	}
	return w.sql.Judge(ctx, text, encoding)
}

// The walsender commands that take the cluster rather than a database, as records
// and rules name them.
const (
	CommandBaseBackup       = "BASE_BACKUP"
	CommandStartPhysical    = "START_REPLICATION PHYSICAL"
	CommandStartLogical     = "START_REPLICATION LOGICAL"
	CommandTimelineHistory  = "TIMELINE_HISTORY"
	CommandUploadManifest   = "UPLOAD_MANIFEST"
	commandStartReplication = "START_REPLICATION"
)

// OfCluster reports whether a walsender command is about the whole cluster.
func OfCluster(command string) bool {
	switch command {
	case CommandBaseBackup, CommandStartPhysical, CommandTimelineHistory, CommandUploadManifest:
		return true
	default:
		return false
	}
}

const taking = TagReplication | TagBulkExport

// walsenderCommands are the commands by their first word, which is in capitals: that
// alone tells the server a command from SQL
// (replication_scanner_is_replication_command).
var walsenderCommands = map[string]Statement{
	"IDENTIFY_SYSTEM":         {Class: Misc, Tags: TagReplication},
	"SHOW":                    {Class: Misc},
	"READ_REPLICATION_SLOT":   {Class: Misc, Tags: TagReplication},
	CommandTimelineHistory:    {Class: Read, Tags: TagReplication},
	CommandUploadManifest:     {Class: Misc, Tags: TagReplication},
	CommandBaseBackup:         {Class: Read, Tags: taking},
	commandStartReplication:   {Class: Read, Tags: taking},
	"CREATE_REPLICATION_SLOT": {Class: Misc, Tags: TagReplication},
	"ALTER_REPLICATION_SLOT":  {Class: Misc, Tags: TagReplication},
	"DROP_REPLICATION_SLOT":   {Class: Misc, Tags: TagReplication | TagDestructive, Destructive: "DROP_REPLICATION_SLOT"},
}

// judgeCommand returns nil where the server takes the text for SQL. What begins like
// a command and does not read like one is Unknown.
func judgeCommand(text []byte, encoding Encoding) *Judgement {
	first, _ := commandWord(bytes.TrimLeft(text, " \t\n\r\f"))
	st, known := walsenderCommands[string(first)]
	if !known {
		return nil
	}
	if encoding != UTF8 && !isASCII(text) {
		return UnknownText(text, CauseEncoding)
	}
	words, ok := commandWords(text)
	if !ok || !st.command(words) {
		return UnknownText(text, CauseSyntax)
	}
	st.Text = string(text)
	return &Judgement{Statements: []Statement{st}, Class: st.Class, Tags: st.Tags}
}

// command reads the words of a command, of which the first is known. Whatever stands
// behind those that matter here, the server runs this one command or none.
func (st *Statement) command(words []string) bool {
	st.Command = words[0]
	switch words[0] {
	case "IDENTIFY_SYSTEM", CommandUploadManifest:
		return len(words) == 1
	case CommandTimelineHistory:
		return len(words) == 2
	case "SHOW":
		st.Objects = []Object{{Kind: "setting", Name: strings.Join(words[1:], ""), Use: UseRead}}
		return len(words) > 1
	case CommandBaseBackup:
		for i, w := range words[1:] {
			if strings.EqualFold(strings.TrimPrefix(w, `"`), "target") && !strings.EqualFold(words[min(i+2, len(words)-1)], "'client") {
				st.Tags |= TagExternalIO
			}
		}
		st.takesAll()
		return true
	case commandStartReplication:
		return st.start(words)
	case "CREATE_REPLICATION_SLOT":
		return len(words) > 2 && st.ofSlot(words[1], UseCreate)
	case "ALTER_REPLICATION_SLOT":
		return len(words) > 2 && st.ofSlot(words[1], UseAlter)
	case "DROP_REPLICATION_SLOT":
		return len(words) > 1 && st.ofSlot(words[1], UseDrop)
	default: // READ_REPLICATION_SLOT
		return len(words) == 2 && st.ofSlot(words[1], UseRead)
	}
}

// start reads START_REPLICATION [SLOT name] [PHYSICAL] lsn … and
// START_REPLICATION SLOT name LOGICAL lsn (…).
func (st *Statement) start(words []string) bool {
	st.Command = CommandStartPhysical
	rest := words[1:]
	if len(rest) > 1 && rest[0] == "SLOT" {
		if !st.ofSlot(rest[1], UseRead) {
			return false
		}
		rest = rest[2:]
		if len(rest) > 1 && rest[0] == "LOGICAL" {
			st.Command = CommandStartLogical
			st.publications(rest)
		}
	}
	st.takesAll()
	return len(rest) > 0
}

// takesAll notes that what is taken may be of any table.
func (st *Statement) takesAll() {
	st.Objects = append(st.Objects, Object{Schema: Any, Name: Any, Kind: "relation", Use: UseRead})
}

func (st *Statement) ofSlot(name string, use Use) bool {
	name = strings.TrimPrefix(name, `"`)
	st.Objects = append(st.Objects, Object{Kind: "replication slot", Name: name, Use: use})
	return name != "" && !strings.ContainsAny(name[:1], "'(),;")
}

// publications notes those that pgoutput's option names.
func (st *Statement) publications(words []string) {
	for i, w := range words[:len(words)-1] {
		if strings.TrimPrefix(w, `"`) != "publication_names" {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimPrefix(words[i+1], "'"), ",") {
			st.Objects = append(st.Objects, Object{Kind: "publication", Name: strings.Trim(name, ` "`), Use: UseRead})
		}
	}
}

// commandWords cuts a command into words and single characters (repl_scanner.l).
// Literals keep the quote in front and quoted names theirs. ok is false where a
// quote is not closed, or where more stands behind the command's end.
func commandWords(text []byte) (words []string, ok bool) {
	for {
		text = bytes.TrimLeft(text, " \t\n\r\f\v")
		if len(text) == 0 {
			return words, len(words) > 0
		}
		switch c := text[0]; c {
		case ';':
			return words, len(bytes.Trim(text[1:], " \t\n\r\f\v")) == 0
		case '\'', '"':
			word, rest, closed := quoted(text, c)
			if !closed {
				return nil, false
			}
			words, text = append(words, string(c)+word), rest
		default:
			word, rest := commandWord(text)
			if len(word) == 0 {
				word, rest = text[:1], text[1:]
			}
			words, text = append(words, string(word)), rest
		}
	}
}

// quoted reads a literal, in which a quote is doubled, or a quoted name.
func quoted(text []byte, quote byte) (word string, rest []byte, closed bool) {
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			out.WriteByte(text[i])
			continue
		}
		if quote == '\'' && i+1 < len(text) && text[i+1] == quote {
			i++
			out.WriteByte(quote)
			continue
		}
		return out.String(), text[i+1:], true
	}
	return "", nil, false
}

// commandWord takes an identifier, a keyword, or a number with what clings to it.
func commandWord(text []byte) (word, rest []byte) {
	n := 0
	for n < len(text) && (text[n] == '_' || text[n] == '$' || text[n] == '/' || text[n] >= 0x80 ||
		'a' <= text[n]|0x20 && text[n]|0x20 <= 'z' || '0' <= text[n] && text[n] <= '9') {
		n++
	}
	return text[:n], text[n:]
}
