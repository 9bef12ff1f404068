// Package driver moves the bytes that a relay.Machine answers for: it reads,
// writes, waits for records and judgements, and notices who went away. This is
// the portable driver, with a goroutine for each direction.
package driver
