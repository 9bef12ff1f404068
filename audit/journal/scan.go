package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// scanChunk is how much of a plain segment one goroutine reads at a time. With
	// scanAhead for each of them it bounds what a scan holds.
	scanChunk = 1 << 20
	scanAhead = 2
	// scanAfter is how much of a segment is read record by record before it is
	// scanned: whoever follows a live segment meets a few records at a time.
	scanAfter = 32 << 10
	maxScans  = 2 // of a reader at once: streams that overlap are few
	// maxScanners is how many goroutines a scan has at most. More would wait for who
	// takes what they found.
	maxScanners = 8
)

func scanners() int { return min(runtime.GOMAXPROCS(0), maxScanners) }

// segmentScan reads a segment ahead of its reader, with a goroutine for each processor,
// up to maxScanners.
// It proves what the segment's reader proves of a record, sums and sequence and
// fields, and decodes what is selected. It judges nothing: where no valid record
// begins, it ends, and the segment's reader goes on from there.
//
// Whoever holds mu takes the next chunk, so that chunks come out in their order;
// next is the other end.
type segmentScan struct {
	// Static.
	dir     string // of the stream
	head    *segmentHeader
	file    segmentFile
	ix      *Index // of a container; nil: there is none to use
	wanted  func(*Span) bool
	pool    *scanPool
	chunks  chan *chunk   // in their order; closed by take
	quit    chan struct{} // closed by end
	workers sync.WaitGroup

	awaits atomic.Bool // set by next: frames that the index rules out are read too

	mu    sync.Mutex
	off   int64 // guarded by mu: of the next chunk
	over  bool  // guarded by mu: chunks is closed
	frame int   // guarded by mu: of a container, the next one

	// Owned by next.
	cur  *chunk
	item int
}

// chunk is a part of a segment, from the beginning of a record on.
type chunk struct {
	data   []byte // whole records, and perhaps what follows them
	off    int64  // of data, in the segment
	frame  *frame // of a container: data is still in it
	span   *Span  // of that frame; nil: not known
	passed bool   // the index says that nothing in it is wanted
	err    error

	buf, packed []byte // reused
	shares      sessions

	done  chan struct{} // has room for one
	first uint64        // sequence of its first record
	count uint64
	end   int64 // in the segment, behind its last valid record
	last  int64 // time of that
	whole bool  // nothing is left behind end
	items []item
}

// item is a record that is, or may be, wanted.
type item struct {
	record    *Record // nil: whoever selects is to be asked
	raw       rawRecord
	session   []byte
	statement uint64
}

// scanPool keeps for the next scan what one has made: pickers, which know many
// strings, and buffers.
type scanPool struct {
	make    func() *picker
	mu      sync.Mutex
	pickers []*picker
	chunks  []*chunk // not more than one scan holds
}

func (p *scanPool) picker() *picker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.pickers); n > 0 {
		k := p.pickers[n-1]
		p.pickers = p.pickers[:n-1]
		return k
	}
	return p.make()
}

func (p *scanPool) give(k *picker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pickers = append(p.pickers, k)
}

func (p *scanPool) chunk() *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.chunks)
	if n == 0 {
		return &chunk{done: make(chan struct{}, 1)}
	}
	c := p.chunks[n-1]
	p.chunks = p.chunks[:n-1]
	return c
}

// leave takes back a chunk that nobody uses.
func (p *scanPool) leave(c *chunk) {
	clear(c.items)
	*c = chunk{buf: c.buf, packed: c.packed, items: c.items[:0], shares: sessions{joined: c.shares.joined}, done: c.done}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.chunks) < (scanAhead+1)*scanners() {
		p.chunks = append(p.chunks, c)
	}
}

// startScan scans the segment from the reader's place on. end has to be called.
func startScan(dir string, seg *segmentReader, ix *Index, wanted func(*Span) bool, pool *scanPool) *segmentScan {
	n := scanners()
	s := &segmentScan{
		dir: dir, head: seg.head, file: seg.file, ix: ix, wanted: wanted, pool: pool, off: seg.off,
		chunks: make(chan *chunk, scanAhead*n), quit: make(chan struct{}),
	}
	for range n {
		s.workers.Go(s.work)
	}
	return s
}

// end ends the scan, and joins its goroutines.
func (s *segmentScan) end() {
	close(s.quit)
	s.workers.Wait()
}

