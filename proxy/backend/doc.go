// Package backend logs in at a PostgreSQL server as the scoped role itself
// (invariant 4), with pgconn, and hands the connection over at the exact byte
// behind the first ReadyForQuery. There is no plaintext fall-back, and nothing
// is read from the environment, the password file or the service file.
package backend
