package handover

import "errors"

var errDetached = errors.New("an event loop has the connection")

// blockSize holds what a read of 64 KB becomes with TLS around it: each record
// begins small (crypto/tls sends records of one segment first) and has at most some
// 50 bytes of its own.
const blockSize = 72 << 10

// maxFree bounds the blocks that a Memory keeps for later.
const maxFree = 16

// Memory is what the connections of one loop write into until it is sent. A
// connection that has nothing to send holds none of it.
type Memory struct{ free [][]byte }

func (m *Memory) obtain() []byte {
	if n := len(m.free); n > 0 {
		b := m.free[n-1]
		m.free = m.free[:n-1]
		return b
	}
	return make([]byte, 0, blockSize)
}

// release takes a block back of which n bytes were written to. They are wiped: they
// may have held a password.
func (m *Memory) release(b []byte, n int) {
	clear(b[:min(n, cap(b))])
	if len(m.free) < maxFree {
		m.free = append(m.free, b[:0])
	}
}
