package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxSealedMemo bounds the blobs of which is remembered how they are called encrypted.
const maxSealedMemo = 1 << 14

// sealedBlobDraft is an encrypted blob that is being made.
const sealedBlobDraft = "sealed-blob.tmp"

// encryptor puts what only auditors can read in the place of containers.
type encryptor struct {
	to      Recipients // none: nothing is encrypted
	blobs   map[[32]byte][32]byte
	waiting int       // segments that a sink has not taken, in this pass
	since   time.Time // the latest record of the oldest of them
}

// begin begins a pass.
func (e *encryptor) begin() { e.waiting, e.since = 0, time.Time{} }

func (e *encryptor) wait(l *Label) {
	if e.waiting++; e.since.IsZero() || l.Latest.Before(e.since) {
		e.since = l.Latest
	}
}

// encrypt encrypts a container where recipients are configured and every sink has taken
// what is in it. before is the label of the segment before it. Cut short at any point, it
// leaves the container or all that stands for it, and can be done again.
func (a *archiver) encrypt(dir string, l, before *Label) error {
	if !a.seal.to.Any() {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, fileName(l.Segment)+packedSuffix)); err != nil {
		return ignoreMissing(err) // it is encrypted
	}
	taken, err := a.upkeep.Taken(filepath.Base(dir))
	if err != nil {
		return fmt.Errorf("what sinks have taken is not known, and so nothing is encrypted: %w", err)
	}
	if taken < l.Last {
		a.seal.wait(l)
		return nil
	}
	start, err := chainBefore(dir, l.Segment, before)
	if err != nil {
		return err
	}
	seg, err := openSegment(dir, l.Segment)
	if err != nil {
		return err
	}
	defer seg.close()
	if err := a.encryptSegment(dir, seg, l, start); err != nil {
		return errors.Join(fmt.Errorf("it stays in clear: %w", err), removeSealDrafts(dir, l.Segment))
	}
	a.observer.Encrypted(filepath.Join(dir, lockedName(l.Segment)))
	return nil
}

// removeSealDrafts removes what was being encrypted.
func removeSealDrafts(dir string, number uint64) (err error) {
	for _, name := range []string{lockedName(number), lockedIndexName(number), lockName(number), sealedBlobDraft} {
		err = errors.Join(err, removeIfThere(filepath.Join(dir, strings.TrimSuffix(name, ".tmp")+".tmp")))
	}
	return err
}

func (a *archiver) encryptSegment(dir string, seg *segmentReader, l *Label, start [32]byte) error {
	lock, content, err := a.makeLock(seg, l, start)
	if err != nil {
		return err
	}
	if err := a.encryptAsides(dir); err != nil {
		return err
	}
	sealed, err := a.encryptBlobs(dir, seg, content, lock)
	if err != nil {
		return err
	}
	if lock.Index, err = a.encryptFile(filepath.Join(dir, lockedIndexName(l.Segment)+".tmp"), bytesOf(append(content, sealed...))); err != nil {
		return err
	}
	path := filepath.Join(dir, fileName(l.Segment)+packedSuffix)
	if lock.Container, err = a.encryptFile(filepath.Join(dir, lockedName(l.Segment)+".tmp"), fileOf(path)); err != nil {
		return err
	}
	body, err := appendSigned(lock.body(), lockDomain, a.signer)
	if err != nil {
		return err
	}
	if err := a.writeFile(filepath.Join(dir, lockName(l.Segment)+".tmp"), body); err != nil {
		return err
	}
	return a.swapLocked(dir, l.Segment)
}

// makeLock reads a container whole, and says of it what can be known when it is
// encrypted. It returns the index too, made anew.
func (a *archiver) makeLock(seg *segmentReader, l *Label, start [32]byte) (*Lock, []byte, error) {
	content, seen, err := a.makeIndex(seg, start)
	if err != nil {
		return nil, nil, err
	}
	if err := l.tells(seen); err != nil {
		return nil, nil, err
	}
	x, err := parseIndex(content)
	if err != nil {
		return nil, nil, err
	}
	lock := &Lock{Label: *seen, At: time.Now(), Earlier: x.Earlier, Recipients: a.seal.to, seal: seg.seal.whole}
	lock.tiers |= l.tiers
	_, err = seg.file.ReadAt(lock.header[:], 0)
	return lock, content, err
}

