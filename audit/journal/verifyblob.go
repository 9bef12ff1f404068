package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/pgcustos/pgcustos/audit"
)

// blobCheck proves the blobs of a journal, each once. It is safe for concurrent use.
type blobCheck struct {
	journal string

	mu   sync.Mutex
	seen map[blobID]error // guarded by mu
}

// blobID is what the name of a blob's file is made of.
type blobID struct {
	digest, sum [32]byte
	by          string // of an encrypted one: the segment that names it
}

// check says what is wrong with the blob of a reference.
func (c *blobCheck) check(field []byte, sealed *sealedBlobs) error {
	ref, err := decodeRef(field)
	if err != nil {
		return err
	}
	id := blobID{digest: ref.Digest, sum: ref.Sum}
	if sealed != nil {
		id.by = sealed.dir + lockName(sealed.number)
	}
	return c.once(id, func() error { return tellBlob(ref, c.look(ref, sealed)) })
}

func (c *blobCheck) look(ref *audit.BlobRef, sealed *sealedBlobs) error {
	if sealed != nil {
		return sealed.check(ref)
	}
	return checkBlob(c.journal, ref)
}

// checkSealed says what is wrong with an encrypted blob, as far as its name tells.
func (c *blobCheck) checkSealed(sum [32]byte) error {
	return c.once(blobID{sum: sum, by: lockedSuffix}, func() error { return sumFile(sealedBlobPath(c.journal, sum), sum, maxSealed) })
}

// once looks at a blob the first time that it is asked for.
func (c *blobCheck) once(id blobID, look func() error) error {
	c.mu.Lock()
	err, seen := c.seen[id]
	c.mu.Unlock()
	if seen {
		return err
	}
	err = look()
	c.mu.Lock()
	c.seen[id] = err
	c.mu.Unlock()
	return err
}

// tellBlob says it of the blob by its name.
func tellBlob(ref *audit.BlobRef, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s is missing", blobName(ref))
	case errors.Is(err, errBlobChanged):
		err = fmt.Errorf("%s was changed", blobName(ref))
	case err != nil:
		err = fmt.Errorf("%s: %w", blobName(ref), err)
	}
	return err
}
