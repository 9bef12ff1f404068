package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

const (
	scramIterations = 4096 // SCRAM_SHA_256_DEFAULT_ITERATIONS in scram-common.h
	scramSalt       = 16
)

var errNotASCII = errors.New("the writer's password has characters outside printable ASCII: set it with ALTER ROLE")

// scramVerifier is what PostgreSQL stores of a password (scram_build_secret in
// scram-common.c, RFC 5802 section 3). Printable ASCII needs no SASLprep.
func scramVerifier(password string) (string, error) {
	for _, c := range []byte(password) {
		if c < 0x20 || c > 0x7e {
			return "", errNotASCII
		}
	}
	salt := make([]byte, scramSalt)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", err
	}
	stored := sha256.Sum256(keyed(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(keyed(salted, "Server Key"))), nil
}

func keyed(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
