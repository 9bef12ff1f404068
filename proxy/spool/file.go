package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// chunk is how many bytes are encrypted at once. Each chunk is AES-256-GCM with its
// number as the nonce, so that what is read is what was written: a disk that turns a
// bit cannot come between judgement and forwarding.
const chunk = 32 << 10

// File is a message, or as much of it as came. It is used by one goroutine. Write is
// done before ReadAt begins.
type File struct {
	store     *Store
	principal string
	file      *os.File
	aead      cipher.AEAD
	reserved  int64
	size      int64  // bytes written, without overhead
	plain     []byte // what does not fill a chunk yet; later the chunk read last
	sealed    []byte
	at        int64 // the number of the chunk in plain, while it is read
	reading   bool
}

// New makes a file of the principal's. Close gives back what it takes.
func (s *Store) New(principal string) (*File, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	f, err := nameless(s.opt.Directory)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	return &File{store: s, principal: principal, file: f, aead: aead}, nil
}

// Size is how many bytes were written.
func (f *File) Size() int64 { return f.size }

// Write implements io.Writer. An error is a *LimitError, or wraps ErrSpool.
func (f *File) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if f.plain == nil {
			f.plain = make([]byte, 0, chunk)
		}
		k := min(chunk-len(f.plain), len(b)-n)
		f.plain = append(f.plain, b[n:n+k]...)
		n += k
		if len(f.plain) == chunk {
			if err := f.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush writes the chunk at hand.
func (f *File) flush() error {
	need := int64(chunk + f.aead.Overhead())
	if err := f.store.reserve(f.principal, need); err != nil {
		return err
	}
	f.reserved += need
	f.sealed = f.aead.Seal(f.sealed[:0], nonce(f.size/chunk), f.plain, nil)
	if _, err := f.file.Write(f.sealed); err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	f.size += int64(len(f.plain))
	clear(f.plain)
	f.plain = f.plain[:0]
	return nil
}

// Finish ends the writing.
func (f *File) Finish() error {
	if len(f.plain) > 0 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	f.reading, f.at = true, -1
	return nil
}

// ReadAt implements io.ReaderAt. Reading in order is cheapest.
func (f *File) ReadAt(b []byte, at int64) (int, error) {
	n := 0
	for n < len(b) {
		if at >= f.size || at < 0 {
			return n, io.EOF
		}
		if err := f.load(at / chunk); err != nil {
			return n, err
		}
		k := copy(b[n:], f.plain[at%chunk:])
		n, at = n+k, at+int64(k)
	}
	return n, nil
}

func (f *File) load(number int64) error {
	if !f.reading {
		return fmt.Errorf("%w: it is not complete", ErrSpool)
	}
	if f.at == number {
		return nil
	}
	f.at = -1
	room := chunk + f.aead.Overhead()
	if cap(f.sealed) < room {
		f.sealed = make([]byte, room)
	}
	n, err := f.file.ReadAt(f.sealed[:room], number*int64(room))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	f.plain, err = f.aead.Open(f.plain[:0], nonce(number), f.sealed[:n], nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	f.at = number
	return nil
}

func nonce(number int64) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[4:], uint64(number))
	return b[:]
}

// Close gives everything back. The file is gone with it.
func (f *File) Close() error {
	clear(f.plain[:cap(f.plain)])
	f.plain, f.sealed, f.reading = nil, nil, false
	f.store.release(f.principal, f.reserved)
	f.reserved = 0
	return f.file.Close()
}
