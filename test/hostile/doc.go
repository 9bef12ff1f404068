// Package hostile sends the proxy what nobody should send it, as a stranger and
// as somebody who is logged in, and takes away what it stands on: its backend,
// its disk, its parser workers. Each test asks three things: what the client
// hears, that it is on record, and that a session which was there before goes on
// as if nothing had happened. The tests named TestInvariantN hold the invariants
// of THREAT_MODEL.md.
package hostile
