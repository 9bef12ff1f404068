package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// serially reads the only stream of a journal record by record.
func serially(t *testing.T, path string) (all []*Record, err error) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(path, "node-1-*"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	s := streamReader{dir: dirs[0], name: filepath.Base(dirs[0])}
	defer s.close()
	var none interner
	for err = s.open(time.Time{}); err == nil; {
		var raw rawRecord
		if raw, err = s.readRaw(); err != nil {
			break
		}
		var r *Record
		if r, err = newRecord(s.dir, s.cur.head, &raw, &none); err != nil {
			return all, s.cur.corrupt(raw.offset, err.Error())
		}
		all = append(all, r)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, err
}

// large is a journal of segments with several chunks.
func large(t *testing.T) string {
	t.Helper()
	o := Options{Path: t.TempDir(), Node: "node-1", SegmentSize: 5 << 19, Reserve: 64 << 10}
	people(t, o, 5000)
	return o.Path
}

func sameAsSerial(t *testing.T, path, what string) {
	t.Helper()
	want, wantErr := serially(t, path)
	got, gotErr := tryReadAll(path)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("%s: %v instead of %v", what, gotErr, wantErr)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d records instead of %d (%v)", what, len(got), len(want), wantErr)
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%s: record %d: %+v instead of %+v", what, i, got[i], want[i])
		}
	}
}

// TestScanReadsTheSame holds reading ahead against reading record by record: on a
// journal that is whole, and on one that is damaged anywhere.
func TestScanReadsTheSame(t *testing.T) {
	checkLeaks(t)
	for _, form := range []string{"plain", "archived"} {
		t.Run(form, func(t *testing.T) {
			path := large(t)
			if form == "archived" {
				archiveAll(t, path)
			}
			sameAsSerial(t, path, "whole")
			rng := rand.New(rand.NewPCG(3, 4))
			files, err := filepath.Glob(filepath.Join(path, "*", "*.[si][ed][gx]*"))
			if err != nil || len(files) < 3 {
				t.Fatal(files, err)
			}
			for range 16 {
				file := files[rng.IntN(len(files))]
				content := mustRead(t, file)
				damaged, what := harm(rng, content)
				if err := os.WriteFile(file, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				sameAsSerial(t, path, filepath.Base(file)+" "+what)
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func harm(rng *rand.Rand, content []byte) ([]byte, string) {
	b, at := slices.Clone(content), rng.IntN(len(content))
	switch rng.IntN(4) {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
		return b, fmt.Sprintf("flipped at %d", at)
	case 1:
		return b[:at], fmt.Sprintf("cut at %d", at)
	case 2:
		clear(b[at:min(len(b), at+1+rng.IntN(2000))])
		return b, fmt.Sprintf("zeros at %d", at)
	default:
		from := rng.IntN(len(content)) &^ 7
		copy(b[at&^7:], content[from:min(len(content), from+800)])
		return b, fmt.Sprintf("%d copied to %d", from, at&^7)
	}
}

// TestScanAheadOfAWriter reads while records are written, to the last.
func TestScanAheadOfAWriter(t *testing.T) {
	checkLeaks(t)
	o := Options{Path: t.TempDir(), Node: "node-1", SegmentSize: 1 << 20, Reserve: 64 << 10}
	j := open(t, o)
	const records = 8000
	written := make(chan error, 1)
	go func() {
		ev := testStatement(j.Prepare(testContext()))
		for range records {
			if _, err := j.Record(ev); err != nil {
				written <- err
				return
			}
			j.Release(1)
		}
		written <- nil
	}()
	reader, err := OpenReader(ReaderOptions{Path: o.Path})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	next, statements := uint64(1), 0
	waitFor(t, "the last record", func() bool {
		for {
			r, err := reader.Next()
			if errors.Is(err, io.EOF) {
				return statements == records
			}
			if err != nil || r.Sequence != next {
				t.Fatalf("record %d instead of %d: %v", r.Sequence, next, err)
			}
			next++
			if r.Type == audit.Statement {
				statements++
			}
		}
	})
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// TestScanLeft closes a reader in the midst of what is read ahead.
func TestScanLeft(t *testing.T) {
	checkLeaks(t)
	path := large(t)
	for _, n := range []int{0, 1, 200, 3000} {
		reader, err := OpenReader(ReaderOptions{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := reader.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPassedFrames asks for an account in a journal whose index knows where it is,
// with an outcome far behind its statement, where the index has nothing of the
// account: who awaits it gets it.
func TestPassedFrames(t *testing.T) {
	o := Options{Path: t.TempDir(), Node: "node-1", SegmentSize: 5 << 19, Reserve: 64 << 10}
	j := open(t, o)
	c := testContext()
	other := *c
	other.Principal.Account, other.Principal.UPN, other.Principal.SID = "carol", "carol@corp", "S-1-5-9"
	alice, carol := j.Prepare(c), j.Prepare(&other)
	asked := record(t, j, testStatement(alice))
	noise := func() {
		for range 16000 {
			r := record(t, j, testStatement(carol))
			record(t, j, testOutcome(carol, r.Sequence))
		}
	}
	noise()
	answer := record(t, j, testOutcome(carol, asked.Sequence)) // by another account, so that no index tells
	noise()
	again := record(t, j, testStatement(alice))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	archiveAll(t, o.Path)

	want := []uint64{asked.Sequence, answer.Sequence, again.Sequence}
	got, looked := selected(t, o.Path, asked.Sequence)
	if !slices.Equal(got, want) {
		t.Fatalf("records %v instead of %v", got, want)
	}
	if looked > again.Sequence*3/4 {
		t.Errorf("%d of %d records were looked at", looked, again.Sequence)
	}
}

// selected asks for alice, and for what came of her statement.
func selected(t *testing.T, path string, asked uint64) (got []uint64, looked uint64) {
	t.Helper()
	awaited := false
	var picked atomic.Uint64
	selection := &Selection{
		Fields: []string{"account"},
		Picker: func() func(*Raw) Choice {
			return func(r *Raw) Choice {
				picked.Add(1)
				if string(r.Field(0)) == "alice" {
					return Yes
				}
				return Maybe
			}
		},
		Confirm: func(r *Reference) bool { return r.Type == audit.Outcome && r.Statement == asked },
		Awaits:  func(string) bool { return awaited },
		Span:    func(s *Span) bool { return s.MayHoldPrincipal("ALICE") },
	}
	reader, err := OpenReader(ReaderOptions{Path: path, Select: selection})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for {
		r, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return got, picked.Load()
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Sequence)
		awaited = r.Sequence == asked
	}
}
