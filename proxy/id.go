package proxy

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// crockford is base 32 without letters that are read as digits, in lower case:
// ids are read out over the telephone.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newSessionID makes a session's id: 26 characters, which sort by time, and 80
// random bits, so that nodes need not agree.
func newSessionID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails: it ends the program instead
	return crockford.EncodeToString(b[:])
}

// newIncident makes the id that the client, the log and the record share: 16
// characters, 80 random bits.
func newIncident() string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	return crockford.EncodeToString(b[:])
}
