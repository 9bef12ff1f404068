package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/pgcustos/pgcustos/audit"
)

const (
	// knownBlobs bounds the blobs that the store remembers.
	knownBlobs = 4096
	// touchEvery is how often a blob that is used again says so in its time of
	// change, which keeps it from being removed (retainer.sweep).
	touchEvery = 10 * time.Minute
	// loosest is how many blobs may wait for the next flush before Commit syncs its
	// own.
	loosest = 64
	// blobWindow bounds the memory that writing and reading a blob take.
	blobWindow = 1 << 20
)

// blobStore keeps blobs as files of their own (FORMAT.md, section 11).
type blobStore struct {
	// Static.
	journal string // the directory
	drafts  string // where files are made: the stream's directory, on the same file system
	key     DigestKey
	disk    disk
	turns   chan struct{} // holds one for each blob that is written at this moment
	whole   *zstd.Encoder // for what is there whole
	streams sync.Pool     // of *zstd.Encoder
	hashes  chan *keyed   // those that nobody uses
	number  atomic.Uint64 // of the last draft

	mu sync.Mutex
	// Guarded by mu.
	known map[[32]byte]knownBlob
	loose []looseBlob // that have their name, and are not on the disk for sure
}

type knownBlob struct {
	ref     audit.BlobRef
	touched time.Time
}

// looseBlob is a blob's file and the directory that names it. Both are still open: a
// flush that had to open one could fail for want of descriptors, and what could not be
// flushed ends the journal.
type looseBlob struct{ file, dir *os.File }

func (b *looseBlob) close() error { return errors.Join(b.file.Close(), b.dir.Close()) }

func (s *blobStore) init(o *Options, stream string, d disk) error {
	s.disk = d
	s.journal, s.drafts, s.key = o.Path, stream, o.DigestKey
	s.turns = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	s.known = map[[32]byte]knownBlob{}
	s.hashes = make(chan *keyed, max(8, 2*runtime.GOMAXPROCS(0)))
	var err error
	s.whole, err = zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithWindowSize(blobWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(o.Path, blobFolder), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return diskError(err)
	}
	return nil
}

// wrap puts the encryption between what is compressed and the file.
func (s *blobStore) wrap(w io.Writer) io.WriteCloser { return plain{w} }

// form is what stands behind the names of the blobs that are written.
func (s *blobStore) form() string { return blobPlain }

type plain struct{ io.Writer }

// Close implements io.Closer.
func (plain) Close() error { return nil }

// keep makes a blob of a text that has this digest.
func (s *blobStore) keep(digest [32]byte, text string) (audit.BlobRef, error) {
	if ref, ok := s.find(digest, int64(len(text))); ok {
		return ref, nil
	}
	d, err := s.draft()
	if err != nil {
		return audit.BlobRef{}, err
	}
	packed := s.whole.EncodeAll([]byte(text), nil)
	if _, err := d.out.Write(packed); err != nil {
		return audit.BlobRef{}, d.fail(err)
	}
	return s.name(d, audit.BlobRef{Digest: digest, Length: int64(len(text))})
}

// find returns the blob of a digest where it is there already, and whole.
func (s *blobStore) find(digest [32]byte, length int64) (audit.BlobRef, bool) {
	s.mu.Lock()
	k, ok := s.known[digest]
	s.mu.Unlock()
	if ok && time.Since(k.touched) < touchEvery {
		return k.ref, true
	}
	if !ok {
		if k.ref, ok = s.look(digest, length); !ok {
			return audit.BlobRef{}, false
		}
	}
	now := time.Now()
	if os.Chtimes(blobPath(s.journal, &k.ref)+s.form(), now, now) != nil {
		s.forget(digest)
		return audit.BlobRef{}, false
	}
	s.remember(k.ref, now)
	return k.ref, true
}

// use says of a blob that a record is about to name it: until its time, and a while
// behind it, no sweep removes it. One that is gone must not be named.
func (s *blobStore) use(ref audit.BlobRef) error {
	now := time.Now()
	s.mu.Lock()
	k, ok := s.known[ref.Digest]
	s.mu.Unlock()
	if ok && k.ref == ref && now.Sub(k.touched) < touchEvery {
		return nil
	}
	if err := os.Chtimes(blobPath(s.journal, &ref)+s.form(), now, now); err != nil {
		s.forget(ref.Digest)
		return diskError(fmt.Errorf("%s, which a record names, is not there: %w", blobName(&ref), err))
	}
	s.remember(ref, now)
	return nil
}

