// Package relay is the part of a session between log-in and end, as a state
// machine without I/O: a driver gives it the bytes that either side sent, and it
// answers with what to write, what to wait for and what to judge.
//
//	client ──bytes──▶ Machine.Client ──Output──▶ backend
//	client ◀──Output── Machine.Backend ◀──bytes── backend
//
// It records each statement before the Output that holds its bytes exists
// (invariant 5), and the bytes in that Output are the very ones that were judged
// (invariant 6). A statement that is denied is replaced, in its place in the
// stream, by a message that the backend refuses: the backend raises the error,
// aborts the transaction and skips to Sync, and the machine rewrites that one
// ErrorResponse.
//
// Rows and COPY data pass as ranges of the driver's buffer: they are neither
// decoded nor copied, and nothing is allocated for them.
package relay
