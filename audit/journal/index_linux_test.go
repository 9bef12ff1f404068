package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// archivedPeople archives a journal and returns its path and its one stream.
func archivedPeople(t *testing.T) (path, dir string) {
	t.Helper()
	path = t.TempDir()
	people(t, signedOptions(t, path), 400)
	archiveAll(t, path)
	dirs, err := filepath.Glob(filepath.Join(path, "*-*-*"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	return path, dirs[0]
}

// TestIndexTellsOfEveryRecord holds each span against what is in it.
func TestIndexTellsOfEveryRecord(t *testing.T) {
	_, dir := archivedPeople(t)
	numbers, err := segmentNumbers(dir)
	if err != nil || len(numbers) < 3 {
		t.Fatal(numbers, err)
	}
	strangers := 0
	for _, number := range numbers {
		var counted uint64
		x := indexTells(t, dir, number, func(*rawRecord, *Span) { counted++ })
		if x.Whole.Count != counted || x.First != x.Whole.First || x.Last != x.First+counted-1 {
			t.Errorf("segment %d: %+v", number, x.Label)
		}
		if !x.Whole.MayHoldPrincipal("USER007@Corp.Example.com") {
			strangers++
		}
	}
	if strangers == 0 {
		t.Error("every segment may hold user007")
	}
}

// A record may refer to a session's fields that are in the frame before its own: a large
// one has a frame for itself, and is in the block where it begins.
func TestIndexTellsOfSessionsElsewhere(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	o.SegmentSize = 8 << 20
	dir := writeStream(t, o, 2)
	f := take(t, filepath.Join(dir, "00000001.seg"))
	first := slices.IndexFunc(f.records, func(r []byte) bool { return fieldValue(r[recordHeader:binary.LittleEndian.Uint32(r)], 2) != nil })
	at := uint64(headerSize)
	for _, r := range f.records[:first] {
		at += uint64(len(r))
	}
	for _, size := range []int{shareBlock * 6 / 10, maxFrame * 8 / 10} {
		r := make([]byte, recordHeader, align(int64(recordHeader+6+size)))
		r = binary.LittleEndian.AppendUint16(r, 60000) // a field of a later version
		r = binary.LittleEndian.AppendUint32(r, uint32(size))
		r = r[:cap(r)]
		binary.LittleEndian.PutUint32(r, uint32(recordHeader+6+size))
		copy(r[offTime:offShared], f.records[first][offTime:])
		binary.LittleEndian.PutUint64(r[offShared:], at)
		f.records = append(f.records, r)
	}
	f.renumber()
	f.put(t, 2, f.chain())
	archiveAll(t, path)
	elsewhere := 0
	indexTells(t, dir, 1, func(raw *rawRecord, f *Span) {
		if raw.shared != 0 && raw.shared < f.At {
			elsewhere++
		}
	})
	if elsewhere != 1 {
		t.Errorf("%d records have their session in another frame", elsewhere)
	}
}

// indexTells holds the index of a container against each record in it that can be
// decoded: whoever reads another fails, and passes over nothing. It shows each to visit,
// with the span of its frame.
func indexTells(t *testing.T, dir string, number uint64, visit func(*rawRecord, *Span)) *Index {
	t.Helper()
	seg, err := openSegment(dir, number)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.close()
	x, err := seg.index()
	if err != nil || x == nil {
		t.Fatal(x, err)
	}
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			return x
		}
		if err != nil || hole != nil {
			t.Fatal(hole, err)
		}
		var its *Span
		found := 0
		for i := range x.Frames {
			if f := &x.Frames[i]; raw.offset >= f.At && raw.offset < f.At+f.Size {
				its = f
				found++
			}
		}
		if found != 1 {
			t.Fatalf("record %d is in %d frames", raw.sequence, found)
		}
		var r Record
		if r.decode(raw.body) == nil {
			checkSpan(t, &x.Whole, &raw, &r)
			checkSpan(t, its, &raw, &r)
		}
		visit(&raw, its)
	}
}

func checkSpan(t *testing.T, s *Span, raw *rawRecord, r *Record) {
	t.Helper()
	ok := s.HasType(raw.number) && !raw.at().Before(s.Earliest) && !raw.at().After(s.Latest) &&
		raw.sequence >= s.First && raw.sequence < s.First+s.Count
	for _, name := range []string{r.Principal.Account, r.Principal.UPN, r.Principal.SID, r.User} {
		ok = ok && (name == "" || s.MayHoldPrincipal(strings.ToUpper(name)))
	}
	ok = ok && (r.Session == "" || s.MayHoldSession(strings.ToUpper(r.Session)))
	for _, bits := range []struct {
		id   uint16
		have uint64
	}{{51, s.Classes}, {52, s.Tags}} {
		if v := fieldValue(raw.body, bits.id); v != nil {
			ok = ok && binary.LittleEndian.Uint64(v)&^bits.have == 0
		}
	}
	if !ok {
		t.Errorf("record %d is not in its span", raw.sequence)
	}
}

func fieldValue(body []byte, id uint16) []byte {
	for _, f := range split(body) {
		if f.id == id {
			return f.value
		}
	}
	return nil
}

