package journal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// believeLock is all that can be proven of an encrypted segment before it is removed: the
// lock is this node's own, and of this segment. before is the chain's value before it.
func (r *retainer) believeLock(seg *segmentReader, before [32]byte) (*Label, error) {
	l := seg.lock
	public, _ := r.signer.Public().(ed25519.PublicKey)
	if !l.signedBy(map[string]ed25519.PublicKey{keyID(public): public}) {
		return nil, fmt.Errorf("%s is not signed by journal.signing_key: what it says is not believed, and the segment stays", lockName(l.Segment))
	}
	if l.Before != before {
		return nil, fmt.Errorf("%s has another chain value than the segment before it: nothing is removed before that is looked into", lockName(l.Segment))
	}
	if err := sumFile(seg.path, l.Container.Sum, l.Container.Size); err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be proven: nothing is removed before that is looked into", filepath.Base(seg.path)), err)
	}
	return &l.Label, nil
}

// earlier are the streams that the segment's first record says it follows.
func (h *oldest) earlier() ([]Earlier, error) {
	if h.lock != nil {
		return h.lock.Earlier, nil
	}
	x, err := readIndex(h.dir, h.label.Segment)
	if err != nil {
		return nil, err
	}
	return x.Earlier, nil
}

// beside says whether the file is one that an encrypted segment has beside it, and must
// not be without.
func beside(file string) bool {
	return strings.HasSuffix(file, lockSuffix) || strings.HasSuffix(file, lockedIndexSuffix)
}

// removeBeside removes what stood beside an encrypted segment that is gone for good, and
// beside those before it.
func removeBeside(dir string, number uint64) (err error) {
	for _, suffix := range []string{lockSuffix, lockedIndexSuffix} {
		files, bad := filepath.Glob(filepath.Join(dir, "*"+suffix))
		err = errors.Join(err, bad)
		for _, path := range files {
			if of, ok := numberOf(filepath.Base(path), suffix); ok && of <= number {
				err = errors.Join(err, removeIfThere(path))
			}
		}
	}
	return err
}
