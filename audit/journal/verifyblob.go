package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// blobCheck proves the blobs of a journal, each once. It is safe for concurrent use.
type blobCheck struct {
	journal string

	mu   sync.Mutex
	seen map[blobID]error // guarded by mu
}

// blobID is what the name of a blob's file is made of.
type blobID struct{ digest, sum [32]byte }

// check says what is wrong with the blob of a reference.
func (c *blobCheck) check(field []byte) error {
	ref, err := decodeRef(field)
	if err != nil {
		return err
	}
	id := blobID{ref.Digest, ref.Sum}
	c.mu.Lock()
	err, seen := c.seen[id]
	c.mu.Unlock()
	if seen {
		return err
	}
	err = checkBlob(c.journal, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s is missing", blobName(ref))
	case errors.Is(err, errBlobChanged):
		err = fmt.Errorf("%s was changed", blobName(ref))
	case err != nil:
		err = fmt.Errorf("%s: %w", blobName(ref), err)
	}
	c.mu.Lock()
	c.seen[id] = err
	c.mu.Unlock()
	return err
}
