package journal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Lock says of an encrypted segment what recovery, the chain and retention need: all
// that is known of it without an identity (FORMAT.md, section 16).
type Lock struct {
	Label
	Container, Index sealedFile
	At               time.Time // of the encryption
	Earlier          []Earlier // of segment 1: the streams that its first record names
	Blobs            [][32]byte
	Recipients       Recipients
	Key              string // id of the key that signed

	header    [headerSize]byte
	seal      [sealSize]byte
	parsed    *segmentHeader // of header
	signed    []byte
	signature []byte
}

// sealedFile is an encrypted file as its lock names it.
type sealedFile struct {
	Size int64
	Sum  [32]byte // SHA-256
}

const (
	lockMagic    = "PGCUSTLK"
	lockSize     = 256
	lockFixed    = lockSize + headerSize + sealSize
	lockDomain   = "pgcustos lock 1\n"
	maxLock      = 256 << 20
	lockSuffix   = ".lock"
	lockedSuffix = ".age"

	lockedIndexSuffix = ".idx" + lockedSuffix
)

func lockName(number uint64) string { return fmt.Sprintf("%08d", number) + lockSuffix }

// lockedName is the name of an encrypted container.
func lockedName(number uint64) string { return fileName(number) + packedSuffix + lockedSuffix }

func lockedIndexName(number uint64) string { return fmt.Sprintf("%08d", number) + lockedIndexSuffix }

var errLock = errors.New("it is not a lock, or damaged")

// body is what the signature covers, but for its domain.
func (l *Lock) body() []byte {
	b := make([]byte, lockSize, lockFixed+len(l.Earlier)*earlierSize+len(l.Blobs)*sumSize+len(l.Recipients.lines))
	copy(b, lockMagic)
	u32 := func(at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	u64 := func(at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	u32(8, 1)
	u32(12, l.tiers)
	u64(16, uint64(l.Size))
	u64(24, uint64(l.Container.Size))
	copy(b[32:], l.Container.Sum[:])
	u64(64, uint64(l.Index.Size))
	copy(b[72:], l.Index.Sum[:])
	copy(b[104:], l.Before[:])
	copy(b[136:], l.Behind[:])
	if l.Last >= l.First {
		u64(168, uint64(l.Earliest.UnixNano()))
		u64(176, uint64(l.Latest.UnixNano()))
	}
	u64(184, uint64(l.At.UnixNano()))
	u32(192, uint32(len(l.Earlier)))
	u32(196, uint32(len(l.Blobs)))
	u32(200, uint32(len(l.Recipients.lines)))
	b = append(append(b, l.header[:]...), l.seal[:]...)
	for i := range l.Earlier {
		b = append(b, l.Earlier[i].encode()...)
	}
	for i := range l.Blobs {
		b = append(b, l.Blobs[i][:]...)
	}
	return append(b, l.Recipients.lines...)
}

// readLock reads the lock of a segment. What is wrong with it is a *CorruptionError.
func readLock(dir string, number uint64) (*Lock, error) {
	path := filepath.Join(dir, lockName(number))
	file, err := openFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &CorruptionError{File: path, Reason: "the lock of the encrypted segment is missing"}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.LimitReader(file, maxLock))
	if err != nil {
		return nil, err
	}
	l, err := parseLock(b)
	if err == nil && l.Segment != number {
		err = fmt.Errorf("it is that of segment %d", l.Segment)
	}
	if err != nil {
		return nil, &CorruptionError{File: path, Reason: err.Error()}
	}
	return l, nil
}

func parseLock(b []byte) (*Lock, error) {
	n := len(b) - signedFoot
	if n < lockFixed || string(b[:8]) != lockMagic || crc32.Checksum(b[:len(b)-4], castagnoliReader) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, errLock
	}
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }
	if v := u32(8); v != 1 {
		return nil, fmt.Errorf("%w: version %d", errLock, v)
	}
	earlier, blobs, names := u32(192)*earlierSize, u32(196)*sumSize, u32(200)
	if uint64(n) != lockFixed+earlier+blobs+names || !allZero(b[204:lockSize]) || uint32(u32(12))&^tierBits != 0 {
		return nil, errLock
	}
	l := &Lock{signed: b[:n], Key: readKeyID(b[n:]), signature: b[n+keyIDSize : len(b)-4]}
	copy(l.header[:], b[lockSize:])
	copy(l.seal[:], b[lockSize+headerSize:])
	rest := b[lockFixed:n]
	l.Earlier = parseEarlier(rest[:earlier])
	for list := rest[earlier:][:blobs]; len(list) > 0; list = list[sumSize:] {
		l.Blobs = append(l.Blobs, [32]byte(list))
	}
	l.Recipients.lines = string(rest[earlier+blobs:])
	return l, l.parseLabel(b)
}

// parseLabel reads what the segment's own header and seal do not say, and then these.
func (l *Lock) parseLabel(b []byte) error {
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	l.tiers, l.Size, l.At = binary.LittleEndian.Uint32(b[12:]), int64(u64(16)), unixTime(u64(184))
	l.Container = sealedFile{int64(u64(24)), [32]byte(b[32:])}
	l.Index = sealedFile{int64(u64(64)), [32]byte(b[72:])}
	l.Before, l.Behind = [32]byte(b[104:]), [32]byte(b[136:])
	if l.Size < headerSize+sealSize || l.Size%8 != 0 || l.Container.Size < 1 || l.Index.Size < 1 {
		return fmt.Errorf("%w: it has sizes that cannot be", errLock)
	}
	s, err := newSegmentReader(&lockedFile{lock: l}, "")
	if err != nil {
		return fmt.Errorf("%w: its header is not that of a segment", errLock)
	}
	if sealed, err := s.sealAtEnd(); err != nil || !sealed || !s.head.begun {
		return fmt.Errorf("%w: its seal is not that of the segment", errLock)
	}
	l.parsed, l.Stream, l.Segment = s.head, s.head.stream, s.head.number
	l.First, l.Last, l.Why = s.head.first, s.seal.last, s.seal.why
	if l.Last >= l.First {
		l.Earliest, l.Latest = unixTime(u64(168)), unixTime(u64(176))
	}
	return nil
}

// signedBy says whether the lock carries a signature of one of the keys.
func (l *Lock) signedBy(keys map[string]ed25519.PublicKey) bool {
	key, known := keys[l.Key]
	return known && ed25519.Verify(key, append([]byte(lockDomain), l.signed...), l.signature)
}

// records is how many records the segment has.
func (l *Lock) records() uint64 { return l.Last + 1 - l.First }

// is says whether the header is the one that the lock has, as far as the chain covers it.
func (l *Lock) is(h *segmentHeader) bool { return bytes.Equal(h.chained[:], l.header[:chainedHeader]) }
