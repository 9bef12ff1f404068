package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// clearText opens what is to be encrypted; it is read twice.
type clearText func() (io.ReadCloser, error)

func fileOf(path string) clearText { return func() (io.ReadCloser, error) { return openFile(path) } }

func bytesOf(b []byte) clearText {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// encryptFile writes an encrypted file, syncs it, and reads it again: it holds what was
// in clear, and its recipients' key is the one that decrypts it.
func (a *archiver) encryptFile(path string, from clearText) (sealedFile, error) {
	var secret fileSecret
	defer secret.forget()
	written, file, err := a.writeEncrypted(path, from, &secret)
	if err == nil {
		err = a.step("prove what was encrypted")
	}
	if err == nil {
		err = proveEncrypted(path, written, &secret)
	}
	return file, err
}

// writeEncrypted returns the SHA-256 of what was in clear too.
func (a *archiver) writeEncrypted(path string, from clearText, secret *fileSecret) (written [32]byte, sealed sealedFile, err error) {
	source, err := from()
	if err != nil {
		return written, sealed, err
	}
	defer source.Close() //nolint:errcheck // nothing was written
	if err := removeIfThere(path); err != nil {
		return written, sealed, err
	}
	if err := a.step("create an encrypted file"); err != nil {
		return written, sealed, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return written, sealed, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to, sum := &sumWriter{to: file, hash: sha256.New()}, sha256.New()
	w, err := a.seal.to.encrypt(to, secret)
	if err != nil {
		return written, sealed, err
	}
	if _, err := io.Copy(w, io.TeeReader(&stoppable{source, a}, sum)); err != nil {
		return written, sealed, err
	}
	if err := w.Close(); err != nil {
		return written, sealed, err
	}
	sum.Sum(written[:0])
	to.hash.Sum(sealed.Sum[:0])
	if sealed.Size, err = file.Seek(0, io.SeekCurrent); err != nil {
		return written, sealed, err
	}
	if err := a.step("sync an encrypted file"); err != nil {
		return written, sealed, err
	}
	return written, sealed, a.disk.sync(file)
}

// proveEncrypted decrypts a file with its own key, and compares what comes out.
func proveEncrypted(path string, want [32]byte, secret *fileSecret) error {
	file, err := openFile(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	plain, err := secret.decrypt(file)
	if err != nil {
		return err
	}
	have := sha256.New()
	if _, err := io.Copy(have, plain); err != nil {
		return err
	}
	if sameSum(have.Sum(nil), want[:]) != nil {
		return fmt.Errorf("%s does not decrypt to what was encrypted", filepath.Base(path))
	}
	return nil
}

// stoppable is a source that ends where the archiver does, and keeps its pace.
type stoppable struct {
	io.Reader
	a *archiver
}

// Read implements io.Reader.
func (s *stoppable) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == nil {
		err = s.a.went(n)
	}
	return n, err
}
