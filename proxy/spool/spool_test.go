package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func store(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Directory == "" {
		o.Directory = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func file(t *testing.T, s *Store, principal string) *File {
	t.Helper()
	f, err := s.New(principal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.file.Close() })
	return f
}

func content(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestReadsWhatWasWritten(t *testing.T) {
	s := store(t, Options{})
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 5*chunk + 17} {
		want := content(size)
		for _, step := range []int{1 + size/7, chunk, size + 1} {
			f := file(t, s, "p")
			for rest := want; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				if _, err := f.Write(rest[:min(step, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Finish(); err != nil || f.Size() != int64(size) {
				t.Fatalf("%d bytes, %v", f.Size(), err)
			}
			got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(size)))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in pieces of %d: read %d, %v", size, step, len(got), err)
			}
			for range 20 {
				at, n := rand.IntN(size+1), rand.IntN(chunk*2)
				part := make([]byte, n)
				k, err := f.ReadAt(part, int64(at))
				if !bytes.Equal(part[:k], want[at:min(at+n, size)]) || (k < n) != errors.Is(err, io.EOF) {
					t.Errorf("%d at %d of %d: %d, %v", n, at, size, k, err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if s.Used() != 0 || len(s.used) != 0 {
		t.Errorf("%d bytes are still taken", s.Used())
	}
}

// Nothing of a message can be found on the disk, neither by a name nor in the bytes.
func TestNothingIsSeenOnTheDisk(t *testing.T) {
	for name, make := range map[string]func(string) (*os.File, error){"nameless": nameless, "unlinked": unlinked} {
		dir := t.TempDir()
		s := store(t, Options{Directory: dir})
		f := file(t, s, "p")
		var err error
		if f.file, err = make(dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.file.Close() })
		if _, err := f.Write([]byte(strings.Repeat("ALTER ROLE x PASSWORD 'tr0ub4dor'; ", 5000))); err != nil {
			t.Fatal(err)
		}
		if err := f.Finish(); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", name, left, err)
		}
		info, err := f.file.Stat()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		raw, err := io.ReadAll(io.NewSectionReader(f.file, 0, info.Size()))
		if err != nil || bytes.Contains(raw, []byte("tr0ub4dor")) || bytes.Contains(raw, []byte("PASSWORD")) {
			t.Errorf("%s: the text stands on the disk (%v)", name, err)
		}
	}
}

// What the disk changed is not read.
func TestChangedOnTheDisk(t *testing.T) {
	s := store(t, Options{})
	f := file(t, s, "p")
	_, _ = f.Write(content(3 * chunk))
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	_, _ = f.file.ReadAt(one[:], chunk+500)
	one[0] ^= 1
	_, _ = f.file.WriteAt(one[:], chunk+500)
	if _, err := f.ReadAt(make([]byte, chunk), 0); err != nil {
		t.Errorf("the first chunk: %v", err)
	}
	if _, err := f.ReadAt(make([]byte, 10), chunk); !errors.Is(err, ErrSpool) {
		t.Errorf("the changed one: %v", err)
	}
	// Nor is one chunk taken for another.
	sealed := make([]byte, chunk+16)
	_, _ = f.file.ReadAt(sealed, 0)
	_, _ = f.file.WriteAt(sealed, 2*(chunk+16))
	if _, err := f.ReadAt(make([]byte, 10), 2*chunk); !errors.Is(err, ErrSpool) {
		t.Errorf("a moved one: %v", err)
	}
}

func TestLimits(t *testing.T) {
	const room = chunk + 16
	s := store(t, Options{Total: 5 * room, PerPrincipal: 3 * room})
	write := func(f *File, chunks int) error {
		_, err := f.Write(make([]byte, chunks*chunk))
		return err
	}
	a, b, c := file(t, s, "a"), file(t, s, "b"), file(t, s, "a")
	var limit *LimitError
	if err := errors.Join(write(a, 2), write(c, 1)); err != nil {
		t.Fatal(err)
	}
	if err := write(c, 1); !errors.As(err, &limit) || !limit.PerPrincipal || limit.Limit != 3*room {
		t.Errorf("a fourth of one principal: %v", err)
	}
	if err := write(b, 2); err != nil {
		t.Errorf("another principal: %v", err)
	}
	if err := write(b, 1); !errors.As(err, &limit) || limit.PerPrincipal {
		t.Errorf("a sixth in all: %v", err)
	}
	d := file(t, s, "b")
	if err := errors.Join(a.Close(), c.Close(), b.Close(), write(d, 3), d.Close()); err != nil {
		t.Errorf("when room was given back: %v", err)
	}
	if s.Used() != 0 {
		t.Errorf("%d bytes are still taken", s.Used())
	}
}

func TestTurns(t *testing.T) {
	s := store(t, Options{})
	var done []func()
	for range cap(s.workers) {
		d, err := s.Work(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Work(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many: %v", err)
	}
	d, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d()
	for _, d := range done {
		d()
	}
	if len(s.workers) != 0 {
		t.Error("a turn was lost")
	}
}
