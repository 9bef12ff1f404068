// Package handover has the connection that a session is set up over with blocking
// calls, and that an event loop takes over once nothing is left to wait for: the
// descriptor leaves Go's poller, and what lies above it, crypto/tls for one, goes
// on with the same connection. It can be given back at any moment, with what has
// been received and not read, and what has been written and not sent.
package handover
