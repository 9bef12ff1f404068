package journal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Tombstone says how far a stream was removed by retention: all up to and with a
// segment (FORMAT.md, section 15). Of a stream there is one, which says all.
type Tombstone struct {
	Name        string // of the stream's directory, as the file is called
	Stream      [16]byte
	Why         RemovedWhy // of the last segment that went
	Segment     uint64     // the last that was removed
	First, Last uint64     // sequence of its records
	Before      [32]byte   // the chain's value before its header
	Behind      [32]byte   // and behind its end
	Latest      time.Time  // of its records
	At          time.Time  // of the removal
	Whole       bool       // nothing of the stream is left
	Key         string     // id of the key that signed; "": nobody did
	Earlier     []Earlier  // streams that the removed part said it follows
	signed      []byte     // what the signature covers
	signature   []byte
}

// RemovedWhy is the reason of a removal.
type RemovedWhy uint32

// The reasons.
const (
	RemovedForAge  RemovedWhy = 1
	RemovedForSize RemovedWhy = 2
)

// String implements fmt.Stringer.
func (w RemovedWhy) String() string {
	switch w {
	case RemovedForAge:
		return "age"
	case RemovedForSize:
		return "size"
	}
	return fmt.Sprintf("reason %d", uint32(w))
}

const (
	tombstoneFolder = "removed"
	tombstoneSuffix = ".tomb"
	tombstoneMagic  = "PGCUSTRM"
	tombstoneSize   = 192
	tombstoneDomain = "pgcustos removal 1\n"
	keyIDSize       = 16
	// signedFoot is what stands behind the signed bytes: key id, signature, sum.
	signedFoot = keyIDSize + ed25519.SignatureSize + 4
)

var errTombstone = errors.New("it is not a tombstone, or damaged")

func tombstonePath(journal, stream string) string {
	return filepath.Join(journal, tombstoneFolder, stream+tombstoneSuffix)
}

// body is what the signature covers, but for its domain.
func (t *Tombstone) body() []byte {
	b := make([]byte, tombstoneSize, tombstoneSize+len(t.Earlier)*earlierSize)
	copy(b, tombstoneMagic)
	binary.LittleEndian.PutUint32(b[8:], 1)
	binary.LittleEndian.PutUint32(b[12:], uint32(t.Why))
	copy(b[16:], t.Stream[:])
	binary.LittleEndian.PutUint64(b[32:], t.Segment)
	binary.LittleEndian.PutUint64(b[40:], t.First)
	binary.LittleEndian.PutUint64(b[48:], t.Last)
	copy(b[56:], t.Before[:])
	copy(b[88:], t.Behind[:])
	binary.LittleEndian.PutUint64(b[120:], uint64(t.Latest.UnixNano()))
	binary.LittleEndian.PutUint64(b[128:], uint64(t.At.UnixNano()))
	if t.Whole {
		b[136] = 1
	}
	binary.LittleEndian.PutUint32(b[140:], uint32(len(t.Earlier)))
	for i := range t.Earlier {
		b = append(b, t.Earlier[i].encode()...)
	}
	return b
}

const earlierSize = 56

func (e *Earlier) encode() []byte {
	b := append(make([]byte, 0, earlierSize), e.Stream[:]...)
	b = binary.LittleEndian.AppendUint64(b, e.Sequence)
	return append(b, e.Chain[:]...)
}

// parseEarlier reads whole entries.
func parseEarlier(b []byte) (all []Earlier) {
	for ; len(b) >= earlierSize; b = b[earlierSize:] {
		all = append(all, Earlier{Stream: [16]byte(b), Sequence: binary.LittleEndian.Uint64(b[16:]), Chain: [32]byte(b[24:])})
	}
	return all
}

func parseTombstone(name string, b []byte) (*Tombstone, error) {
	n := len(b) - signedFoot
	if n < tombstoneSize || string(b[:8]) != tombstoneMagic || binary.LittleEndian.Uint32(b[8:]) != 1 ||
		crc32.Checksum(b[:len(b)-4], castagnoliReader) != binary.LittleEndian.Uint32(b[len(b)-4:]) ||
		uint64(n) != tombstoneSize+earlierSize*uint64(binary.LittleEndian.Uint32(b[140:])) || b[136] > 1 || !allZero(b[137:140]) || !allZero(b[144:tombstoneSize]) {
		return nil, errTombstone
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	t := &Tombstone{
		Name: name, Why: RemovedWhy(binary.LittleEndian.Uint32(b[12:])), Stream: [16]byte(b[16:]),
		Segment: u64(32), First: u64(40), Last: u64(48), Before: [32]byte(b[56:]), Behind: [32]byte(b[88:]),
		Latest: unixTime(u64(120)), At: unixTime(u64(128)), Whole: b[136] == 1, Earlier: parseEarlier(b[tombstoneSize:n]),
	}
	t.signed, t.Key, t.signature = b[:n], readKeyID(b[n:]), b[n+keyIDSize:len(b)-4]
	if t.Segment == 0 || t.First == 0 || t.Last+1 < t.First {
		return nil, errTombstone
	}
	return t, nil
}

func readKeyID(b []byte) string { return string(bytes.TrimRight(b[:keyIDSize], "\x00")) }

// signedBy says whether the tombstone carries a signature of one of the keys.
func (t *Tombstone) signedBy(keys map[string]ed25519.PublicKey) bool {
	key, known := keys[t.Key]
	return known && ed25519.Verify(key, append([]byte(tombstoneDomain), t.signed...), t.signature)
}

// readTombstone reads the tombstone of a stream, nil where there is none.
func readTombstone(journal, stream string) (*Tombstone, error) {
	path := tombstonePath(journal, stream)
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.LimitReader(f, tombstoneSize+earlierSize*(maxHeadsListed+1)+signedFoot))
	if err != nil {
		return nil, err
	}
	t, err := parseTombstone(stream, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// maxHeadsListed bounds the streams that a first record, and a tombstone, name.
const maxHeadsListed = 512

// readTombstones reads all tombstones of a journal. What cannot be read is told to
// bad.
func readTombstones(journal string, bad func(file string, err error)) ([]*Tombstone, error) {
	entries, err := os.ReadDir(filepath.Join(journal, tombstoneFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Tombstone
	for _, e := range entries {
		stream, ours := strings.CutSuffix(e.Name(), tombstoneSuffix)
		if !ours || !streamName.MatchString(stream) {
			continue
		}
		t, err := readTombstone(journal, stream)
		if err != nil {
			bad(tombstonePath(journal, stream), err)
			continue
		}
		if t != nil {
			all = append(all, t)
		}
	}
	return all, nil
}
