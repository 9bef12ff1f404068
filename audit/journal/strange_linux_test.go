package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// TestStrangeFiles has what is no file, has no end, or claims more than is there, in the
// place of a journal's files: each is found, by whoever verifies and by whoever reads, and
// waited for by nobody.
func TestStrangeFiles(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	dir := filepath.Base(writeStream(t, o, 30))
	live := open(t, o).Stream()
	first := filepath.Join(dir, fileName(1))
	replace := func(t *testing.T, with func(string) error) func(p string) {
		t.Helper()
		return func(p string) {
			name := filepath.Join(p, first)
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			done(t, with(name))
		}
	}
	rename := func(from, to string) func(p string) {
		return func(p string) { done(t, os.Rename(filepath.Join(p, from), filepath.Join(p, to))) }
	}
	for _, tt := range []struct {
		name   string
		do     func(p string)
		reason string
		unread bool // a reader refuses it, too
	}{
		{"a pipe", replace(t, func(name string) error { return unix.Mkfifo(name, 0o600) }), "it is no file", true},
		{"a directory", replace(t, func(name string) error { return os.Mkdir(name, 0o700) }), "it is no file", true},
		{"a device", replace(t, func(name string) error { return os.Symlink("/dev/zero", name) }), "it is no file", true},
		{"a link to itself", replace(t, func(name string) error { return os.Symlink(name, name) }), "it is no file", true},
		{"a container that is a pipe", replace(t, func(name string) error { return unix.Mkfifo(name+packedSuffix, 0o600) }), "it is no file", true},
		{"a lock that is a pipe", replace(t, func(name string) error {
			return firstOf(os.WriteFile(name+packedSuffix+lockedSuffix, nil, 0o600), unix.Mkfifo(filepath.Join(filepath.Dir(name), lockName(1)), 0o600))
		}), "it is no file", true},
		{"a tombstone that is a pipe", func(p string) {
			done(t, os.MkdirAll(filepath.Join(p, tombstoneFolder), 0o700))
			done(t, unix.Mkfifo(tombstonePath(p, dir), 0o600))
		}, "it is no file", false},
		{"4 TiB behind a seal", func(p string) { done(t, os.Truncate(filepath.Join(p, first), 1<<42)) }, "longer than it was made", true},
		{"4 TiB behind what is written", func(p string) { done(t, os.Truncate(filepath.Join(p, live, fileName(1)), 1<<42)) }, "longer than it was made", true},
		{"a segment that claims no end", func(p string) {
			f := take(t, filepath.Join(p, live, fileName(1)))
			f.claim(1 << 60)
			f.write(t, f.header)
		}, "does not know", true},
		{"a segment that nobody comes to", func(p string) {
			done(t, os.WriteFile(filepath.Join(p, live, fileName(9)), mustRead(t, filepath.Join(p, live, fileName(1))), 0o600))
		}, "the segment is missing", true},
		{"another name", rename(dir, dir[:len(dir)-16]+"0000000000000000"), "of another name", false},
		{"another node", rename(dir, "node-2"+dir[len("node-1"):]), "of another name", false},
		{"a later start", rename(dir, "node-1-99999999999"+dir[len(dir)-17:]), "of another name", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := copyTree(t, path)
			tt.do(p)
			expectFinding(t, verifyAll(t, p), 0, tt.reason)
			if _, err := tryReadAll(p); (err != nil) != tt.unread {
				t.Errorf("who reads was told %v", err)
			}
		})
	}
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// claim has the header say another size.
func (f *forged) claim(size uint64) {
	binary.LittleEndian.PutUint64(f.header[offSize:], size)
	binary.LittleEndian.PutUint32(f.header[508:], sum(f.header[:508]))
}

// write writes these bytes in the place of the segment.
func (f *forged) write(t *testing.T, b []byte) {
	t.Helper()
	done(t, os.WriteFile(f.path, b, 0o600))
}

// head makes the header of a record right that is of so many bytes.
func (f *forged) head(r []byte, length uint32) {
	binary.LittleEndian.PutUint32(r, length)
	c := crc32.Update(crc32.Update(f.seed(), castagnoliReader, r[:4]), castagnoliReader, r[8:28])
	binary.LittleEndian.PutUint32(r[28:], crc32.Update(c, castagnoliReader, r[32:40]))
}

// A header that is right at each 40 bytes, of a record to the segment's end: looking at
// all of each would take hours.
func TestManyHeaders(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	p := copyTree(t, o.Path)
	f := take(t, filepath.Join(p, j.Stream(), fileName(1)))
	const size = 64 << 20
	f.claim(size)
	b := append([]byte(nil), f.header...)
	for _, r := range f.records {
		b = append(b, r...)
	}
	b = append(b, make([]byte, 8)...)
	r := append([]byte(nil), f.records[0][:recordHeader]...)
	for len(b) < size-recordHeader {
		f.head(r, uint32(size-len(b)))
		b = append(b, r...)
	}
	f.write(t, append(b, make([]byte, size-len(b))...))
	if _, err := tryReadAll(p); err == nil {
		t.Error("it was read")
	}
}

// A record that claims 2 GB of a short file, or more than the format has: nothing is
// allocated for it.
func TestClaimedRecordTakesNoRoom(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	record(t, j, &audit.Event{Type: audit.ParserDied})
	p := copyTree(t, o.Path)
	f := take(t, filepath.Join(p, j.Stream(), fileName(1)))
	f.claim(maxSegment)
	for _, length := range []uint32{1<<31 - 8, 1<<32 - 8} {
		r := f.records[len(f.records)-1]
		f.head(r, length)
		b := append([]byte(nil), f.header...)
		for _, r := range f.records {
			b = append(b, r...)
		}
		f.write(t, b)
		before := allocated()
		if _, err := tryReadAll(p); err == nil {
			t.Error("it was read")
		}
		if took := allocated() - before; took > 64<<20 {
			t.Errorf("a record that claims %d bytes took %d", length, took)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
