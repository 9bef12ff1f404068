package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// segment is one mapped file that records are written to.
type segment struct {
	// Static.
	file   *os.File
	m      []byte
	number uint64
	base   int64 // position of the segment's first byte in the stream
	size   int64
	grain  grain
	disk   disk
	seed   uint32      // CRC32C of stream id and number
	hashed atomic.Bool // the chain is behind its seal: nobody reads the mapping any more
	// chained is how far the chain has come.
	chained atomic.Int64
	// protected: a sync has made its pages such that the next write traps.
	protected atomic.Bool
	prepared  atomic.Int64 // before it pages were made writable

	// Guarded by Journal.mu.
	pos     int64 // behind the last record
	records uint64
	events  uint64    // records that are not the journal's own
	began   time.Time // with the monotonic clock: a wall clock that jumps seals nothing

	// Owned by whoever holds flusher.idle.
	synced   bool  // sealed and on the disk
	released int64 // the pages before it were given back
}

// limit is where records end, so that a last checkpoint and a seal always fit
// behind them.
func (s *segment) limit() int64 { return s.size - sealSize - closeRoom }

// identity is what all segments of a stream have in common.
type identity struct {
	dir    string
	disk   disk
	node   string
	stream [16]byte
	boot   [16]byte
}

func segmentName(number uint64) string { return fmt.Sprintf("%08d.seg", number) }

func seedOf(stream [16]byte, number uint64) uint32 {
	var b [24]byte
	copy(b[:], stream[:])
	binary.LittleEndian.PutUint64(b[16:], number)
	return crc32.Checksum(b[:], castagnoli)
}

// draft is a file that has its room on the disk, and no name yet.
type draft struct {
	file  *os.File
	size  int64
	grain grain
}