// look finds a blob that was written before the store remembers. Its bytes are
// held against its name: nothing that was changed is named again.
func (s *blobStore) look(digest [32]byte, length int64) (audit.BlobRef, bool) {
	name := hex.EncodeToString(digest[:])
	dir := filepath.Join(s.journal, blobFolder, name[:blobShard])
	entries, _ := os.ReadDir(dir) //nolint:errcheck // nothing there is nothing known
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), name+"-")
		rest, ours := strings.CutSuffix(rest, s.form())
		sum, err := hex.DecodeString(rest)
		if !ok || !ours || err != nil || len(sum) != sha256.Size {
			continue
		}
		ref := audit.BlobRef{Digest: digest, Length: length, Sum: [32]byte(sum)}
		if sumFile(filepath.Join(dir, e.Name()), ref.Sum, mostPacked(&ref)) == nil {
			return ref, true
		}
	}
	return audit.BlobRef{}, false
}

func (s *blobStore) remember(ref audit.BlobRef, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for digest := range s.known {
		if len(s.known) < knownBlobs {
			break
		}
		delete(s.known, digest)
	}
	s.known[ref.Digest] = knownBlob{ref, at}
}

func (s *blobStore) forget(digest [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, digest)
}

// blobDraft is a blob's file that has no name yet.
type blobDraft struct {
	file *os.File
	sum  *sumWriter
	out  io.WriteCloser // what is compressed goes here
}

func (s *blobStore) draft() (*blobDraft, error) {
	name := filepath.Join(s.drafts, fmt.Sprintf("blob-%d.tmp", s.number.Add(1)))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	d := &blobDraft{file: f, sum: &sumWriter{to: f, hash: sha256.New()}}
	d.out = s.wrap(d.sum)
	return d, nil
}

// fail takes the file away, and says why.
func (d *blobDraft) fail(err error) error {
	d.drop()
	return diskError(err)
}

func (d *blobDraft) drop() {
	_ = d.file.Close()
	_ = os.Remove(d.file.Name())
}

// name gives a draft that is complete its name: ref, with the sum.
func (s *blobStore) name(d *blobDraft, ref audit.BlobRef) (audit.BlobRef, error) {
	if err := d.out.Close(); err != nil {
		return audit.BlobRef{}, d.fail(err)
	}
	d.sum.hash.Sum(ref.Sum[:0])
	path := blobPath(s.journal, &ref) + s.form()
	dir, err := s.shard(filepath.Dir(path))
	if err != nil {
		return audit.BlobRef{}, d.fail(err)
	}
	if err := os.Rename(d.file.Name(), path); err != nil {
		_ = dir.Close()
		return audit.BlobRef{}, d.fail(err)
	}
	if err := s.loosen(looseBlob{d.file, dir}); err != nil {
		return audit.BlobRef{}, diskError(err)
	}
	s.remember(ref, time.Now())
	return ref, nil
}

// shard opens a directory that blobs are named in, and makes it where it is missing.
func (s *blobStore) shard(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if !errors.Is(err, os.ErrNotExist) {
		return dir, err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := s.disk.syncNames(parent); err != nil {
		_ = os.Remove(path) // whoever finds it takes its name for one that lasts
		return nil, err
	}
	return os.Open(path)
}

// loosen leaves the syncing of a blob to the next flush, or does it at once where
// much is left already.
func (s *blobStore) loosen(b looseBlob) error {
	s.mu.Lock()
	full := len(s.loose) >= loosest
	if !full {
		s.loose = append(s.loose, b)
	}
	s.mu.Unlock()
	if full {
		return s.settle(b)
	}
	return nil
}

// sync brings all blobs that were committed to the disk.
func (s *blobStore) sync() error {
	s.mu.Lock()
	loose := s.loose
	s.loose = nil
	s.mu.Unlock()
	var err error
	for _, b := range loose {
		err = errors.Join(err, s.settle(b))
	}
	return err
}

func (s *blobStore) settle(b looseBlob) error {
	return errors.Join(s.disk.syncData(b.file), s.disk.syncNames(b.dir), b.close())
}

// drop closes the files that nobody will sync any more.
func (s *blobStore) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.loose {
		_ = b.close()
	}
	s.loose = nil
}
