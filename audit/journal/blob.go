package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/pgcustos/pgcustos/audit"
)

// The names of blobs (FORMAT.md, section 11).
const (
	blobFolder = "blobs"
	blobPlain  = ".zst"
	blobSealed = ".zst" + lockedSuffix
	blobShard  = 3 // digits of the digest that name a folder
	blobField  = 72
)

// blobBase is the name of a blob's file, without what its form puts behind it.
func blobBase(ref *audit.BlobRef) string {
	return hex.EncodeToString(ref.Digest[:]) + "-" + hex.EncodeToString(ref.Sum[:])
}

// blobPath is where a blob is, without what its form puts behind it.
func blobPath(journal string, ref *audit.BlobRef) string {
	base := blobBase(ref)
	return filepath.Join(journal, blobFolder, base[:blobShard], base)
}

// appendRef appends a reference as a field holds it.
func appendRef(b []byte, ref *audit.BlobRef) []byte {
	b = append(b, ref.Digest[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(ref.Length))
	return append(b, ref.Sum[:]...)
}

var errRef = errors.New("a reference to a blob is malformed")

// decodeRef reads a reference off a field.
func decodeRef(v []byte) (*audit.BlobRef, error) {
	if !validRef(v) {
		return nil, errRef
	}
	return &audit.BlobRef{Digest: [32]byte(v), Length: int64(binary.LittleEndian.Uint64(v[32:])), Sum: [32]byte(v[40:])}, nil
}

func validRef(v []byte) bool {
	return len(v) == blobField && int64(binary.LittleEndian.Uint64(v[32:])) > 0
}

// errBlobChanged says that a file is not what the record says of it.
var errBlobChanged = errors.New("it was changed")

// blobName names a blob in words.
func blobName(ref *audit.BlobRef) string {
	return fmt.Sprintf("the blob %s…", hex.EncodeToString(ref.Digest[:8]))
}

func sameSum(a, b []byte) error {
	if !bytes.Equal(a, b) {
		return errBlobChanged
	}
	return nil
}
