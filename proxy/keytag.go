package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// A secret of 32 bytes begins with 4 bytes that stand for the node which gave it out;
// one of 4 bytes with 4 bits, so that 28 are left to guess, of which a source may try
// ten in ten seconds. Where a node is alone, all of a secret is random.
const (
	longTag  = 4 // bytes
	shortTag = 4 // bits
)

// tagOf stands for a node. It is no secret.
func tagOf(node string) (tag [longTag]byte) {
	sum := sha256.Sum256([]byte("pgcustos node " + node))
	return [longTag]byte(sum[:longTag])
}

// mark writes the node's tag into a secret.
func mark(node string, secret []byte) {
	tag := tagOf(node)
	if len(secret) > longTag {
		copy(secret, tag[:])
		return
	}
	const rest = 1<<(32-shortTag) - 1
	binary.BigEndian.PutUint32(secret, binary.BigEndian.Uint32(tag[:])&^rest|binary.BigEndian.Uint32(secret)&rest)
}

// KeyOf reports whether a node may have given out a cancel key with this secret.
func KeyOf(node string, secret []byte) bool {
	if len(secret) < longTag {
		return false
	}
	marked := slices.Clone(secret)
	mark(node, marked)
	return slices.Equal(marked, secret)
}
