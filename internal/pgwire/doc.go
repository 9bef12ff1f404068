// Package pgwire has what the proxy needs of PostgreSQL's frontend/backend
// protocol below the messages that pgproto3 models: framing, the limits that
// the server itself sets, and errors as they stand on the wire.
//
// https://www.postgresql.org/docs/current/protocol-message-formats.html
package pgwire
