package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// journal tries to write in the journal's directory, or in the one that it
// would be made in.
func (r *report) journal(o *journal.Options) {
	path := o.Path
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		r.warn("journal %s: does not exist yet, serve makes it", path)
		return
	}
	switch {
	case err != nil:
		r.fail("journal %s: %v", path, err)
		return
	case !info.IsDir():
		r.fail("journal %s: is not a directory", path)
		return
	case info.Mode().Perm()&0o027 != 0:
		r.fail("journal %s: has mode %04o and holds what people did: run chmod 0700 on it (0750 is the widest)", path, info.Mode().Perm())
		return
	}
	f, err := os.CreateTemp(path, ".check-*.tmp")
	if err != nil {
		r.fail("journal %s: cannot be written: %v", path, err)
		return
	}
	name := f.Name()
	_, err = f.Write(make([]byte, 1<<16))
	for _, step := range []func() error{f.Sync, f.Close, func() error { return os.Remove(name) }} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		r.fail("journal %s: cannot be written: %v", path, err)
		return
	}
	r.ok("journal %s: can be written", path)
	r.room(o)
}

// fewSegments is how many segments there should be room for, at least: the one
// that is written, the one that is made, and hours to notice.
const fewSegments = 16

// room looks at what is left of the journal's file system: when it is full,
// statements are refused.
func (r *report) room(o *journal.Options) {
	free, err := freeSpace(o.Path)
	segments := free / uint64(o.SegmentSize)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		r.warn("journal %s: how much room there is cannot be told: %v", o.Path, err)
	case segments < 2:
		r.fail("journal %s: %d MiB free, room for %d segments of %d MiB: the proxy would refuse statements", o.Path, free>>20, segments, o.SegmentSize>>20)
	case segments < fewSegments:
		r.warn("journal %s: %d MiB free, room for %d segments of %d MiB", o.Path, free>>20, segments, o.SegmentSize>>20)
	default:
		r.ok("journal %s: %d MiB free", o.Path, free>>20)
	}
}

// signer signs something, and proves it.
func (r *report) signer(s crypto.Signer) {
	if s == nil {
		return // the configuration has a warning
	}
	message := []byte("pgcustos check")
	key, ok := s.Public().(ed25519.PublicKey)
	signature, err := s.Sign(rand.Reader, message, crypto.Hash(0))
	switch {
	case !ok:
		r.fail("signing key: is a %T, and not Ed25519", s.Public())
	case err != nil:
		r.fail("signing key %s: %v", journal.KeyID(key), err)
	case !ed25519.Verify(key, message, signature):
		r.fail("signing key %s: its signatures do not hold against its own public key", journal.KeyID(key))
	default:
		r.ok("signing key %s: signs", journal.KeyID(key))
	}
}
