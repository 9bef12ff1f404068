package statement

// Ref names a byte string that is kept beside the audit record, because it is too
// large to stand in one.
type Ref struct {
	Digest [32]byte // keyed: HMAC-SHA256 of the bytes
	Length int64    // of the bytes; 0 where nothing is named
	Sum    [32]byte // SHA-256 of the file that holds them
}