// tells says whether what the label says of a segment is what was seen of it.
func (l *Label) tells(seen *Label) error {
	if seen.Stream != l.Stream || seen.First != l.First || seen.Last != l.Last || seen.Behind != l.Behind || !seen.Latest.Equal(l.Latest) {
		return fmt.Errorf("%s does not tell what the segment holds: nothing is removed, or encrypted, before that is looked into", indexName(l.Segment))
	}
	return nil
}

// swapLocked gives the encrypted files their names, and only then removes what is in
// clear.
func (a *archiver) swapLocked(dir string, number uint64) error {
	name := func(file string) func() error {
		return func() error { return os.Rename(filepath.Join(dir, file+".tmp"), filepath.Join(dir, file)) }
	}
	sync := func() error { return a.disk.syncDir(dir) }
	return a.take([]step{
		{"name the encrypted index", name(lockedIndexName(number))},
		{"name the lock", name(lockName(number))},
		{"name the encrypted container", name(lockedName(number))},
		{"sync the names of what is encrypted", sync},
		{"remove the index in clear", func() error { return removeIfThere(filepath.Join(dir, indexName(number))) }},
		{"remove the container in clear", func() error { return os.Remove(filepath.Join(dir, fileName(number)+packedSuffix)) }},
		{"sync the removal of what was in clear", sync},
	})
}

// encryptAsides encrypts what recovery set aside in the stream.
func (a *archiver) encryptAsides(dir string) error {
	asides, err := filepath.Glob(filepath.Join(dir, "*.seg.torn*"))
	if err != nil {
		return err
	}
	for _, path := range asides {
		if strings.HasSuffix(path, lockedSuffix) || strings.HasSuffix(path, ".tmp") {
			continue
		}
		if _, err := a.encryptFile(path+lockedSuffix+".tmp", fileOf(path)); err != nil {
			return err
		}
		err := a.take([]step{
			{"name what was set aside, encrypted", func() error { return os.Rename(path+lockedSuffix+".tmp", path+lockedSuffix) }},
			{"sync the name of what was set aside", func() error { return a.disk.syncDir(dir) }},
			{"remove what was set aside in clear", func() error { return os.Remove(path) }},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// encryptBlobs encrypts the blobs that the segment's records name, and lists their sums
// in the lock. It returns what stands behind the index for them.
func (a *archiver) encryptBlobs(dir string, seg *segmentReader, index []byte, lock *Lock) ([]byte, error) {
	x, err := parseIndex(index)
	if err != nil || len(x.Blobs) == 0 {
		return nil, err
	}
	paths, err := blobsOf(dir, seg.head.number)
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, sum := range x.Blobs {
		sealed, err := a.encryptBlob(dir, paths[sum], sum)
		if errors.Is(err, fs.ErrNotExist) {
			a.observer.ArchiveFailed(paths[sum], fmt.Errorf("a record of segment %d names it: %w", seg.head.number, err))
			sealed, err = [32]byte{}, nil // verify tells of it, and so does who reads the record
		} else if err == nil {
			lock.Blobs = append(lock.Blobs, sealed)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, sealed[:]...)
	}
	slices.SortFunc(lock.Blobs, compareSums)
	lock.Blobs = slices.Compact(lock.Blobs)
	return list, nil
}

// encryptBlob encrypts a blob, once so long as this process remembers it.
func (a *archiver) encryptBlob(dir, path string, sum [32]byte) ([32]byte, error) {
	if sealed, ok := a.seal.blobs[sum]; ok {
		if _, err := os.Lstat(sealedBlobPath(a.path, sealed)); err == nil {
			return sealed, nil
		}
	}
	if _, err := os.Lstat(path); err != nil {
		return sum, err
	}
	draft := filepath.Join(dir, sealedBlobDraft)
	file, err := a.encryptFile(draft, fileOf(path))
	if err != nil {
		return sum, err
	}
	to := sealedBlobPath(a.path, file.Sum)
	if err := os.Mkdir(filepath.Dir(to), 0o700); err == nil {
		err = a.disk.syncDir(filepath.Join(a.path, blobFolder))
		if err != nil {
			return sum, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return sum, err
	}
	err = a.take([]step{
		{"name an encrypted blob", func() error { return os.Rename(draft, to) }},
		{"sync the name of an encrypted blob", func() error { return a.disk.syncDir(filepath.Dir(to)) }},
	})
	if len(a.seal.blobs) >= maxSealedMemo {
		clear(a.seal.blobs)
	}
	a.seal.blobs[sum] = file.Sum
	return file.Sum, err
}
