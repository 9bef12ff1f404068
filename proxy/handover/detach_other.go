//go:build !linux

package handover

// Close implements net.Conn.
func (c *Conn) Close() error { return c.inner.Close() }
