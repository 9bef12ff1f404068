package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzReader reads segments of any content. It must not panic, and what it
// returns must have the checksum that FORMAT.md asks for.
func FuzzReader(f *testing.F) {
	o := Options{Path: f.TempDir(), Node: "n", SegmentSize: 64 << 10}
	j := open(f, o)
	p := j.Prepare(testContext())
	r := record(f, j, testStatement(p))
	record(f, j, testOutcome(p, r.Sequence))
	path := segmentPath(j, 1)
	unsealed := mustRead(f, path)
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	sealed := mustRead(f, path)
	f.Add(sealed, 0, byte(0))
	f.Add(unsealed[:8192], 0, byte(0))
	f.Add(sealed, headerSize+28, byte(1))
	f.Add(sealed[:len(sealed)-10], 4200, byte(9))
	f.Fuzz(func(t *testing.T, content []byte, at int, flip byte) {
		content = append([]byte(nil), content...)
		if at >= 0 && at < len(content) {
			content[at] ^= flip
		}
		dir := t.TempDir()
		stream := filepath.Join(dir, "n-1-0123456789abcdef")
		if err := os.Mkdir(stream, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stream, "00000001.seg"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		checkFuzzed(t, dir, content)
	})
}

func checkFuzzed(t *testing.T, dir string, content []byte) {
	t.Helper()
	r, err := OpenReader(ReaderOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		record, err := r.Next()
		if err != nil {
			var damage *CorruptionError
			if !errors.Is(err, io.EOF) && !errors.As(err, &damage) {
				t.Fatalf("neither end nor damage: %v", err)
			}
			return
		}
		b := content[record.Offset:]
		length := binary.LittleEndian.Uint32(b)
		want := sum(content[48:64], content[24:32], b[:4], b[8:length])
		if binary.LittleEndian.Uint32(b[4:]) != want {
			t.Fatalf("a record at %d without its checksum", record.Offset)
		}
		if _, err := json.Marshal(record); err != nil {
			t.Fatal(err)
		}
	}
}
