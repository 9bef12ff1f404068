package journal

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// image is what a process that was killed leaves: one stream without a seal.
type image struct {
	path    string // of the journal
	file    string // of the segment
	content []byte
	last    int // offset of the last record
	end     int // behind it
}

// killed makes an image with a few records.
func killed(t *testing.T) *image {
	t.Helper()
	j := open(t, small(t))
	p := j.Prepare(&audit.Context{Session: "01JD8Z3V9M4Q7T2X5B6C8D9E0F"}) // short: each byte is cut and flipped
	for range 2 {
		record(t, j, testStatement(p))
	}
	last := j.cur.pos
	record(t, j, testOutcome(p, 4))
	i := &image{path: t.TempDir(), content: mustRead(t, segmentPath(j, 1)), last: int(last), end: int(j.cur.pos)}
	dir := filepath.Join(i.path, j.Stream())
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	i.file = filepath.Join(dir, segmentName(1))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *image) write(t *testing.T, content []byte) {
	t.Helper()
	if err := os.WriteFile(i.file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTornTail cuts the last record off at each of its bytes: as a killed writer
// leaves it, with its length not published, and as a power failure may.
func TestTornTail(t *testing.T) {
	i := killed(t)
	for cut := i.last; cut < i.end; cut++ {
		for _, published := range []bool{false, true} {
			torn := append([]byte(nil), i.content...)
			clear(torn[cut:])
			if !published {
				clear(torn[i.last : i.last+4])
			}
			if string(torn) == string(i.content) {
				continue // only padding was cut
			}
			i.write(t, torn)
			checkTorn(t, i, torn, 4)
			if t.Failed() {
				t.Fatalf("cut at %d of %d to %d, published %v", cut, i.last, i.end, published)
			}
		}
	}
}

// checkTorn reads a journal with a torn tail, recovers it, and reads it again.
func checkTorn(t *testing.T, i *image, torn []byte, want int) {
	t.Helper()
	all := readAll(t, i.path)
	if len(all) != want {
		t.Errorf("%d records before recovery, want %d", len(all), want)
	}
	found, err := recoverStreams(i.path, thisMachine{}, false)
	if err != nil {
		t.Fatalf("recovery: %v", err)
	}
	rest := strings.TrimRight(string(torn[i.last:]), "\x00")
	aside, err := os.ReadFile(i.file + ".torn")
	if rest == "" && (found.torn != 0 || !errors.Is(err, os.ErrNotExist)) || rest != "" && (found.torn != 1 || string(aside) != rest) {
		t.Errorf("found %+v, %d bytes set aside, %d stood there (%v)", found, len(aside), len(rest), err)
	}
	if again := readAll(t, i.path); len(again) != want {
		t.Errorf("%d records after recovery", len(again))
	}
	// Nobody has told of the first recovery yet.
	if found, err = recoverStreams(i.path, thisMachine{}, false); err != nil || (found.torn == 1) != (rest != "") {
		t.Errorf("the second recovery: %+v, %v", found, err)
	}
	_ = os.Remove(i.file + ".torn")
}

// TestEveryByteCounts flips each byte of a sealed segment: none goes unnoticed,
// by a reader, and by a process that starts.
func TestEveryByteCounts(t *testing.T) {
	o := small(t)
	j := open(t, o)
	p := j.Prepare(testContext())
	r := record(t, j, testStatement(p))
	if err := j.Wait(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(j, 1)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	content := mustRead(t, path)
	for at := range content {
		bad := append([]byte(nil), content...)
		bad[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tryReadAll(o.Path)
		var damage *CorruptionError
		if !errors.As(err, &damage) || damage.File != path {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

// In a segment without a seal, damage before the last record is refused, in the
// last one it cannot be told from a torn tail, and is set aside.
func TestFlipsWithoutASeal(t *testing.T) {
	i := killed(t)
	var damage *CorruptionError
	for at := headerSize; at < i.end+64; at++ {
		bad := append([]byte(nil), i.content...)
		bad[at] ^= 0x10
		i.write(t, bad)
		all, err := tryReadAll(i.path)
		if at < i.last {
			if !errors.As(err, &damage) || damage.File != i.file {
				t.Fatalf("byte %d: %v", at, err)
			}
			if _, err := recoverStreams(i.path, thisMachine{}, false); !errors.As(err, &damage) || !errors.Is(err, audit.ErrBroken) {
				t.Fatalf("byte %d: recovery: %v", at, err)
			}
			continue
		}
		padding := at < i.end && at >= i.last+int(binary.LittleEndian.Uint32(i.content[i.last:]))
		if want := 5; at < i.end && !padding && (err != nil || len(all) != want-1) {
			t.Fatalf("byte %d of the last record: %d records, %v", at, len(all), err)
		}
	}
}

// What had reached the disk cannot be a torn tail.
func TestSyncMarkHolds(t *testing.T) {
	i := killed(t)
	h, fault := parseHeader(i.content[:headerSize])
	if fault != nil {
		t.Fatal(fault)
	}
	s := segment{m: i.content, seed: h.seed}
	s.mark(int64(i.end))
	clear(i.content[i.last : i.last+8])
	i.write(t, i.content)
	var damage *CorruptionError
	if _, err := tryReadAll(i.path); !errors.As(err, &damage) || damage.Offset != int64(i.last) {
		t.Errorf("read: %v", err)
	}
	if _, err := recoverStreams(i.path, thisMachine{}, false); !errors.As(err, &damage) {
		t.Errorf("recovery: %v", err)
	}
}

// After the machine went down, pages behind the sync mark may be missing before
// others: that is set aside, and told.
func TestGapAfterPowerLoss(t *testing.T) {
	i := killed(t)
	p := headerSize + int(align(int64(binary.LittleEndian.Uint32(i.content[headerSize:]))))
	clear(i.content[p : p+16])
	i.write(t, i.content)
	var damage *CorruptionError
	if _, err := recoverStreams(i.path, thisMachine{}, false); !errors.As(err, &damage) || damage.Offset != int64(p) {
		t.Fatalf("in the same boot: %v", err)
	}
	i.content[offBoot] ^= 1
	binary.LittleEndian.PutUint32(i.content[offStaticSum:], sum(i.content[:offStaticSum]))
	i.write(t, i.content)
	found, err := recoverStreams(i.path, thisMachine{}, false)
	if err != nil || found.torn != 1 {
		t.Fatalf("after another boot: %+v, %v", found, err)
	}
	if len(mustRead(t, i.file+".torn")) != len(strings.TrimRight(string(i.content[p:]), "\x00")) {
		t.Error("not all was set aside")
	}
	if all := readAll(t, i.path); len(all) != 1 {
		t.Errorf("%d records", len(all))
	}
}

// A process that starts tells what it found.
func TestOpenTellsOfATornTail(t *testing.T) {
	checkLeaks(t)
	i := killed(t)
	clear(i.content[i.last : i.last+4])
	i.write(t, i.content)
	j := open(t, Options{Path: i.path, Node: "n", SegmentSize: 128 << 10})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, i.path)
	last := all[len(all)-1]
	for last.Type == audit.Checkpoint {
		all = all[:len(all)-1]
		last = all[len(all)-1]
	}
	if last.Type != audit.JournalOpened || last.Cause != "recovered" || !strings.Contains(last.Detail, "bytes behind record 4 set aside") {
		t.Errorf("%s %s %s", last.Type, last.Cause, last.Detail)
	}
}

func TestMissingSegment(t *testing.T) {
	for name, pick := range map[string]func(n []uint64) uint64{
		"in the middle": func(n []uint64) uint64 { return n[1] },
		"the last":      func(n []uint64) uint64 { return n[len(n)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			o := small(t)
			j := open(t, o)
			st := testStatement(j.Prepare(testContext()))
			for range 2400 {
				record(t, j, st)
				j.Release(1)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			numbers, err := segmentNumbers(j.id.dir)
			if err != nil || len(numbers) < 4 {
				t.Fatal(numbers, err)
			}
			if err := os.Remove(segmentPath(j, pick(numbers))); err != nil {
				t.Fatal(err)
			}
			var damage *CorruptionError
			if _, err := tryReadAll(o.Path); !errors.As(err, &damage) {
				t.Errorf("read: %v", err)
			}
			if _, err := Open(o); !errors.As(err, &damage) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	i := killed(t)
	i.content[offVersion] = 4
	i.write(t, i.content)
	if _, err := tryReadAll(i.path); err == nil || !strings.Contains(err.Error(), "format version 4") {
		t.Error(err)
	}
}
