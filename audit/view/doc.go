// Package view shows a journal to people and to programs: [Query], [Cat], [Tail],
// [Story] and [Report] are the commands under `pgcustos audit`.
//
// A query is a chain. The reader gives records in the order of time; the joiner
// lets the [Filter] choose, and puts a statement and what came of it together by
// stream and sequence; folding and limits follow; a form of output is the end. All
// of it works in bounded memory: where what waits for an outcome becomes too much
// (10,000 entries or 64 MiB), the oldest goes on without, and its outcome is shown
// as a line of its own when it comes. Nothing is left out for that.
//
// No output lets what was recorded act where it is read: not in a terminal, a
// spreadsheet, a browser, a Markdown renderer or a JSON parser.
package view
