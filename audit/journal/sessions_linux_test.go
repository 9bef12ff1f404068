package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// crowd records what several sessions do, out of order, and returns the session that
// each record is of, by its sequence.
func crowd(t testing.TB, o Options, records int) (dir string, of map[uint64]*audit.Context) {
	t.Helper()
	j := open(t, o)
	of = map[uint64]*audit.Context{}
	contexts := make([]*audit.Context, 7)
	prepared := make([]*audit.Prepared, len(contexts))
	for i := range contexts {
		c := testContext()
		c.Session, c.Principal.Account = fmt.Sprintf("session-%d", i), fmt.Sprintf("account%d", i)
		c.Reason = strings.Repeat("x", 1000*i)
		contexts[i], prepared[i] = c, j.Prepare(c)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for n := range records {
		i := chance.IntN(len(contexts))
		st := testStatement(prepared[i])
		st.Text = strings.Repeat("y", chance.IntN(400))
		if n%977 == 0 {
			st.Missing = strings.Repeat("z", shareBlock/3) // blocks end where they do
		}
		r := record(t, j, st)
		of[r.Sequence] = contexts[i]
		who := chance.IntN(len(contexts))
		out := testOutcome(prepared[who], r.Sequence)
		of[record(t, j, out).Sequence] = contexts[who]
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(o.Path, j.Stream()), of
}

// checkCrowd reads the journal, and holds each record against who it is of.
func checkCrowd(t *testing.T, path string, of map[uint64]*audit.Context) {
	t.Helper()
	all := readAll(t, path)
	seen := 0
	for _, r := range all {
		c := of[r.Sequence]
		if c == nil {
			continue
		}
		seen++
		if r.Session != c.Session || !reflect.DeepEqual(r.Principal, c.Principal) || r.Reason != c.Reason || r.BackendPID != uint64(c.BackendPID) ||
			r.Source.Via != c.Source.Via.String() {
			if !r.Cut || r.Session != c.Session {
				t.Fatalf("record %d of %s is read as one of %s, %+v", r.Sequence, c.Session, r.Session, r.Principal)
			}
		}
	}
	if seen != len(of) {
		t.Fatalf("%d of %d records", seen, len(of))
	}
}

// TestSessionsAreShared reads what sessions have in common in each form, from each place.
func TestSessionsAreShared(t *testing.T) {
	_, signer := testKey(1)
	o := Options{Path: t.TempDir(), Node: "n", SegmentSize: 7 << 20, Reserve: 64 << 10, Signer: signer}
	dir, of := crowd(t, o, 12_000)
	checkCrowd(t, o.Path, of)
	mustVerify(t, o.Path)
	sharedWithinBlocks(t, dir)
	// From the middle of a block, and with a selection.
	alone(t, o.Path, of)
	archiveAll(t, o.Path)
	checkCrowd(t, o.Path, of)
	mustVerify(t, o.Path)
	sharedWithinBlocks(t, dir)
	alone(t, o.Path, of)
}

// sharedWithinBlocks holds that few records have the fields of their session themselves,
// and that others name one in their own block, and frame.
func sharedWithinBlocks(t *testing.T, dir string) {
	t.Helper()
	numbers, err := segmentNumbers(dir)
	if err != nil {
		t.Fatal(err)
	}
	own, shared := 0, 0
	for _, number := range numbers {
		seg, err := openSegment(dir, number)
		if err != nil {
			t.Fatal(err)
		}
		packed, _ := seg.file.(*container)
		for {
			r, hole, err := seg.read()
			if err != nil || hole != nil {
				break
			}
			switch {
			case r.shared == 0:
				own++
			case packed != nil && frameOf(packed, r.shared) != frameOf(packed, r.offset):
				t.Fatalf("the record at %d has its session from another frame, at %d", r.offset, r.shared)
			default:
				shared++
			}
		}
		seg.close()
	}
	if own > shared/20 {
		t.Errorf("%d records have the fields of their sessions themselves, %d from another", own, shared)
	}
}

func frameOf(c *container, off int64) int {
	for i := range c.frames {
		if off < c.frames[i].end() {
			return i
		}
	}
	return -1
}

// alone selects the records of one session, and what Confirm says of others.
func alone(t *testing.T, path string, of map[uint64]*audit.Context) {
	t.Helper()
	const wanted = "session-3"
	r, err := OpenReader(ReaderOptions{Path: path, Select: &Selection{
		Fields: []string{"session"},
		Picker: func() func(*Raw) Choice {
			return func(raw *Raw) Choice {
				if string(raw.Field(0)) == wanted {
					return Maybe
				}
				return No
			}
		},
		Confirm: func(ref *Reference) bool { return string(ref.Session) == wanted },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, want := 0, 0
	for _, c := range of {
		if c.Session == wanted {
			want++
		}
	}
	for {
		record, err := r.Next()
		if err != nil {
			break
		}
		if record.Session != wanted || record.Principal.Account != "account3" || of[record.Sequence].Session != wanted {
			t.Fatalf("record %d of %s, %s", record.Sequence, record.Session, record.Principal.Account)
		}
		got++
	}
	if got != want {
		t.Errorf("%d of %d records", got, want)
	}
}

// TestForgedShares has records name as their session's what cannot be it. The sums are
// right, so that only the reference is wrong.
func TestForgedShares(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	o.SegmentSize = 4 << 20
	dir := writeStream(t, o, 9000)
	records := take(t, filepath.Join(dir, fileName(1))).records
	sharing := 0
	for binary.LittleEndian.Uint64(records[sharing][offShared:]) == 0 {
		sharing++
	}
	first := int(binary.LittleEndian.Uint64(records[sharing][offShared:]))
	for name, forge := range map[string]func(f *forged, at []int) int{ // returns the record that was changed
		"itself":                 func(f *forged, at []int) int { return point(f, 5, at[5]) },
		"a later record":         func(f *forged, at []int) int { return point(f, 5, at[6]) },
		"within a record":        func(f *forged, at []int) int { return point(f, 5, at[3]+8) },
		"no multiple of 8":       func(f *forged, at []int) int { return point(f, 5, first+4) },
		"the header":             func(f *forged, at []int) int { return point(f, 5, 8) },
		"nothing of its block":   func(f *forged, at []int) int { return point(f, 8000, first) },
		"beyond the segment":     func(f *forged, at []int) int { return point(f, 5, 1<<40) },
		"below zero":             func(f *forged, at []int) int { return point(f, 5, -8) },
		"a record that has none": func(f *forged, at []int) int { return point(f, 5, at[0]) },
		"a record that shares":   func(f *forged, at []int) int { return point(f, 5, at[3]) },
		"in an older version":    func(f *forged, at []int) int { older(f); return sharing },
	} {
		t.Run(name, func(t *testing.T) {
			copied := copyTree(t, path)
			f := take(t, filepath.Join(copied, filepath.Base(dir), fileName(1)))
			at, p := make([]int, len(f.records)), 4096
			for i, r := range f.records {
				at[i] = p
				p += len(r)
			}
			changed := forge(f, at)
			f.renumber()
			f.put(t, 1, [32]byte{})
			var damage *CorruptionError
			all, err := tryReadAll(copied)
			if !errors.As(err, &damage) || damage.Offset != int64(at[changed]) || len(all) != changed {
				t.Errorf("%d records, %v", len(all), err)
			}
			if v := verifyAll(t, copied); len(v.Findings) == 0 {
				t.Error("verify finds nothing")
			}
		})
	}
}

// point has a record refer to an offset.
func point(f *forged, record, to int) int {
	binary.LittleEndian.PutUint64(f.records[record][offShared:], uint64(to))
	return record
}

// older makes the segment one of version 2, where no record refers to another.
func older(f *forged) {
	binary.LittleEndian.PutUint32(f.header[offVersion:], 2)
	binary.LittleEndian.PutUint32(f.header[offStaticSum:], sum(f.header[:offStaticSum]))
}

// TestOlderVersionIsRead reads a stream as the version before wrote it.
func TestOlderVersionIsRead(t *testing.T) {
	o := small(t)
	j := open(t, o)
	for range 3 {
		st := testStatement(nil)
		st.Context = testContext()
		record(t, j, st)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	f := take(t, segmentPath(j, 1))
	older(f)
	f.renumber()
	f.put(t, sealClosed, f.chain())
	n := 0
	for _, r := range readAll(t, o.Path) {
		if r.Type == audit.Statement && r.Principal.Account == "alice" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d of 3 records", n)
	}
	if err := open(t, o).Close(); err != nil {
		t.Error(err)
	}
}
