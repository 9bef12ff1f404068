// Package peer listens on Unix sockets in a directory, and knows from the kernel who
// connects to them.
package peer
