package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// archiveWatch collects what an archiver tells.
type archiveWatch struct {
	archived []string
	removed  []string
	failed   []error
	sealed   []string
	waiting  int
	since    time.Time
}

func (w *archiveWatch) Archived(file string, plain, stored int64) {
	w.archived = append(w.archived, file)
}

func (w *archiveWatch) ArchiveFailed(file string, err error) {
	w.failed = append(w.failed, fmt.Errorf("%s: %w", file, err))
}

func (w *archiveWatch) Encrypted(file string) { w.sealed = append(w.sealed, file) }

func (w *archiveWatch) Waiting(segments int, since time.Time) { w.waiting, w.since = segments, since }

func (w *archiveWatch) Removed(file string, bytes int64) { w.removed = append(w.removed, file) }

// archiveAll archives what is sealed, once.
func archiveAll(t testing.TB, path string) *archiveWatch {
	t.Helper()
	w := &archiveWatch{}
	a := newArchiver(thisMachine{}, path, w, make(chan struct{}))
	a.pass()
	if a.lock != nil {
		if err := a.lock.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.failed) > 0 {
		t.Fatalf("archive: %v", w.failed)
	}
	return w
}

// plainFiles reads a journal's plain segments.
func plainFiles(t testing.TB, path string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for _, f := range files {
		content[f] = mustRead(t, f)
	}
	return content
}

// people writes a stream in which each segment knows few of many sessions.
func people(t testing.TB, o Options, n int) {
	t.Helper()
	j := open(t, o)
	for i := range n {
		c := testContext()
		c.Session = fmt.Sprintf("session-%04d", i/20)
		c.Principal.Account = fmt.Sprintf("user%03d", i/50)
		c.Principal.UPN, c.Principal.SID = c.Principal.Account+"@corp.example.com", fmt.Sprintf("S-1-5-21-%d", i/50)
		ev := testStatement(j.Prepare(c))
		if i%100 == 7 {
			ev.Class, ev.Tags = statement.Write, statement.TagDestructive
		}
		r := record(t, j, ev)
		record(t, j, testOutcome(j.Prepare(c), r.Sequence))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestArchiveRestoresTheVerySegment(t *testing.T) {
	checkLeaks(t)
	path := t.TempDir()
	o := signedOptions(t, path)
	people(t, o, 400)
	people(t, o, 400)
	plain, records := plainFiles(t, path), readAll(t, path)
	if w := archiveAll(t, path); len(w.archived) != len(plain) || len(plain) < 6 {
		t.Fatalf("%d of %d segments were archived", len(w.archived), len(plain))
	}
	for file, content := range plain {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
		packed, err := os.Open(file + ".zst")
		if err != nil {
			t.Fatal(err)
		}
		d, err := zstd.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		restored, err := io.ReadAll(d)
		d.Close()
		_ = packed.Close()
		if err != nil || !bytes.Equal(restored, content) {
			t.Errorf("%s: %d bytes of %d, %v", file, len(restored), len(content), err)
		}
	}
	if again := readAll(t, path); !reflect.DeepEqual(again, records) {
		t.Error("the archived journal reads otherwise")
	}
	if v := mustVerify(t, path); len(v.Notes) > 0 {
		t.Error(v.Notes)
	}
	people(t, o, 10) // recovery reads containers, and the next stream follows them
	mustVerify(t, path)
	if w := archiveAll(t, path); len(w.archived) != 1 {
		t.Errorf("archived again: %v", w.archived)
	}
	mustVerify(t, path)
}

// TestArchiveIsKilled ends the archiver before each of its steps.
func TestArchiveIsKilled(t *testing.T) {
	whole := t.TempDir()
	people(t, signedOptions(t, whole), 120)
	records := readAll(t, whole)
	steps := 0
	for at, more := 0, true; more; at++ {
		path := copyTree(t, whole)
		a := newArchiver(thisMachine{}, path, &archiveWatch{}, make(chan struct{}))
		n := 0
		a.step = func(string) error {
			if n++; n > at {
				runtime.Goexit()
			}
			return nil
		}
		more = false
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = a.lock.Close() }()
			more = true
			a.pass()
			more = false
		}()
		<-done
		if again := readAll(t, path); !reflect.DeepEqual(again, records) {
			t.Fatalf("killed at step %d: the journal reads otherwise", at)
		}
		mustVerify(t, path)
		archiveAll(t, path)
		if again := readAll(t, path); !reflect.DeepEqual(again, records) {
			t.Fatalf("killed at step %d and done again: the journal reads otherwise", at)
		}
		if v := mustVerify(t, path); len(v.Notes) > 0 || len(plainFiles(t, path)) > 0 {
			t.Fatalf("killed at step %d and done again: %v", at, v.Notes)
		}
		left, err := filepath.Glob(filepath.Join(path, "*", "*.tmp"))
		if err != nil || len(left) > 0 {
			t.Fatalf("killed at step %d and done again: %v, %v", at, left, err)
		}
		steps++
	}
	if steps < 20 {
		t.Errorf("%d steps only", steps)
	}
}