func (s *segmentScan) work() {
	p := s.pool.picker()
	defer s.pool.give(p)
	for {
		c := s.take()
		if c == nil {
			return
		}
		if !c.passed {
			s.read(c, p)
		}
		c.done <- struct{}{}
	}
}

// take takes the next chunk, and returns nil where there is none.
func (s *segmentScan) take() *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	c := s.pool.chunk()
	if packed, ok := s.file.(*container); ok {
		s.over = !s.cutFrame(c, packed)
	} else {
		s.over = !s.cutPlain(c)
	}
	if c.frame == nil && len(c.data) == 0 {
		close(s.chunks)
		return nil
	}
	select {
	case s.chunks <- c:
	case <-s.quit:
		s.over = true
		return nil
	}
	if s.over {
		close(s.chunks)
	}
	return c
}

// cutPlain takes whole records from a file. It says whether there may be more
// behind them.
func (s *segmentScan) cutPlain(c *chunk) (more bool) {
	if c.buf == nil {
		c.buf = make([]byte, scanChunk)
	}
	n, err := s.file.ReadAt(c.buf, s.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return false // whoever reads on meets it
	}
	size, more := hop(c.buf[:n], s.head.size-s.off)
	c.data, c.off = c.buf[:size], s.off
	s.off += int64(size)
	return more
}

// hop returns how much of b are records, as far as their lengths tell, and whether
// more may follow.
func hop(b []byte, room int64) (size int, more bool) {
	for at := 0; ; {
		if len(b)-at < 40 {
			return at, at > 0 && len(b) == scanChunk
		}
		length := int64(binary.LittleEndian.Uint32(b[at:]))
		padded := (length + 7) &^ 7
		switch {
		case length < 40, padded > room-int64(at), binary.LittleEndian.Uint16(b[at+24:]) == 65535:
			return at, false
		case padded > int64(len(b)-at):
			return at, at > 0
		}
		at += int(padded)
	}
}

// read proves what is in a chunk, and decodes what is wanted of it.
func (s *segmentScan) read(c *chunk, p *picker) {
	if c.frame != nil {
		if c.err = s.unpack(c); c.err != nil {
			c.end = c.off
			return
		}
	}
	before := func(off int64) (rawRecord, *gap, error) { return s.before(c, off) }
	at := 0
	for at < len(c.data) {
		raw, ok := s.head.recordIn(c.data[at:], c.off+int64(at))
		if !ok || raw.number == 65535 {
			break
		}
		if c.count == 0 {
			c.first = raw.sequence
		} else if raw.sequence != c.first+c.count {
			break
		}
		if hole, err := c.shares.complete(&raw, before); hole != nil || err != nil {
			break
		}
		if !s.sort(c, p, &raw) {
			break
		}
		c.count++
		c.last = raw.nanos
		at += len(raw.whole)
	}
	c.end, c.whole = c.off+int64(at), at == len(c.data)
}

// before reads the record at off, to which one in the chunk refers.
func (s *segmentScan) before(c *chunk, off int64) (rawRecord, *gap, error) {
	data, from := c.data, c.off
	if c.frame != nil {
		data, from = c.buf, c.frame.at // all of it, also what was read already
	}
	if off >= from {
		r, ok := s.head.recordIn(data[off-from:], off)
		if !ok {
			return r, &gap{reason: "no record", hard: true}, nil
		}
		return r, nil, nil
	}
	if c.frame != nil {
		return rawRecord{}, &gap{reason: "it is in another frame", hard: true}, nil
	}
	return s.head.recordOf(s.file, off)
}

// sort puts the record where it belongs. It says false where it cannot be decoded.
func (s *segmentScan) sort(c *chunk, p *picker, raw *rawRecord) bool {
	switch p.choose(raw) {
	case Yes:
		r, err := newRecord(s.dir, s.head, raw, &p.strings)
		if err != nil {
			return false
		}
		c.items = append(c.items, item{record: r})
	case Maybe:
		c.shares.keep(raw)
		c.items = append(c.items, item{raw: *raw, session: p.raw.Field(p.session), statement: p.raw.Number(p.statement)})
	case No:
	}
	return true
}

// chunk returns the chunk that next is in; nil at the scan's end.
func (s *segmentScan) chunk() *chunk {
	if s.cur == nil {
		c, ok := <-s.chunks
		if !ok {
			return nil
		}
		<-c.done
		s.cur, s.item = c, 0
	}
	return s.cur
}

// leave gives the chunk back.
func (s *segmentScan) leave() {
	s.pool.leave(s.cur)
	s.cur = nil
}
