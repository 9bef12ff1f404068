package journal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
)

// DigestKey is the key of the keyed digests (HMAC-SHA256) that stand in records
// and name blobs. It can be compared, and not be printed. The zero value is none.
type DigestKey struct {
	key [sha256.Size]byte
	set bool
}

const digestKeyType = "PGCUSTOS DIGEST KEY"

// NewDigestKey makes a key.
func NewDigestKey() DigestKey {
	k := DigestKey{set: true}
	_, _ = rand.Read(k.key[:]) // never fails (crypto/rand)
	return k
}

// ReadDigestKey reads a key: one PEM block of the type PGCUSTOS DIGEST KEY with 32
// bytes.
func ReadDigestKey(text []byte) (DigestKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return DigestKey{}, errors.New("no PEM")
	}
	defer clear(block.Bytes)
	if block.Type != digestKeyType {
		return DigestKey{}, fmt.Errorf("PEM of type %q: a %s is needed", block.Type, digestKeyType)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return DigestKey{}, errors.New("more than one PEM block")
	}
	k := DigestKey{set: true}
	if len(block.Bytes) != len(k.key) {
		return DigestKey{}, fmt.Errorf("a key of %d bytes: it must have %d", len(block.Bytes), len(k.key))
	}
	copy(k.key[:], block.Bytes)
	return k, nil
}

// PEM returns the key as a file holds it.
func (k DigestKey) PEM() *pem.Block { return &pem.Block{Type: digestKeyType, Bytes: k.key[:]} }

// Set reports whether there is a key.
func (k DigestKey) Set() bool { return k.set }

// Hash begins a keyed digest.
func (k DigestKey) Hash() hash.Hash { return hmac.New(sha256.New, k.key[:]) }

// Format implements fmt.Formatter: the key is a secret.
func (k DigestKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "digest key") }