// newDraft makes a file of that size under a .tmp name. All of it is written
// once: fallocate alone leaves file systems that copy on write, or that turn
// unwritten extents around later, free to fail behind the mapping.
func newDraft(id *identity, size int64, g grain, p *pace) (*draft, error) {
	path := filepath.Join(id.dir, "next.seg.tmp")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, diskError(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	d := &draft{file: file, size: size, grain: g}
	if err := d.fill(p); err != nil {
		d.discard()
		return nil, diskError(&os.PathError{Op: "allocate", Path: path, Err: err})
	}
	return d, nil
}

func (d *draft) fill(p *pace) error {
	fd := int(d.file.Fd())
	err := ignoreInterrupt(func() error { return unix.Fallocate(fd, 0, 0, d.size) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for off := int64(0); off < d.size; off += int64(d.grain) {
		n := min(int64(d.grain), d.size-off)
		if _, err := d.file.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		p.did(int(n))
	}
	return nil
}

var zeros [coarse]byte

func (d *draft) discard() {
	_ = d.file.Close()
	_ = os.Remove(d.file.Name())
}

// finish gives the draft its header and its name, and maps it.
func (d *draft) finish(id *identity, number uint64) (*segment, error) {
	path := filepath.Join(id.dir, segmentName(number))
	s := &segment{file: d.file, number: number, size: d.size, grain: d.grain, disk: id.disk, seed: seedOf(id.stream, number), pos: headerSize}
	if err := d.publish(id, s, path); err != nil {
		if s.m != nil {
			_ = unix.Munmap(s.m)
		}
		d.discard()
		return nil, diskError(&os.PathError{Op: "create segment", Path: path, Err: err})
	}
	return s, nil
}

func (d *draft) publish(id *identity, s *segment, path string) error {
	if _, err := d.file.WriteAt(staticHeader(id, s.number, d.size), 0); err != nil {
		return err
	}
	if err := id.disk.sync(d.file); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := os.Rename(d.file.Name(), path); err != nil {
		return err
	}
	return id.disk.syncDir(id.dir)
}

func staticHeader(id *identity, number uint64, size int64) []byte {
	h := make([]byte, offFirst)
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[offVersion:], formatVersion)
	binary.LittleEndian.PutUint32(h[offHeaderSize:], headerSize)
	binary.LittleEndian.PutUint64(h[offSize:], uint64(size))
	binary.LittleEndian.PutUint64(h[offNumber:], number)
	binary.LittleEndian.PutUint64(h[offCreated:], uint64(time.Now().UnixNano()))
	copy(h[offStream:], id.stream[:])
	copy(h[offBoot:], id.boot[:])
	binary.LittleEndian.PutUint16(h[offNodeLen:], uint16(len(id.node)))
	copy(h[offNode:], id.node)
	binary.LittleEndian.PutUint32(h[offStaticSum:], crc32.Checksum(h[:offStaticSum], castagnoli))
	return h
}

// begin writes the header's second part: from now on the segment has records.
// start is what the chain starts from in a stream's first segment, zero in others.
func (s *segment) begin(first uint64, at int64, start [32]byte) {
	s.began = time.Now()
	binary.LittleEndian.PutUint64(s.m[offFirst:], first)
	binary.LittleEndian.PutUint64(s.m[offBegun:], uint64(at))
	copy(s.m[offChain:], start[:])
	sum := crc32.Update(s.seed, castagnoli, s.m[offFirst:offOpenSum])
	binary.LittleEndian.PutUint32(s.m[offOpenSum:], sum)
	publish(s.m[offState:], 1)
}

// seal ends the segment. It counts on the room that limit keeps.
func (s *segment) seal(why uint32, last uint64, chain [32]byte) {
	r := s.m[s.pos : s.pos+sealSize]
	fillSeal(r, s.seed, why, last, s.records, 0, chain)
	publish(r[offLength:], sealSize)
	s.pos += sealSize
}

// fillSeal writes all of a seal but its length.
func fillSeal(r []byte, seed, why uint32, last, records, aside uint64, chain [32]byte) {
	binary.LittleEndian.PutUint64(r[offSequence:], last)
	binary.LittleEndian.PutUint64(r[offTime:], uint64(time.Now().UnixNano()))
	binary.LittleEndian.PutUint16(r[offType:], sealType)
	binary.LittleEndian.PutUint32(r[40:], why)
	binary.LittleEndian.PutUint64(r[48:], records)
	binary.LittleEndian.PutUint64(r[56:], aside)
	copy(r[64:], chain[:])
	var length [4]byte
	sums(r, seed, &length)
}

// sums writes the two checksums of a record whose other bytes are in place.
// length is scratch: one of the caller's, so that it need not be allocated.
func sums(r []byte, seed uint32, length *[4]byte) {
	binary.LittleEndian.PutUint32(length[:], uint32(len(r)))
	sum := crc32.Update(seed, castagnoli, length[:])
	check := crc32.Update(sum, castagnoli, r[offSequence:offCheck])
	check = crc32.Update(check, castagnoli, r[offShared:recordHeader])
	binary.LittleEndian.PutUint32(r[offCheck:], check)
	binary.LittleEndian.PutUint32(r[offSum:], crc32.Update(sum, castagnoli, r[offSequence:]))
}

// publish stores v at b with release semantics. b is aligned.
func publish(b []byte, v uint32) {
	var raw [4]byte
	binary.LittleEndian.PutUint32(raw[:], v)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[0])), binary.NativeEndian.Uint32(raw[:]))
}

// mark stores how far the segment is known to have reached the disk.
func (s *segment) mark(pos int64) {
	var raw [8]byte
	binary.LittleEndian.PutUint64(raw[:], uint64(pos/8))
	sum := crc32.Update(s.seed, castagnoli, raw[:6])
	binary.LittleEndian.PutUint16(raw[6:], uint16(sum))
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&s.m[offMark])), binary.NativeEndian.Uint64(raw[:]))
}

func (s *segment) sync() error {
	s.release()
	if err := s.disk.syncData(s.file); err != nil {
		return &os.PathError{Op: "fdatasync", Path: s.path(), Err: err}
	}
	s.protected.Store(true)
	return nil
}

func (s *segment) path() string {
	return filepath.Join(filepath.Dir(s.file.Name()), segmentName(s.number))
}

// retire gives a sealed and synced segment's memory and unused room back.
func (s *segment) retire() error {
	err := errors.Join(s.unmap(), s.file.Truncate(s.pos), s.disk.sync(s.file), s.file.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", s.path(), err)
	}
	return nil
}

// drop unmaps and closes a segment as it is.
func (s *segment) drop() {
	_ = s.unmap()
	_ = s.file.Close()
}

func (s *segment) unmap() error {
	m := s.m
	s.m = nil
	return unix.Munmap(m)
}

// diskError says whether the disk is full or broken.
func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", audit.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", audit.ErrBroken, err)
}

func ignoreInterrupt(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
