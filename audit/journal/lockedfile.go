package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// lockedFile is an encrypted segment as those see it who cannot read it: its header and
// its seal, and a *LockedError between them.
type lockedFile struct {
	lock  *Lock
	path  string // of the encrypted container
	tried bool   // no identity that was given opens it
}

func (f *lockedFile) size() (int64, error) { return f.lock.Size, nil }

// Close implements io.Closer.
func (f *lockedFile) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (f *lockedFile) ReadAt(p []byte, off int64) (n int, err error) {
	seal := f.lock.Size - sealSize
	switch {
	case off >= f.lock.Size:
		return 0, io.EOF
	case off >= seal:
		n = copy(p, f.lock.seal[off-seal:])
		if n < len(p) {
			err = io.EOF
		}
		return n, err
	case off < headerSize:
		n = copy(p, f.lock.header[off:])
	}
	if n < len(p) {
		err = f.err()
	}
	return n, err
}

func (f *lockedFile) err() error {
	return &LockedError{File: f.path, Recipients: f.lock.Recipients.Names(), Tried: f.tried}
}

// openLocked opens an encrypted segment, for reading where keys open it.
func openLocked(dir string, number uint64, keys *Identities) (*segmentReader, error) {
	path := filepath.Join(dir, lockedName(number))
	if _, err := os.Lstat(path); err != nil {
		return nil, err
	}
	lock, err := readLock(dir, number)
	if err != nil {
		return nil, err
	}
	var file segmentFile = &lockedFile{lock: lock, path: path}
	if keys != nil {
		if file, err = unlock(path, lock, keys); err != nil {
			return nil, err
		}
	}
	seg, err := newSegmentReader(file, path)
	if err != nil {
		return nil, err
	}
	seg.lock = lock
	if !lock.is(seg.head) {
		seg.close()
		return nil, seg.corrupt(0, "it is not the segment that its lock is of")
	}
	if keys != nil {
		seg.head.sealed = &sealedBlobs{dir: dir, number: number, keys: keys}
	}
	return seg, nil
}

// unlock opens an encrypted container. Where no key fits it returns it locked.
func unlock(path string, lock *Lock, keys *Identities) (segmentFile, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	plain, size, err := keys.decryptAt(file, info.Size())
	switch {
	case strange(err):
		return &lockedFile{lock, path, true}, file.Close()
	case err != nil:
		_ = file.Close()
		return nil, &CorruptionError{File: path, Reason: "it cannot be decrypted: " + err.Error()}
	}
	return newContainer(&decrypted{plain, path}, file, size, path)
}

// decrypted reads a file that is encrypted. It is safe for concurrent use.
type decrypted struct {
	io.ReaderAt
	path string
}

// ReadAt implements io.ReaderAt. What does not decrypt is a *CorruptionError.
func (d *decrypted) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(p, off)
	var system *fs.PathError
	switch {
	case n == len(p):
		err = nil
	case err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &system):
		err = &CorruptionError{File: d.path, Offset: off, Reason: "it cannot be decrypted: " + err.Error()}
	}
	return n, err
}

// readLockedIndex reads an encrypted index whole, and the sums of the encrypted blobs
// behind it.
func readLockedIndex(dir string, number uint64, keys *Identities) (index []byte, blobs [][32]byte, err error) {
	path := filepath.Join(dir, lockedIndexName(number))
	file, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	plain, err := keys.decrypt(file)
	if err == nil {
		index, err = io.ReadAll(io.LimitReader(plain, labelSize+maxSpans))
	}
	if err != nil {
		return nil, nil, &CorruptionError{File: path, Reason: "it cannot be decrypted: " + err.Error()}
	}
	label, err := parseLabel(index)
	if err != nil {
		return nil, nil, err
	}
	end := labelSize + uint64(label.blobs) + uint64(label.earlier) + uint64(label.spansSize)
	if uint64(len(index)) != end+uint64(label.blobs) {
		return nil, nil, errIndex
	}
	for list := index[end:]; len(list) > 0; list = list[sumSize:] {
		blobs = append(blobs, [32]byte(list))
	}
	return index[:end], blobs, nil
}
