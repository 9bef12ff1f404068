// Package sink carries the audit record out of the journal: to a database, a
// collector, a syslog server, or the standard output.
//
// A [Runner] is one sink at work, in a goroutine of its own beside the statement
// path. It follows the journal through journal.Reader, over every stream that it
// finds, hands the records on in batches, and keeps for each stream how far the
// sink has acknowledged them. What was not acknowledged is delivered again, so
// that each record arrives at least once; a [Keeper] keeps the positions itself,
// in the transaction that stores the records, and so stores each exactly once.
//
// A sink that is gone delays nothing and loses nothing: the Runner holds one
// batch, tries again with growing pauses, and the rest waits in the journal.
//
// The kinds of sink are the packages below: postgres, syslog, stdout, otlp.
package sink
