//go:build !linux

package handover

// HungUp tells nothing here: only a read does.
func (*Conn) HungUp() (closed, broken bool) { return false, false }

// Abort closes the connection.
func (c *Conn) Abort() { _ = c.Close() }
