package journal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// fileKey is a private key that was read from a file. It can be compared, and not
// be printed.
type fileKey struct {
	private [ed25519.PrivateKeySize]byte
}

var _ crypto.Signer = fileKey{}

// Public implements crypto.Signer.
func (k fileKey) Public() crypto.PublicKey {
	return ed25519.PrivateKey(k.private[:]).Public()
}

// Sign implements crypto.Signer.
func (k fileKey) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return ed25519.PrivateKey(k.private[:]).Sign(rand, message, opts)
}

// Format implements fmt.Formatter: the key is a secret.
func (k fileKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "key "+keyID(k.Public())) }

// ReadSigner reads the private key that checkpoints are signed with: one PEM
// block, PKCS#8, Ed25519. Signers of the same key are equal (==).
func ReadSigner(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	defer clear(block.Bytes)
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("PEM of type %q: a private key in PKCS#8 (PRIVATE KEY) is needed", block.Type)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("more than one PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a private key in PKCS#8")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T: it must be Ed25519", key)
	}
	var k fileKey
	copy(k.private[:], private)
	clear(private)
	return k, nil
}

// ReadPublicKeys reads the public keys that checkpoints are verified with: PEM
// blocks, PKIX, Ed25519, at least one.
func ReadPublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("PEM of type %q: a PUBLIC KEY is needed", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a public key cannot be read: %w", err)
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("a public key of type %T: it must be Ed25519", key)
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key (PEM)")
	}
	return keys, nil
}

// KeyID names a public key in checkpoints and in words: 16 hexadecimal digits,
// the first 8 bytes of the SHA-256 of its 32 bytes.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

func keyID(key crypto.PublicKey) string {
	public, _ := key.(ed25519.PublicKey)
	return KeyID(public)
}
