// Package succession lets a new process take over from the one that serves, so that
// an upgrade refuses no connection:
//
//	heir                                   incumbent, which serves
//	 Find          ── sockets ──────────▶   its user id is the same, says the kernel
//	               ◀── descriptors ──────   of the listening sockets, by SCM_RIGHTS (unix(7))
//	 gets ready: configuration, journal, directory, parser workers
//	 Yield         ── yield ────────────▶   lays down what only one can have: the operators' socket,
//	               ◀─────────────────────   that of readers, the metrics, sinks, the services' file
//	 takes these up
//	 Succeed       ── serve ────────────▶   stops accepting
//	               ◀── memory ───────────   of tickets that were used
//	 accepts                                drains
//	 Kill, SetLocks, Quarantine, Cancel, Reload ─▶ for the sessions that are left there
//
// Both have the same sockets, of which the kernel keeps one queue of clients: none is
// lost while one process accepts behind the other. Until serve an heir that fails
// leaves everything as it was, and the incumbent goes on. From then on the incumbent
// is reached through the connection alone, in the end by an heir of the heir's, which
// passes on what it is told; where that connection ends, nobody could lock its
// sessions out any more, and it ends them.
package succession
