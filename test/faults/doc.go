// Package faults cuts what the proxy talks over, at each place: the connections of
// its clients, to its backend and to its domain controller go through wires that are
// cut before the k-th piece of what travels, for all k of a session that does
// everything, in both directions, by FIN and by RST. A cut costs that session at
// most: it ends at both sides, it is on record to its end, whoever can still be told
// is told why, and nothing of it is left in the proxy.
//
// And it fails what the proxy asks its kernel for: the k-th open, write, sync, rename,
// mapping, dial, call of a parser worker, for all k of a session, in the program as it
// is shipped (internal/testkit/syscalls). A client is told or served, what PostgreSQL
// says that it executed is on record, the journal verifies, and the proxy serves again:
// by itself, or where the journal may not go on, after a new start.
package faults
