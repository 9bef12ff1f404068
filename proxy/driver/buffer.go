package driver

import (
	"errors"
	"net"
	"sync"

	"github.com/pgcustos/pgcustos/internal/ration"
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
	most   int // bytes of mem that were ever written to
	needed int // bytes that must fit
	last   int // bytes of the last read

	budget *ration.Budget // of large ones
}

// errNoMemory says that a buffer cannot become as large as what comes needs it.
var errNoMemory = errors.New("the memory's budget is used up")

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

// room is where the next bytes go; grew tells how many came.
func (b *buffer) room() []byte { return (*b.mem)[b.have:] }

func (b *buffer) grew(n int) {
	b.have += n
	b.last = n
	b.most = max(b.most, b.have)
}

// fill reads once.
func (b *buffer) fill(c net.Conn) error {
	if !b.fit() {
		return errNoMemory
	}
	n, err := c.Read(b.room())
	b.grew(n)
	return err
}

// fit makes room for a read: a large buffer behind a large read, a small
// one for a session that says little. It reports whether there is memory.
func (b *buffer) fit() bool {
	size := smallBuffer
	switch {
	case b.have >= largeBuffer:
		size = b.doubled()
	case b.last >= smallBuffer/2 || b.have > smallBuffer/2 || b.needed > smallBuffer:
		size = largeBuffer
	}
	if b.mem != nil && (len(*b.mem) == size || b.have > 0 && len(*b.mem) > size) {
		return true
	}
	if size > largeBuffer && !b.budget.Allow(size) {
		return false
	}
	b.move(obtain(size))
	return true
}

// doubled is the size for what is no smaller than a large buffer. It doubles when it
// is full, not at each read.
func (b *buffer) doubled() int {
	if size := len(*b.mem); b.have < size {
		return size
	}
	return 2 * len(*b.mem)
}

// move goes on in other memory.
func (b *buffer) move(next *[]byte) {
	was, most := b.mem, b.most
	if was != nil {
		copy(*next, (*was)[:b.have])
		release(was, most)
	}
	b.mem, b.most = next, b.have
}

// free gives the memory back.
func (b *buffer) free() {
	if b.mem != nil {
		release(b.mem, b.most)
	}
	*b = buffer{budget: b.budget}
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

// release gives pooled memory back, of which the first n bytes were written to. They
// are wiped: they may have held a password.
func release(b *[]byte, n int) {
	clear((*b)[:n])
	switch len(*b) {
	case smallBuffer:
		smallPool.Put(b)
	case largeBuffer:
		largePool.Put(b)
	}
}
