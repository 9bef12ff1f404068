package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/pgcustos/pgcustos/audit"
)

// maxBlobWindow bounds the memory that reading a blob takes, whatever its file says.
const maxBlobWindow = 8 << 20

// OpenBlob reads a blob of the journal in the directory. Read fails at the end, with
// an error that names the blob, where its file is not what the reference says. The
// error wraps fs.ErrNotExist where it is missing.
func OpenBlob(journal string, ref *audit.BlobRef) (io.ReadCloser, error) {
	f, err := openFile(blobPath(journal, ref) + blobPlain)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("it is missing: %w", fs.ErrNotExist)
		}
		return nil, fmt.Errorf("%s: %w", blobName(ref), err)
	}
	return newBlobReader(ref, f, f)
}

// newBlobReader reads a blob from what its file holds. It owns the file.
func newBlobReader(ref *audit.BlobRef, packed io.Reader, f *os.File) (_ io.ReadCloser, err error) {
	b := &blobReader{ref: *ref, file: f, hash: sha256.New()}
	b.tee = io.TeeReader(packed, b.hash)
	b.from, err = zstd.NewReader(b.tee, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxBlobWindow))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

type blobReader struct {
	ref  audit.BlobRef
	file *os.File
	hash hash.Hash
	tee  io.Reader
	from *zstd.Decoder
	n    int64
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.ref.Length:
		err = errBlobChanged
	case errors.Is(err, io.EOF):
		if end := b.atEnd(); end != nil {
			err = end
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", blobName(&b.ref), err)
	}
	return n, err
}

// atEnd holds what was read against the reference.
func (b *blobReader) atEnd() error {
	if _, err := io.Copy(io.Discard, b.tee); err != nil {
		return err
	}
	if b.n != b.ref.Length {
		return errBlobChanged
	}
	return sameSum(b.hash.Sum(nil), b.ref.Sum[:])
}

// Close implements io.Closer.
func (b *blobReader) Close() error {
	b.from.Close()
	return b.file.Close()
}

// checkBlob says what is wrong with a blob's file: it is missing, or was changed.
func checkBlob(journal string, ref *audit.BlobRef) error {
	err := sumFile(blobPath(journal, ref)+blobPlain, ref.Sum, mostPacked(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is missing: %w", fs.ErrNotExist)
	}
	return err
}

// mostPacked is more bytes than a blob's file can have.
func mostPacked(ref *audit.BlobRef) int64 {
	return 64<<10 + 2*min(ref.Length, math.MaxInt64/4)
}

// maxSealed is more bytes than an encrypted blob can have.
const maxSealed = 8 << 30

// sumFile reads a file, of so many bytes at most, and holds it against its SHA-256.
func sumFile(path string, sum [32]byte, most int64) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, most+1))
	if err != nil {
		return err
	}
	if n > most {
		return errBlobChanged
	}
	return sameSum(h.Sum(nil), sum[:])
}
