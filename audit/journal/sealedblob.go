package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/pgcustos/pgcustos/audit"
)

// sealedBlobs finds the blobs of an encrypted segment. It is safe for concurrent use.
type sealedBlobs struct {
	dir    string // of the stream
	number uint64
	keys   *Identities

	once sync.Once
	sums map[[32]byte][32]byte // of the encrypted file, by that of the file in clear; zeros where it was missing
	err  error
}

// sealedBlobPath is where an encrypted blob is.
func sealedBlobPath(journal string, sum [32]byte) string {
	name := hex.EncodeToString(sum[:])
	return filepath.Join(journal, blobFolder, name[:blobShard], name+blobSealed)
}

// find returns the sum of the encrypted file of a blob.
func (s *sealedBlobs) find(sum [32]byte) ([32]byte, error) {
	s.once.Do(func() { s.sums, s.err = s.read() })
	sealed, ok := s.sums[sum]
	switch {
	case s.err != nil:
		return sealed, s.err
	case !ok || sealed == [32]byte{}:
		return sealed, fmt.Errorf("it is missing: %w", fs.ErrNotExist)
	}
	return sealed, nil
}

func (s *sealedBlobs) read() (map[[32]byte][32]byte, error) {
	index, blobs, err := readLockedIndex(s.dir, s.number, s.keys)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(index)
	if err != nil {
		return nil, err
	}
	sums := make(map[[32]byte][32]byte, len(blobs))
	for i, of := range x.Blobs {
		sums[of] = blobs[i]
	}
	return sums, nil
}

// list is what the lock has to list.
func (s *sealedBlobs) list() (all [][32]byte, err error) {
	s.once.Do(func() { s.sums, s.err = s.read() })
	for _, sum := range s.sums {
		if sum != [32]byte{} {
			all = append(all, sum)
		}
	}
	slices.SortFunc(all, compareSums)
	return slices.Compact(all), s.err
}

// open reads the blob of a reference, as OpenBlob does.
func (s *sealedBlobs) open(ref *audit.BlobRef) (io.ReadCloser, error) {
	f, plain, err := s.decrypt(ref)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("it is missing: %w", fs.ErrNotExist)
		}
		return nil, fmt.Errorf("%s: %w", blobName(ref), err)
	}
	return newBlobReader(ref, plain, f)
}

func (s *sealedBlobs) decrypt(ref *audit.BlobRef) (*os.File, io.Reader, error) {
	sum, err := s.find(ref.Sum)
	if err != nil {
		return nil, nil, err
	}
	f, err := openFile(sealedBlobPath(filepath.Dir(s.dir), sum))
	if err != nil {
		return nil, nil, err
	}
	plain, err := s.keys.decrypt(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("it cannot be decrypted: %w", err), f.Close())
	}
	return f, plain, nil
}

// check says what is wrong with the blob's file.
func (s *sealedBlobs) check(ref *audit.BlobRef) error {
	f, plain, err := s.decrypt(ref)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	h := sha256.New()
	if _, err := io.Copy(h, plain); err != nil {
		return errBlobChanged
	}
	return sameSum(h.Sum(nil), ref.Sum[:])
}