// A step that fails leaves the segment as it is, and says so.
func TestArchiveFails(t *testing.T) {
	path := t.TempDir()
	people(t, signedOptions(t, path), 100)
	plain := plainFiles(t, path)
	for _, what := range []string{
		"create the container", "sync the container", "create the index", "sync the index", "name the index",
		"name the container", "sync the names", "remove the plain segment",
	} {
		w := &archiveWatch{}
		a := newArchiver(thisMachine{}, path, w, make(chan struct{}))
		a.step = func(s string) error {
			if s == what {
				return errors.New("no room")
			}
			return nil
		}
		a.pass()
		_ = a.lock.Close()
		if len(w.failed) != 1 || !strings.Contains(w.failed[0].Error(), "00000001.seg: ") || len(w.archived) > 0 {
			t.Errorf("%s: %v", what, w.failed)
		}
		if now := plainFiles(t, path); !reflect.DeepEqual(now, plain) {
			t.Errorf("%s: the segments changed", what)
		}
		mustVerify(t, path)
	}
}

func TestArchiveRefusesDamage(t *testing.T) {
	path := t.TempDir()
	people(t, signedOptions(t, path), 100)
	files := plainFiles(t, path)
	for file, content := range files {
		content[5000] ^= 1
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &archiveWatch{}
	a := newArchiver(thisMachine{}, path, w, make(chan struct{}))
	a.pass()
	_ = a.lock.Close()
	var damage *CorruptionError
	if len(w.failed) != 1 || !errors.As(w.failed[0], &damage) || len(w.archived) > 0 || len(plainFiles(t, path)) != len(files) {
		t.Errorf("%v, archived %v", w.failed, w.archived)
	}
}

// A container that is whole, and of another segment, is not taken for this one's.
func TestArchiveProves(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	people(t, o, 100)
	people(t, o, 100)
	var files []string
	for file := range plainFiles(t, path) {
		if strings.HasSuffix(file, "/00000001.seg") {
			files = append(files, file)
		}
	}
	a := newArchiver(thisMachine{}, path, &archiveWatch{}, make(chan struct{}))
	for i, from := range files {
		for k, against := range files {
			packed, err := openSegment(filepath.Dir(from), 1)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := openSegment(filepath.Dir(against), 1)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(t.TempDir(), "container")
			x := a.indexer(packed, packed.head.start)
			end, err := a.pack(packed, to, x)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = a.prove(plain.file, to, x, end)
			if (err == nil) != (i == k) || err != nil && !strings.Contains(err.Error(), "does not hold the segment's bytes from 0 on") {
				t.Errorf("of segment %d against %d: %v", i, k, err)
			}
			packed.close()
			plain.close()
		}
	}
	if len(files) != 2 {
		t.Errorf("%d streams", len(files))
	}
}

// A later pass of the same archiver begins behind the containers that it knows; one of
// another process looks at all of them.
func TestArchiverLeavesTheSettledAlone(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	people(t, o, 400)
	a := newArchiver(thisMachine{}, path, &archiveWatch{}, make(chan struct{}))
	a.pass()
	indexes, err := filepath.Glob(filepath.Join(path, "*", "*.idx"))
	if err != nil || len(indexes) < 3 || len(a.checked) > 0 {
		t.Fatal(indexes, err, a.checked)
	}
	if err := os.Remove(indexes[0]); err != nil {
		t.Fatal(err)
	}
	people(t, o, 10) // a stream more
	w := &archiveWatch{}
	a.observer = w
	a.pass()
	_ = a.lock.Close()
	if _, err := os.Stat(indexes[0]); !errors.Is(err, os.ErrNotExist) || len(w.archived) != 1 {
		t.Errorf("archived %v; the index of the first segment: %v", w.archived, err)
	}
	archiveAll(t, path)
	if _, err := os.Stat(indexes[0]); err != nil {
		t.Error(err)
	}
	mustVerify(t, path)
}

func TestOneArchiverOfAJournal(t *testing.T) {
	path := t.TempDir()
	people(t, signedOptions(t, path), 10)
	first := newArchiver(thisMachine{}, path, nil, make(chan struct{}))
	second := newArchiver(thisMachine{}, path, nil, make(chan struct{}))
	if !first.mine() || second.mine() {
		t.Error("two archive one journal")
	}
	second.pass()
	if len(plainFiles(t, path)) != 1 {
		t.Error("the second one archived")
	}
	_ = first.lock.Close()
	if !second.mine() {
		t.Error("nobody took over")
	}
	_ = second.lock.Close()
}

// A reader that is within a segment reads on when that is archived, and one that
// follows a journal meets every record once while it is written and archived.
func TestArchiveUnderReaders(t *testing.T) {
	path := t.TempDir()
	people(t, signedOptions(t, path), 400)
	records := readAll(t, path)
	r, err := OpenReader(ReaderOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range records {
		if i == 10 {
			archiveAll(t, path)
		}
		if got, err := r.Next(); err != nil || !reflect.DeepEqual(got, records[i]) {
			t.Fatalf("record %d: %+v, %v", i, got, err)
		}
	}
}

func TestArchiveWhileWriting(t *testing.T) {
	checkLeaks(t)
	const n = 4000
	o := signedOptions(t, t.TempDir())
	o.Compress = true
	j := open(t, o)
	done := make(chan int)
	go func() { done <- followUntil(t, o.Path, n) }()
	p := j.Prepare(testContext())
	for range n {
		record(t, j, testOutcome(p, 1))
	}
	if got := <-done; got != n {
		t.Errorf("%d records of %d", got, n)
	}
	waitFor(t, "a container", func() bool {
		_, err := os.Stat(segmentPath(j, 1) + packedSuffix)
		return err == nil
	})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Path)
	open(t, o) // whatever is left is archived at the next start
	waitFor(t, "all containers", func() bool {
		files, err := filepath.Glob(filepath.Join(j.id.dir, "*.seg"))
		return err == nil && len(files) == 0
	})
	mustVerify(t, o.Path)
}

// A record that is larger than a frame goes over several.
func TestArchiveLargeRecords(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	j := open(t, o)
	p := j.Prepare(testContext())
	for i := range 4 {
		ev := testStatement(p)
		ev.Text = strings.Repeat(fmt.Sprint(i), i*maxFrame+i)
		record(t, j, ev)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records := readAll(t, path)
	archiveAll(t, path)
	if again := readAll(t, path); !reflect.DeepEqual(again, records) {
		t.Error("the archived journal reads otherwise")
	}
	mustVerify(t, path)
	if len(plainFiles(t, path)) > 0 {
		t.Error("not all was archived")
	}
	for _, c := range containers(t, path) {
		for _, f := range c.frames {
			if f.size > maxFrame {
				t.Errorf("a frame of %d bytes", f.size)
			}
		}
	}
}

func containers(t *testing.T, path string) []*container {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*", "*.zst"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var all []*container
	for _, f := range files {
		c, err := openContainer(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all
}

// Damage to a container is refused, or changes nothing that is read.
func TestArchiveEveryByte(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	j := open(t, o)
	p := j.Prepare(&audit.Context{Session: "01JD8Z3V9M4Q7T2X5B6C8D9E0F"})
	for range 5 {
		record(t, j, testStatement(p))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records := readAll(t, path)
	archiveAll(t, path)
	file := containers(t, path)[0].path
	whole := mustRead(t, file)
	check := func(what string, at int, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := tryReadAll(path)
		var damage *CorruptionError
		switch {
		case errors.As(err, &damage):
		case err != nil || !reflect.DeepEqual(again, records):
			t.Errorf("%s at byte %d: %d records, %v", what, at, len(again), err)
		}
		if v := verifyAll(t, path); len(v.Findings) == 0 {
			t.Errorf("%s at byte %d: verify is content", what, at)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		check("flipped", at, b)
		check("cut", at, whole[:at])
	}
}
