// Package spool keeps what a client sends of a large message until all of it is
// there, on the disk and not in memory. A file has no name, and is encrypted under a
// key that nobody but this process ever has: what it holds was not masked yet.
package spool
