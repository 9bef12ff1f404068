// Package reading puts on record who reads the record.
//
// A command that reads tells so before it begins ([Tell]): the process that writes
// the journal listens on a Unix socket in the journal's directory ([Listen]) and
// records an audit.Reading. Who it is says the kernel (SO_PEERCRED) and not the
// command; what it asked for is the command's word. Where no process writes, the
// command writes a stream of its own, if the journal is its user's ([Alone]).
//
// Commands that sign a certificate to try a backend say so in the same way, and are
// recorded as audit.Issued.
//
// The socket is open to whoever may read the journal: what comes in is bounded in
// size, in time and in rate for each user, and can do nothing but be recorded.
package reading
