package journal

import (
	"crypto"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// appendSigned puts key id, signature and sum behind what is to be signed; zeros
// without a signer.
func appendSigned(body []byte, domain string, signer crypto.Signer) ([]byte, error) {
	foot := make([]byte, signedFoot-4)
	if signer != nil {
		signature, err := signer.Sign(rand.Reader, append([]byte(domain), body...), crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		copy(foot, keyID(signer.Public()))
		copy(foot[keyIDSize:], signature)
	}
	b := append(body, foot...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoliReader)), nil
}

// writeTombstone puts a tombstone in the place of an older one of its stream, for
// good.
func (a *archiver) writeTombstone(t *Tombstone) error {
	b, err := appendSigned(t.body(), tombstoneDomain, a.signer)
	if err != nil {
		return err
	}
	folder := filepath.Join(a.path, tombstoneFolder)
	if err := os.Mkdir(folder, 0o700); err == nil {
		err = a.disk.syncDir(a.path)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	path := tombstonePath(a.path, t.Name)
	if err := a.writeFile(path+".tmp", b); err != nil {
		return err
	}
	if err := a.step("name the tombstone"); err != nil {
		return err
	}
	return errors.Join(os.Rename(path+".tmp", path), a.disk.syncDir(folder))
}
