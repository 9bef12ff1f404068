package audit

import (
	"hash"
	"io"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// InlineText is the longest text, in bytes, that stands in a record itself. A
// longer one is kept as a blob, whole.
const InlineText = 16 << 10

// BlobRef names a blob: a byte string that is kept beside the records, once, and
// that a record names by its keyed digest.
type BlobRef = statement.Ref

// Store keeps what is too large for a record, and digests what is not to be told.
// It is safe for concurrent use.
type Store interface {
	// Keyed begins a digest under the node's key: HMAC-SHA256, for a plain hash of
	// a short secret can be guessed. The hash is the caller's own, and can be used
	// again after Reset.
	Keyed() hash.Hash
	// Blob begins a blob. A node writes only few at once, and Blob waits for its
	// turn: begin one when its bytes are at hand, and end it by Commit or Discard.
	// Errors wrap ErrFull or ErrBroken.
	Blob() (BlobWriter, error)
}

// BlobWriter takes the bytes of a blob, in any pieces. It is used by one goroutine
// at a time, and keeps no reference to what it is given. After an error there is
// only Discard left to do.
type BlobWriter interface {
	io.Writer
	// Commit ends the blob and names it; of the same bytes there is one only. A
	// record that names it may be written from then on, and Wait for that record
	// covers the blob too. A blob of no bytes has a digest, and is not kept.
	Commit() (BlobRef, error)
	// Discard leaves nothing behind. After Commit it does nothing.
	Discard()
}
