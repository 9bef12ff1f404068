package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

// Recipients are the age public keys of those who can read what is encrypted. The
// zero value has none. They can be compared.
type Recipients struct {
	lines string // as in a lock
}

// ParseRecipient reads one public key, age1….
func ParseRecipient(key string) (Recipients, error) {
	if strings.HasPrefix(key, "AGE-SECRET-KEY-") {
		return Recipients{}, errors.New("this is an identity, the secret half: it belongs to an auditor alone, and never on this host; its public half begins with age1")
	}
	keys, err := age.ParseRecipients(strings.NewReader(key))
	if err != nil || len(keys) != 1 || strings.ContainsAny(key, " \t\r\n") {
		return Recipients{}, errors.New("not an age public key: age1…, as age-keygen prints it")
	}
	return Recipients{key + "\n"}, nil
}

// With are the recipients of both. It fails where age does not let them read the same
// file: one that resists quantum computers, and one that does not.
func (r Recipients) With(more Recipients) (Recipients, error) {
	names := append(r.Names(), more.Names()...)
	slices.Sort(names)
	all := Recipients{}
	for _, name := range slices.Compact(names) {
		all.lines += name + "\n"
	}
	if all.lines == "" {
		return all, nil
	}
	_, err := all.encrypt(io.Discard, new(fileSecret))
	return all, err
}

// Any says whether there is one.
func (r Recipients) Any() bool { return r.lines != "" }

// Names lists the public keys.
func (r Recipients) Names() []string { return strings.Fields(r.lines) }

// encrypt begins a file that the recipients can read, and keeps its key.
func (r Recipients) encrypt(to io.Writer, key *fileSecret) (io.WriteCloser, error) {
	keys, err := age.ParseRecipients(strings.NewReader(r.lines))
	if err != nil {
		return nil, err
	}
	keys[0] = &tap{keys[0], key}
	return age.Encrypt(to, keys...)
}

// fileSecret is the key of one file that was encrypted a moment ago: what was written is
// read once more before what is in clear goes.
type fileSecret struct{ key []byte }

// Format implements fmt.Formatter: the key is a secret.
func (*fileSecret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "a file's key") }

func (s *fileSecret) forget() { clear(s.key) }

func (s *fileSecret) decrypt(from io.Reader) (io.Reader, error) {
	return age.Decrypt(from, age.NewInjectedFileKeyIdentity(s.key))
}

// tap is a recipient that lets the file's key be known to who encrypts.
type tap struct {
	age.Recipient
	secret *fileSecret
}

var _ age.RecipientWithLabels = (*tap)(nil)

// WrapWithLabels implements age.RecipientWithLabels.
func (t *tap) WrapWithLabels(key []byte) (stanzas []*age.Stanza, labels []string, err error) {
	t.secret.key = slices.Clone(key)
	if r, ok := t.Recipient.(age.RecipientWithLabels); ok {
		return r.WrapWithLabels(key)
	}
	stanzas, err = t.Recipient.Wrap(key)
	return stanzas, nil, err
}

// Identities are the secret keys of an auditor. nil has none.
type Identities struct {
	keys []age.Identity
}

// Format implements fmt.Formatter: they are secrets.
func (*Identities) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "identities") }

// ReadIdentities reads an identity file as age-keygen makes it. Its errors do not tell
// what is in it.
func ReadIdentities(from io.Reader) (*Identities, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxIdentities+1))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	switch {
	case len(text) > maxIdentities:
		return nil, errors.New("larger than 1 MiB: it is no identity file")
	case strings.HasPrefix(string(text), "age-encryption.org/") || strings.HasPrefix(string(text), "-----BEGIN AGE"):
		return nil, errors.New("it is encrypted itself: decrypt it first (age -d), or give it by a pipe: --identity <(age -d FILE)")
	}
	keys, err := age.ParseIdentities(strings.NewReader(string(text)))
	if err != nil {
		return nil, errors.New("it has no identity that can be used: a line AGE-SECRET-KEY-1… is needed, as age-keygen makes it")
	}
	return &Identities{keys}, nil
}

const maxIdentities = 1 << 20

// decryptAt opens an encrypted file for reading at any place.
func (i *Identities) decryptAt(from io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	return age.DecryptReaderAt(from, size, i.keys...)
}

func (i *Identities) decrypt(from io.Reader) (io.Reader, error) { return age.Decrypt(from, i.keys...) }

// strange says whether the error is that none of the identities is a recipient's.
func strange(err error) bool {
	var none *age.NoIdentityMatchError
	return errors.As(err, &none)
}

// LockedError says that a segment is encrypted, and cannot be read here.
type LockedError struct {
	File       string
	Recipients []string // public keys of those who can
	Tried      bool     // identities were given, and none is of a recipient
}

// Error implements error.
func (e *LockedError) Error() string {
	why := "is encrypted, and no identity was given: --identity FILE of one of these reads it: "
	if e.Tried {
		why = "is encrypted, and no identity that was given opens it: --identity FILE of one of these does: "
	}
	return e.File + " " + why + strings.Join(e.Recipients, ", ")
}