// Names that differ in case only, in any script, have one key.
func TestKeysKnowNoCase(t *testing.T) {
	for _, pair := range [][2]string{
		{"alice", "ALICE"}, {"straße", "STRAßE"}, {"Σίσυφος", "ΣΊΣΥΦΟΣ"}, {"K", "\u212a"}, {"s", "\u017f"}, {"\xff", "\xfe"}, {"i_[", "I_["},
	} {
		if !strings.EqualFold(pair[0], pair[1]) || keyOf([]byte(pair[0])) != keyOf([]byte(pair[1])) {
			t.Errorf("%q and %q", pair[0], pair[1])
		}
	}
	if keyOf([]byte("alice")) == keyOf([]byte("bob")) {
		t.Error("alice is bob")
	}
}

// Where there are too many to list, an index says that there may be anybody.
func TestIndexOfManyIsSafe(t *testing.T) {
	k := keyMaker{most: 3}
	for i := range uint64(5) {
		k.add(i)
	}
	var set keySet
	if _, err := set.parse(k.encode(nil)); err != nil || !set.may(77) || !k.any {
		t.Errorf("%+v, %v", set, err)
	}
	// A record whose session's fields were cut away may be anybody's.
	x := newIndexer(&segmentHeader{}, [32]byte{})
	x.add(&rawRecord{flags: 1}, 0)
	if !x.whole.principals.any || !x.frames[0].principals.any {
		t.Error("a record of nobody is passed over")
	}
}

// A damaged index costs speed, never records; and it is made anew.
func TestDamagedIndexIsIgnored(t *testing.T) {
	path, dir := archivedPeople(t)
	records := readAll(t, path)
	file := filepath.Join(dir, indexName(1))
	whole := mustRead(t, file)
	check := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		seg, err := openSegment(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer seg.close()
		if x, err := seg.index(); x != nil || err != nil {
			t.Fatalf("an index of %d bytes is believed: %v", len(content), err)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		check(b)
		check(whole[:at])
	}
	check(append(bytes.Clone(whole), 0))
	if v := mustVerify(t, path); len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "cannot be used") {
		t.Errorf("notes: %q", v.Notes)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if v := mustVerify(t, path); len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "missing") {
		t.Errorf("notes: %q", v.Notes)
	}
	if !reflect.DeepEqual(readAll(t, path), records) {
		t.Error("the journal reads otherwise")
	}
	archiveAll(t, path)
	if !bytes.Equal(mustRead(t, file), whole) {
		t.Error("the index that was made anew is another one")
	}
}

// An index that lies, with checksums that are right, is found.
func TestVerifyFindsALyingIndex(t *testing.T) {
	path, dir := archivedPeople(t)
	file := filepath.Join(dir, indexName(2))
	whole := mustRead(t, file)
	for name, lie := range map[string]func(b []byte){
		"a type is missing":      func(b []byte) { b[labelSize+64] &^= 1 << 7 },
		"a time is later":        func(b []byte) { b[labelSize+48]++ },
		"a principal is another": func(b []byte) { b[labelSize+spanSize+4]++ },
		"the chain is another":   func(b []byte) { b[130]++ },
		"the hash is another":    func(b []byte) { b[60]++ },
	} {
		b := bytes.Clone(whole)
		lie(b)
		binary.LittleEndian.PutUint32(b[192:], crc32.Checksum(b[labelSize:], castagnoliReader))
		binary.LittleEndian.PutUint32(b[252:], crc32.Checksum(b[:252], castagnoliReader))
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		v := verifyAll(t, path)
		if len(v.Findings) != 1 || v.Findings[0].Segment != 2 || !strings.Contains(v.Findings[0].Reason, "index") {
			t.Errorf("%s: %v", name, v.Findings)
		}
	}
	// An index of another segment is not one of this.
	other := mustRead(t, filepath.Join(dir, indexName(1)))
	if err := os.WriteFile(file, other, 0o600); err != nil {
		t.Fatal(err)
	}
	seg, err := openSegment(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.close()
	if x, err := seg.index(); x != nil || err != nil {
		t.Error("the index of another segment is believed")
	}
	if v := verifyAll(t, path); len(v.Findings) != 1 {
		t.Errorf("%v", v.Findings)
	}
}

// A frame that would unpack to more than a frame may hold is refused.
func TestContainerBomb(t *testing.T) {
	var b bytes.Buffer
	w, err := newContainerWriter(&b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{make([]byte, 4096), make([]byte, 4096), make([]byte, 96)} {
		_, err := w.add(part, 0)
		if err := errors.Join(err, w.cut()); err != nil {
			t.Fatal(err)
		}
	}
	w.frame = make([]byte, 64*maxFrame)
	packed := w.pack.EncodeAll(w.frame, nil)
	w.frame = nil
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	// The second frame is exchanged for the bomb, and the table told.
	table := w.table.Bytes()
	first, second := binary.LittleEndian.Uint32(table), binary.LittleEndian.Uint32(table[8:])
	content := bytes.Clone(b.Bytes()[:first])
	content = append(content, packed...)
	rest := bytes.Clone(b.Bytes()[first+second:])
	binary.LittleEndian.PutUint32(rest[len(rest)-tableFoot-2*tableEntry:], uint32(len(packed)))
	file := filepath.Join(t.TempDir(), "00000001.seg.zst")
	if err := os.WriteFile(file, append(content, rest...), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := openContainer(file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var damage *CorruptionError
	if _, err := c.ReadAt(make([]byte, 1), 5000); !errors.As(err, &damage) {
		t.Errorf("%v, and %d bytes are held", err, cap(c.plain))
	}
}
