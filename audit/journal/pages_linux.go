package journal

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The first write to a page of the mapping traps into the kernel, and so does the
// first one after each sync, which protects what it wrote; and for each page that
// it protects, a sync interrupts the other processors. Where records come fast,
// that costs more than writing them. So the chain's goroutine has the next pages
// made writable, many in one call, and a sync gives the finished ones back first.
// Both are hints: what the kernel does not do, the next write or read does.
const (
	aheadBytes = 2 << 20
	// aheadWithin is the time in which the chain has to be woken again, by
	// maxSums records: else what is made writable would be written to the disk for
	// nothing at the next sync.
	aheadWithin = 100 * time.Millisecond
	// behindBytes are worth a call.
	behindBytes = 64 << 10
)

var onePage = int64(os.Getpagesize())

// grain is by how many bytes at once a segment's file is written when it is made.
// The kernel keeps what one write brings as one piece (a folio), where the file
// system can: large pieces are mapped by one entry of the page table, and trap once;
// but each sync writes what it finds changed piece by piece.
type grain int64

const (
	coarse grain = 2 << 20 // for records that nobody waits for
	fine   grain = 64 << 10
)

// open maps the segment's file.
func (s *segment) open() (err error) {
	s.m, err = unix.Mmap(int(s.file.Fd()), 0, int(s.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil && s.grain == coarse {
		_ = unix.Madvise(s.m, unix.MADV_HUGEPAGE)
	}
	if err == nil {
		_ = unix.Madvise(s.m, unix.MADV_POPULATE_READ)
	}
	return err
}

// unit is what the mapping is given back by.
func (s *segment) unit() int64 {
	if s.grain == coarse {
		return int64(coarse)
	}
	return onePage
}

// prepare makes the pages behind the last record writable, well before they are reached.
func (s *segment) prepare(pos int64) {
	if !s.protected.Swap(false) && pos+aheadBytes/2 <= s.prepared.Load() {
		return
	}
	from := pos &^ (onePage - 1)                // a later segment has begun where it is the size
	to := min(from+aheadBytes, int64(len(s.m))) // MADV_POPULATE_WRITE: since Linux 5.14
	_ = unix.Madvise(s.m[from:to], unix.MADV_POPULATE_WRITE)
	s.prepared.Store(to)
}

// release gives the pages back that nobody writes or hashes any more. The file
// keeps their content; whoever reads them all the same has them mapped again. The
// header's page stays.
func (s *segment) release() {
	unit := s.unit()
	from := max(s.released, unit)
	to := s.chained.Load() &^ (unit - 1)
	if to-from < behindBytes {
		return
	}
	_ = unix.Madvise(s.m[from:to], unix.MADV_DONTNEED)
	s.released = to
}
