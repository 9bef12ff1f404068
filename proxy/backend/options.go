package backend

import (
	"crypto/tls"
	"time"
)

// Options describe one PostgreSQL server, or several that are one service.
type Options struct {
	Name  string
	Hosts []Host // tried in their order
	// TLS is verify-full unless the hosts are Unix sockets, where it is nil.
	TLS *tls.Config
	// TargetSessionAttrs is libpq's: any, read-write, read-only, primary, standby.
	TargetSessionAttrs string
	Tier               int // 0 (most sensitive) to 3
	ConnectTimeout     time.Duration
	// Connections bounds the sessions on this backend at once; 0 is no bound.
	Connections int
	// OwnNames leaves application_name to the client alone.
	OwnNames bool
	// Credentials are how to log in as a role, by its name.
	Credentials map[string]Credential
	// Authority signs certificates for all roles, in the place of Credentials; nil
	// where roles have passwords.
	Authority *Authority
}

// Host is one address: a name or IP with a port, or the directory of a Unix
// socket.
type Host struct {
	Host string
	Port uint16
}
