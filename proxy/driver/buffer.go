package driver

import (
	"net"
	"sync"
)

// Sizes of the buffers: small while a session says little, large while it sends
// in bulk. What a peer claims is never allocated: a buffer doubles as bytes come.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var (
	smallPool = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largePool = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// buffer holds what was read and not taken yet.
type buffer struct {
	mem    *[]byte
	have   int
	needed int // bytes that must fit
	last   int // bytes of the last read
}

func (b *buffer) bytes() []byte {
	if b.mem == nil {
		return nil
	}
	return (*b.mem)[:b.have]
}

func (b *buffer) len() int { return b.have }

// want says that what is at hand is of use once there are n bytes of it.
func (b *buffer) want(n int) { b.needed = n }

// take drops the first n bytes.
func (b *buffer) take(n int) {
	if n > 0 {
		b.have = copy(*b.mem, (*b.mem)[n:b.have])
	}
	b.needed = 0
}

// fill reads once.
func (b *buffer) fill(c net.Conn) error {
	b.fit()
	n, err := c.Read((*b.mem)[b.have:])
	b.have += n
	b.last = n
	return err
}

// fit makes room for a read: a large buffer behind a large read, a small
// one for a session that says little.
func (b *buffer) fit() {
	size := smallBuffer
	switch {
	case b.have >= largeBuffer:
		// It doubles when it is full, not at each read.
		if size = len(*b.mem); b.have == size {
			size *= 2
		}
	case b.last >= smallBuffer/2 || b.have > smallBuffer/2 || b.needed > smallBuffer:
		size = largeBuffer
	}
	if b.mem != nil && (len(*b.mem) == size || b.have > 0 && len(*b.mem) > size) {
		return
	}
	next := obtain(size)
	if b.mem != nil {
		copy(*next, (*b.mem)[:b.have])
		release(b.mem)
	}
	b.mem = next
}

// free gives the memory back.
func (b *buffer) free() {
	if b.mem != nil {
		release(b.mem)
	}
	*b = buffer{}
}

func obtain(size int) *[]byte {
	switch size {
	case smallBuffer:
		return smallPool.Get().(*[]byte)
	case largeBuffer:
		return largePool.Get().(*[]byte)
	default:
		b := make([]byte, size)
		return &b
	}
}

// release gives pooled memory back. It is wiped: it may have held a password.
func release(b *[]byte) {
	clear(*b)
	switch len(*b) {
	case smallBuffer:
		smallPool.Put(b)
	case largeBuffer:
		largePool.Put(b)
	}
}
