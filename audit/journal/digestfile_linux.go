package journal

import (
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// digestKeyName is the file in the journal's directory that holds the key where no
// other is configured.
const digestKeyName = "digest.key"

// nodeKey returns the key of a journal that was given none: the one in its
// directory, which it makes there where it is not. Of two processes that start at
// once one makes it, and both use it.
func nodeKey(path string, id *identity) (DigestKey, error) {
	name := filepath.Join(path, digestKeyName)
	key, err := readKeyFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	draft := filepath.Join(path, hex.EncodeToString(id.stream[:])+".tmp")
	if err := writeKeyFile(draft, NewDigestKey(), id.disk); err != nil {
		return DigestKey{}, diskError(errors.Join(err, ignoreMissing(os.Remove(draft))))
	}
	// Link, unlike Rename, leaves what is there already.
	err = os.Link(draft, name)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err = errors.Join(err, os.Remove(draft)); err == nil {
		err = id.disk.syncDir(path)
	}
	if err != nil {
		return DigestKey{}, diskError(err)
	}
	return readKeyFile(name)
}

func readKeyFile(name string) (DigestKey, error) {
	info, err := os.Stat(name)
	if err != nil {
		return DigestKey{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return DigestKey{}, fmt.Errorf("journal: %s is open to others (mode %04o): it must be 0600", name, info.Mode().Perm())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return DigestKey{}, err
	}
	defer clear(text)
	key, err := ReadDigestKey(text)
	if err != nil {
		return DigestKey{}, fmt.Errorf("journal: %s: %w", name, err)
	}
	return key, nil
}

func writeKeyFile(name string, key DigestKey, d disk) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = pem.Encode(f, key.PEM())
	if err == nil {
		err = d.sync(f)
	}
	return errors.Join(err, f.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
