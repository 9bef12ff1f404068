package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// lightDisk keeps nothing over a loss of power.
type lightDisk struct{ thisMachine }

func (lightDisk) syncData(*os.File) error  { return nil }
func (lightDisk) sync(*os.File) error      { return nil }
func (lightDisk) syncNames(*os.File) error { return nil }
func (lightDisk) syncDir(string) error     { return nil }

// FuzzForged reads segments whose sums are right, whatever the records hold: what
// somebody leaves who can write to the disk, and knows the format. No reader may panic.
// A container holds what the segment held and is read as that was, its index passes over
// no record that a query asks for, and where there is damage, nothing is archived.
func FuzzForged(f *testing.F) {
	o := Options{Path: f.TempDir(), Node: "n", SegmentSize: 64 << 10}
	j := open(f, o)
	p := j.Prepare(testContext())
	for range 3 {
		r := record(f, j, testStatement(p))
		record(f, j, testOutcome(p, r.Sequence))
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	template := take(f, segmentPath(j, 1))
	f.Add([]byte{}) // no record
	f.Add(scriptOf(template))
	f.Add(append(scriptOf(template), scriptOf(template)...))
	f.Add([]byte{9, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 65535 & 255, 255, 0, 0, 2, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		path := t.TempDir()
		stream := filepath.Join(path, "n-1-0123456789abcdef")
		if err := os.Mkdir(stream, 0o700); err != nil {
			t.Fatal(err)
		}
		seg := forgedBy(template, script)
		seg.path = filepath.Join(stream, "00000001.seg")
		seg.put(t, 2, seg.chain())
		checkForged(t, path, stream)
	})
}

func checkForged(t *testing.T, path, stream string) {
	t.Helper()
	plain, accounts, end := allOf(t, path, nil)
	verifies(t, path, len(plain))
	var chosen [][]string
	for _, a := range accounts {
		records, _, _ := allOf(t, path, principals(a))
		chosen = append(chosen, records)
	}
	w := &archiveWatch{}
	a := newArchiver(lightDisk{}, path, w, make(chan struct{}))
	a.pass()
	_ = a.lock.Close()
	if len(w.archived)+len(w.failed) != 1 {
		t.Fatalf("archived %v, failed %v", w.archived, w.failed)
	}
	if len(w.failed) > 0 {
		var damage *CorruptionError
		if !errors.As(w.failed[0], &damage) {
			t.Fatalf("archive: %v", w.failed[0])
		}
	}
	records, _, endOfPacked := allOf(t, path, nil)
	if !slices.Equal(records, plain) || (end == "") != (endOfPacked == "") {
		t.Fatalf("%d records and then %q were %d and then %q", len(records), endOfPacked, len(plain), end)
	}
	for i, a := range accounts {
		if again, _, _ := allOf(t, path, principals(a)); !slices.Equal(again, chosen[i]) {
			t.Errorf("of %q there are %d records, %d before", a, len(again), len(chosen[i]))
		}
	}
	if len(w.archived) > 0 {
		indexTells(t, stream, 1, func(*rawRecord, *Span) {})
	}
	verifies(t, path, len(plain))
}

// verifies has a journal verified, which may fail only where there is no record.
func verifies(t *testing.T, path string, records int) {
	t.Helper()
	if _, err := Verify(t.Context(), VerifyOptions{Path: path}); err != nil && (records > 0 || !errors.Is(err, ErrNothing)) {
		t.Fatalf("verify of %d records: %v", records, err)
	}
}

// allOf reads what of a journal is chosen: the records, whose the first of them are, and
// what is wrong behind them.
func allOf(t *testing.T, path string, choose *Selection) (records, accounts []string, end string) {
	t.Helper()
	r, err := OpenReader(ReaderOptions{Path: path, Select: choose})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		record, err := r.Next()
		var damage *CorruptionError
		switch {
		case errors.Is(err, io.EOF):
			return records, accounts, ""
		case errors.As(err, &damage):
			return records, accounts, damage.Reason
		case err != nil:
			t.Fatalf("neither end nor damage: %v", err)
		}
		line, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, string(line))
		if a := record.Principal.Account; a != "" && len(accounts) < 3 && !slices.Contains(accounts, a) {
			accounts = append(accounts, a)
		}
	}
}

// A script has, for each record: its type and flags, the number of the record that has
// its session's fields, and the length of its body, two bytes each but for the number,
// which has one; then the body.

func forgedBy(template *forged, script []byte) *forged {
	f := &forged{header: slices.Clone(template.header)}
	const most = 60 << 10
	var at []uint64
	for off := uint64(headerSize); len(script) >= 7; {
		n := min(int(binary.LittleEndian.Uint16(script[5:])), len(script)-7, most-int(off))
		if n < 0 {
			break
		}
		r := make([]byte, align(int64(recordHeader+n)))
		binary.LittleEndian.PutUint32(r, uint32(recordHeader+n))
		binary.LittleEndian.PutUint64(r[offTime:], 1_700_000_000_000_000_000+off)
		copy(r[offType:], script[:4])
		if k := int(script[4]); k > 0 && k <= len(at) {
			binary.LittleEndian.PutUint64(r[offShared:], at[k-1])
		} else if k > 0 {
			binary.LittleEndian.PutUint64(r[offShared:], uint64(k)*8)
		}
		copy(r[recordHeader:], script[7:7+n])
		f.records = append(f.records, r)
		at = append(at, off)
		off += uint64(len(r))
		script = script[7+n:]
	}
	f.renumber()
	return f
}

// scriptOf is the script of a segment.
func scriptOf(f *forged) []byte {
	var script []byte
	number := map[uint64]byte{}
	off := uint64(headerSize)
	for i, r := range f.records {
		length := binary.LittleEndian.Uint32(r)
		number[off] = byte(i + 1)
		script = append(script, r[offType:offType+4]...)
		script = append(script, number[binary.LittleEndian.Uint64(r[offShared:])])
		script = binary.LittleEndian.AppendUint16(script, uint16(length-recordHeader))
		script = append(script, r[recordHeader:length]...)
		off += uint64(len(r))
	}
	return script
}

// A script makes the very segment that it is of.
func TestForgedByScript(t *testing.T) {
	path := t.TempDir()
	f := take(t, filepath.Join(writeStream(t, signedOptions(t, path), 20), "00000001.seg"))
	made := forgedBy(f, scriptOf(f))
	for i, r := range made.records {
		copy(r[offTime:], f.records[i][offTime:][:8])
		made.resum(r, uint64(i+1))
	}
	if want, have := fmt.Sprint(f.records), fmt.Sprint(made.records); want != have {
		t.Errorf("%s\n%s", want, have)
	}
}
