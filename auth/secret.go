package auth

import "fmt"

// Secret holds a password in one buffer that no formatter, logger or encoder
// can print, and that Wipe clears. The zero value is an empty secret.
type Secret struct{ b []byte }

// NewSecret takes the buffer over: the caller must not keep it.
func NewSecret(b []byte) *Secret { return &Secret{b: b} }

// Reveal returns the secret as a string for a library that will have nothing
// else. The copy cannot be wiped; let it live as briefly as possible.
func (s *Secret) Reveal() string { return string(s.b) }

// Len returns the length in bytes.
func (s *Secret) Len() int { return len(s.b) }

// Wipe overwrites the buffer; the secret is empty from then on.
func (s *Secret) Wipe() {
	clear(s.b)
	s.b = nil
}

const unprintable = "[secret]"

// String implements fmt.Stringer.
func (*Secret) String() string { return unprintable }

// Format implements fmt.Formatter: every verb prints the same.
func (*Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(unprintable)) }

// MarshalText implements encoding.TextMarshaler.
func (*Secret) MarshalText() ([]byte, error) { return []byte(unprintable), nil }
