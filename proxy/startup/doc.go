// Package startup takes a connection from accept to the StartupMessage: the
// PROXY header of a listed balancer, SSLRequest or direct TLS, GSSENCRequest,
// CancelRequest, the protocol's version, and the start-up parameters. It asks
// for the password or the ticket, inside TLS only, and leaves the rest to its caller.
//
// Everything here is under one deadline and under caps, and no size is
// allocated because a stranger claims it. Where PostgreSQL closes without a
// word, so does this package: see Silent.
package startup
