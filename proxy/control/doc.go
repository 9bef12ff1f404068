// Package control lets an operator at the machine see live sessions, end them, and
// lock accounts, roles, databases and networks out.
//
// Commands speak to the process that serves over a Unix socket in a directory of
// mode 0700: the proxy's own user and root may, and the group that the configuration
// names. Who it is says the kernel; what it does is on record with a reason before
// it is done. Locks are in a file beside the socket and outlive restarts.
package control
