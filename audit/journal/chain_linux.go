package journal

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pgcustos/pgcustos/audit"
)

const (
	// chainEvery bounds how long a record is without a checkpoint behind it.
	chainEvery = time.Second
	// signEvery and signRecords bound how long it is without a signed one.
	signEvery   = 10 * time.Second
	signRecords = 10_000
)

var errNoRoom = errors.New("journal: no room for a checkpoint")

// chain is the hash chain over the stream's bytes (FORMAT.md, section 8). It runs
// behind the writers, on what they have published, so that no statement waits for
// a hash.
type chain struct {
	wake chan struct{} // holds one

	// Static.
	signer crypto.Signer
	key    string // its id

	// Owned by the goroutine of chainLoop; by Open before it, by Close behind it.
	hash     hash.Hash
	value    [32]byte
	seg      *segment
	pos      int64    // 0: the header comes next
	end      int64    // behind the last record that was hashed, in segment number
	number   uint64   // of the segment that record is in
	sequence uint64   // its sequence
	behind   [32]byte // value behind it; a seal and a header may be in value already
	woken    time.Time
	sums     []byte // CRC32C of each record since the last checkpoint, the newest maxSums
	loose    int    // records since the last checkpoint, without checkpoints
	unsigned int    // the same, since the last signed one
	signed   time.Time
	rotated  bool // since the last signed checkpoint
	body     []byte
	event    audit.Event
	fields   audit.Prepared // of event

	signErr atomic.Pointer[error]
}

func (c *chain) init(signer crypto.Signer) {
	c.wake = make(chan struct{}, 1)
	c.signer = signer
	if signer != nil {
		c.key = keyID(signer.Public())
	}
	c.hash = sha256.New()
	c.sums = make([]byte, 0, 4*maxSums)
	c.body = make([]byte, 0, 4*maxSums+closeRoom)
}

// begin makes s the stream's first segment.
func (c *chain) begin(s *segment, from [32]byte) { c.seg, c.value = s, from }

func (c *chain) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// add links b to the chain.
func (c *chain) add(b []byte) {
	c.hash.Reset()
	c.hash.Write(c.value[:])
	c.hash.Write(b)
	c.hash.Sum(c.value[:0])
}

// published is the length of the record that begins at pos, 0 where none does.
func (s *segment) published(pos int64) uint32 {
	var raw [4]byte
	binary.NativeEndian.PutUint32(raw[:], atomic.LoadUint32((*uint32)(unsafe.Pointer(&s.m[pos]))))
	return binary.LittleEndian.Uint32(raw[:])
}

// step links the next record, or seal. It returns false where nothing more is
// published.
func (j *Journal) step() bool {
	c := &j.chain
	s := c.seg
	if c.pos == 0 {
		c.add(s.m[:chainedHeader])
		c.pos = headerSize
	}
	length := s.published(c.pos)
	if length == 0 {
		return false
	}
	end := align(c.pos + int64(length))
	r := s.m[c.pos:end]
	c.add(r)
	number := binary.LittleEndian.Uint16(r[offType:])
	if number == sealType {
		j.nextChained()
		return true
	}
	c.pos, c.end, c.number = end, end, s.number
	c.sequence, c.behind = binary.LittleEndian.Uint64(r[offSequence:]), c.value
	if len(c.sums) == cap(c.sums) {
		// There was no room for a checkpoint: the older half goes untold.
		c.sums = c.sums[:copy(c.sums, c.sums[len(c.sums)/2:])]
	}
	c.sums = append(c.sums, r[offSum:offSum+4]...)
	if number != checkpointType {
		c.loose++
		c.unsigned++
	}
	return true
}

// nextChained goes on to the segment behind a seal, which has begun: both happen
// under one lock.
func (j *Journal) nextChained() {
	j.mu.Lock()
	next := j.unhashed[0]
	j.unhashed = j.unhashed[1:]
	j.mu.Unlock()
	j.chain.seg.chained.Store(j.chain.pos)
	j.chain.seg.hashed.Store(true)
	j.chain.seg, j.chain.pos, j.chain.rotated = next, 0, true
	j.flush.kick()
}

// chainLoop is the goroutine that hashes and writes checkpoints.
func (j *Journal) chainLoop() {
	tick := time.NewTicker(chainEvery)
	defer tick.Stop()
	for {
		due, fast := false, false
		select {
		case <-j.stop:
			return
		case <-j.chain.wake:
			now := time.Now()
			fast = now.Sub(j.chain.woken) < aheadWithin
			j.chain.woken = now
		case <-tick.C:
			due = true
			j.lookAtRoom()
		}
		if err := guard(func() { j.follow(due) }); err != nil {
			j.mu.Lock()
			j.fail(err)
			j.mu.Unlock()
			return
		}
		if fast && !j.flush.awaited.Swap(false) {
			s := j.chain.seg
			s.prepare(min(j.tail.Load()-s.base, s.size))
		}
	}
}

// follow links what was published, with a checkpoint wherever one is due.
func (j *Journal) follow(due bool) {
	c := &j.chain
	defer func() { c.seg.chained.Store(c.pos) }()
	for j.step() {
		if len(c.sums) < cap(c.sums) {
			continue
		}
		_ = j.checkpoint(c.mustSign())
		select {
		case <-j.stop:
			return
		default:
		}
	}
	if c.rotated || due && (c.loose > 0 || c.mustSign()) {
		_ = j.checkpoint(c.mustSign())
	}
}

// mustSign says whether the next checkpoint is one to sign.
func (c *chain) mustSign() bool {
	if c.signer == nil || c.unsigned == 0 && !c.rotated {
		return false
	}
	return c.rotated || c.unsigned+maxSums > signRecords || time.Since(c.signed) >= signEvery
}

// firstCheckpoint covers the stream's first record. A key that cannot sign shows
// here.
func (j *Journal) firstCheckpoint() error {
	var err error
	fault := guard(func() {
		for j.step() {
		}
		err = j.checkpoint(j.chain.signer != nil)
	})
	return errors.Join(fault, err)
}

// lastCheckpoint covers all that was written, and returns the value of the chain
// behind it. The goroutines have ended.
func (j *Journal) lastCheckpoint() [32]byte {
	c := &j.chain
	for j.step() {
	}
	c.sums = c.sums[len(c.sums)-min(len(c.sums), 4*lastSums):]
	ev, _ := c.build(c.signer != nil)
	j.writeLast(ev)
	for j.step() {
	}
	return c.value
}

// writeLast writes into the room that limit keeps.
func (j *Journal) writeLast(ev *audit.Event) {
	j.mu.Lock()
	defer j.mu.Unlock() // also where the mapping fails
	j.write(ev, checkpointType, ev.Time.UnixNano(), recordHeader+len(ev.Prepared.Fields), &keptText{})
	j.tail.Store(j.cur.base + j.cur.pos)
}
