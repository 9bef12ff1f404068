// Package pgparse reads SQL with PostgreSQL's own parser and says what each
// statement is: its command, classes, tags, the objects it names and how, what
// it does to the session's names, and which of its literals are secrets.
//
// The parser is C code that is fed by strangers, and some texts kill it. So
// nothing here is called in the process that holds sessions and keys: Main runs
// in a worker process of its own, which package statement starts, asks and
// replaces. This is the only package that uses cgo, and the only importer of
// pg_query_go.
//
// To find one's way: Read is the entry; commands.go, kinds.go and alterations.go
// are the tables of commands, and testdata/forms.txt what comes of them, form by
// form (docs/classification.md shows it); a walker goes through a statement's
// tree, whatever is nested in it, and adds up what it finds; functions.txt is the
// table of functions that act; truth.go decides if a condition takes every row;
// bodies.go follows PL/pgSQL and SQL bodies; secrets.go redacts.
package pgparse
