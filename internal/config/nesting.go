package config

import (
	"bytes"
	"errors"

	"github.com/goccy/go-yaml/token"
)

// maxNesting bounds how deep a file is nested. The parser keeps a path for each level, so
// that what it takes of time and memory grows with the square of their number.
const maxNesting = 100

// plain is the text of a file, without the mark that some editors put before UTF-8.
func plain(data []byte) (string, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return "", errors.New("is UTF-16: save it as UTF-8")
	}
	return string(bytes.TrimPrefix(data, []byte("\ufeff"))), nil
}

// depth counts levels: of brackets, of indentation, and of what is put before a value in
// one line.
type depth struct {
	line     int
	brackets int
	columns  []int
	before   int
}

// tooDeep tells where a file is nested too deep, nil for nowhere.
func tooDeep(tokens token.Tokens) *token.Position {
	var d depth
	for _, t := range tokens {
		d.enter(t)
		if d.brackets+len(d.columns)+d.before > maxNesting {
			return t.Position
		}
	}
	return nil
}

func (d *depth) enter(t *token.Token) {
	if t.Type == token.CommentType {
		return
	}
	if t.Position.Line != d.line {
		d.line, d.before = t.Position.Line, 0
		d.indent(t.Position.Column)
	}
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		d.brackets++
		d.before = 0
	case token.SequenceEndType, token.MappingEndType:
		d.brackets--
	case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
		d.before++
	case token.CollectEntryType:
		d.before = 0
	default:
	}
}

// indent counts the column that a line outside of brackets begins in.
func (d *depth) indent(column int) {
	if d.brackets > 0 {
		return
	}
	for len(d.columns) > 0 && d.columns[len(d.columns)-1] >= column {
		d.columns = d.columns[:len(d.columns)-1]
	}
	d.columns = append(d.columns, column)
}
