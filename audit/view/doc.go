// Package view shows a journal to people and to programs: `pgcustos audit query`,
// `cat` and `tail` call [Query], [Cat] and [Tail], and do nothing else.
//
// Two forms: a table for a terminal, in which a statement and what came of it are
// one line, and JSON lines, one record each, as audit/FORMAT.md names the fields.
// Neither lets what was recorded act in a terminal.
package view
