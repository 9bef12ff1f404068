package journal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// This reads encrypted segments as audit/FORMAT.md says, sharing no code with the
// package: it proves their locks, and restores the segments.

// unlockIndependently makes a copy of a journal in which every encrypted segment is plain.
func unlockIndependently(from, to string, key ed25519.PublicKey, id age.Identity) (locks int, err error) {
	err = filepath.Walk(from, func(path string, info os.FileInfo, err error) error {
		rel, _ := filepath.Rel(from, path)
		target := filepath.Join(to, rel)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return os.MkdirAll(target, 0o700)
		case strings.HasSuffix(path, ".lock") && filepath.Dir(path) != from:
			locks++
			return lockIndependently(path, key)
		case strings.HasSuffix(path, ".seg.zst.age"):
			b, err := openIndependently(path, id)
			if err != nil {
				return err
			}
			plain, err := unpackIndependently(b)
			if err != nil {
				return err
			}
			return os.WriteFile(strings.TrimSuffix(target, ".zst.age"), plain, 0o600)
		case strings.HasSuffix(path, ".seg"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, b, 0o600)
		}
		return nil
	})
	return locks, err
}

func openIndependently(path string, id age.Identity) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := age.Decrypt(f, id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

func unpackIndependently(b []byte) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// lockIndependently proves a lock by itself, and the files that it names.
func lockIndependently(path string, key ed25519.PublicKey) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	le, n := binary.LittleEndian, len(b)-84
	base := strings.TrimSuffix(path, ".lock")
	if string(b[:8]) != "PGCUSTLK" || le.Uint32(b[8:]) != 1 || le.Uint32(b[n+80:]) != crc32.Checksum(b[:n+80], crc32.MakeTable(crc32.Castagnoli)) {
		return fmt.Errorf("%s: not a lock", path)
	}
	if !ed25519.Verify(key, append([]byte("pgcustos lock 1\n"), b[:n]...), b[n+16:n+80]) {
		return fmt.Errorf("%s: the signature is wrong", path)
	}
	id := sha256.Sum256(key)
	if string(b[n:n+16]) != hex.EncodeToString(id[:8]) {
		return fmt.Errorf("%s: signed by %q", path, b[n:n+16])
	}
	for _, f := range []struct {
		at   int
		name string
	}{{24, base + ".seg.zst.age"}, {64, base + ".idx.age"}} {
		content, err := os.ReadFile(f.name)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(content); le.Uint64(b[f.at:]) != uint64(len(content)) || !bytes.Equal(sum[:], b[f.at+8:f.at+40]) {
			return fmt.Errorf("%s is not the one of the lock", f.name)
		}
	}
	at := 4448 + 56*int(le.Uint32(b[192:]))
	for range le.Uint32(b[196:]) {
		sum := hex.EncodeToString(b[at : at+32])
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), "..", "blobs", sum[:3], sum+".zst.age"))
		if err != nil {
			return err
		}
		if have := sha256.Sum256(content); hex.EncodeToString(have[:]) != sum {
			return fmt.Errorf("the blob %s was changed", sum)
		}
		at += 32
	}
	if !strings.HasPrefix(string(b[at:n]), "age1") || n-at != int(le.Uint32(b[200:])) {
		return fmt.Errorf("%s: recipients %q", path, b[at:n])
	}
	return nil
}
