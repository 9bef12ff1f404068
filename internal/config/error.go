package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one complaint about a configuration file.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 where the file as a whole is meant
	Key          string // rules[2].grant.role; empty where no key is meant
	Message      string // what is wrong, and what to do about it
}

// Error implements error: file:line:column: key: message.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all complaints about one file, in the order of their lines.
type Errors []*Error

// Error implements error, with one line for each complaint.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders by position and leaves repetitions out.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(es, func(a, b *Error) bool { return *a == *b })
}
