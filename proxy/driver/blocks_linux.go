package driver

// maxBlocks bounds the large buffers that a loop keeps at hand.
const maxBlocks = 16

// blocks are a loop's large buffers. The one that was used last is lent first: it is
// in the processor's cache.
type blocks struct{ free []*[]byte }

func (b *blocks) obtain() *[]byte {
	n := len(b.free)
	if n == 0 {
		return obtain(largeBuffer)
	}
	mem := b.free[n-1]
	b.free = b.free[:n-1]
	return mem
}

// release takes a large buffer back, of which the first n bytes were written to.
func (b *blocks) release(mem *[]byte, n int) {
	if len(b.free) == maxBlocks {
		release(mem, n)
		return
	}
	clear((*mem)[:n])
	b.free = append(b.free, mem)
}

// borrow makes room for a read: a large buffer, for a session between two turns holds
// none, and what comes is worth a call. It reports whether there is memory.
func (b *buffer) borrow(from *blocks) bool {
	switch {
	case b.mem == nil:
		b.mem, b.most = from.obtain(), 0
	case len(*b.mem) < largeBuffer:
		b.move(from.obtain())
	case b.have == len(*b.mem):
		if !b.budget.Allow(2 * len(*b.mem)) {
			return false
		}
		b.move(obtain(2 * len(*b.mem)))
	}
	return true
}

// rest gives the large buffer back where nothing, or little, is left in it.
func (b *buffer) rest(to *blocks) {
	if b.mem == nil || len(*b.mem) < largeBuffer || b.have > smallBuffer {
		return
	}
	mem, most := b.mem, b.most
	b.mem, b.most = nil, 0
	if b.have > 0 {
		b.mem, b.most = obtain(smallBuffer), b.have
		copy(*b.mem, (*mem)[:b.have])
	}
	if len(*mem) == largeBuffer {
		to.release(mem, most)
	} else {
		release(mem, most)
	}
}
