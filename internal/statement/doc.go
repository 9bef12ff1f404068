// Package statement knows what SQL texts are: the classes and tags of their
// statements, the objects that these name, what they do to a session, and what of
// them may be recorded. It knows no rules.
//
// The parser is PostgreSQL's own, C code that strangers feed. It lives in
// internal/statement/pgparse and runs in worker processes alone, without secrets,
// files or network; what it answers is cached by the exact text.
package statement
