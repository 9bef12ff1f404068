package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// digestOf is the keyed digest of a text, as records show it.
func digestOf(j *Journal, text string) string {
	h := hmac.New(sha256.New, j.blobs.key.key[:])
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// longText is a text of n bytes that does not compress to nothing.
func longText(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("INSERT INTO t VALUES ")
	for b.Len() < n {
		b.WriteString("(" + strings.Repeat("x", r.IntN(9)) + string(rune('a'+r.IntN(26))) + "),")
	}
	return b.String()[:n]
}

func blobFiles(t testing.TB, path string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "blobs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestLongTextIsABlob(t *testing.T) {
	checkLeaks(t)
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	long := longText(3<<20, 1)
	texts := []string{
		"", "SELECT 1", strings.Repeat("x", audit.InlineText), strings.Repeat("x", audit.InlineText+1), long,
		long, // again
		"\x00\xff" + long[:20000],
	}
	for _, text := range texts {
		record(t, j, &audit.Event{Type: audit.Statement, Decision: audit.Denied, Text: text})
	}
	if files := blobFiles(t, o.Path); len(files) != 3 {
		t.Errorf("%d blobs: %v", len(files), files)
	}
	for i, r := range readEvents(t, o.Path)[1:] {
		text := texts[i]
		if r.TextDigest != digestOf(j, text) || r.TextLength() != int64(len(text)) {
			t.Errorf("record %d: digest %s, length %d", i, r.TextDigest, r.TextLength())
		}
		if (r.TextBlob != nil) != (len(text) > audit.InlineText) || r.TextBlob != nil && r.Text != "" {
			t.Errorf("record %d: %d bytes in the record, blob %v", i, len(r.Text), r.TextBlob)
		}
		if err := r.LoadText(0); err != nil || r.Text != text {
			t.Errorf("record %d: %d bytes of %d, %v", i, len(r.Text), len(text), err)
		}
		if err := r.LoadText(17); err != nil || r.TextBlob != nil && r.Text != text[:17] {
			t.Errorf("record %d: %q, %v", i, r.Text, err)
		}
	}
	proven(t, o.Path)
}

// proven fails the test where the journal does not verify.
func proven(t *testing.T, path string) {
	t.Helper()
	if v := verifyAll(t, path); len(v.Findings) > 0 {
		t.Error(v.Findings[0].String())
	}
}

// A flush opens nothing: where descriptors are scarce it would fail, and what could
// not be flushed ends the journal.
func TestFlushOpensNothing(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	st := testStatement(j.Prepare(testContext()))
	st.Text = strings.Repeat("x", audit.InlineText+1)
	j.flush.idle.Lock()
	r := record(t, j, st)
	blobs := filepath.Join(filepath.Dir(j.id.dir), blobFolder)
	err := os.Rename(blobs, blobs+"-away") // no path into it leads anywhere
	j.flush.idle.Unlock()
	if err == nil {
		err = j.Wait(t.Context(), r)
	}
	if err := errors.Join(err, os.Rename(blobs+"-away", blobs)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Record(st); err != nil {
		t.Error(err)
	}
}

func TestBlobOfAnyPieces(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	text := longText(100_000, 2)
	var first audit.BlobRef
	for i, step := range []int{1, 7, 4096, len(text)} {
		w, err := j.Blob()
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			if _, err := io.WriteString(w, rest[:min(step, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		ref, err := w.Commit()
		w.Discard()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = ref
		}
		if ref != first || ref.Length != int64(len(text)) || hex.EncodeToString(ref.Digest[:]) != digestOf(j, text) {
			t.Errorf("in pieces of %d: %v", step, ref)
		}
	}
	// A text of the same content finds it, and a record can name it.
	record(t, j, &audit.Event{Type: audit.Prepare, Text: text})
	record(t, j, &audit.Event{Type: audit.Statement, TextBlob: first})
	if n := len(blobFiles(t, o.Path)); n != 1 {
		t.Errorf("%d blobs", n)
	}
	for _, r := range readEvents(t, o.Path)[1:] {
		if r.TextBlob == nil || *r.TextBlob != first || r.TextDigest != digestOf(j, text) {
			t.Errorf("the record names %v", r.TextBlob)
		}
	}
	nothing, err := j.Blob()
	if err != nil {
		t.Fatal(err)
	}
	if ref, err := nothing.Commit(); err != nil || ref.Length != 0 || hex.EncodeToString(ref.Digest[:]) != digestOf(j, "") {
		t.Errorf("a blob of nothing: %v, %v", ref, err)
	}
	gone, err := j.Blob()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(gone, text[1:])
	gone.Discard()
	if left, _ := filepath.Glob(filepath.Join(j.id.dir, "blob-*")); len(left) > 0 || len(blobFiles(t, o.Path)) != 1 {
		t.Errorf("left behind: %v", left)
	}
	proven(t, o.Path)
}

// A later process finds what an earlier one stored, and takes away its drafts.
func TestBlobsOutliveTheProcess(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	text := longText(50_000, 3)
	record(t, j, &audit.Event{Type: audit.Prepare, Text: text})
	draft := filepath.Join(j.id.dir, "blob-99.tmp")
	if err := os.WriteFile(draft, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(blobFiles(t, o.Path)[0])
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, o)
	record(t, again, &audit.Event{Type: audit.Prepare, Text: text})
	files := blobFiles(t, o.Path)
	after, err := os.Stat(files[0])
	if err != nil || len(files) != 1 || !os.SameFile(before, after) {
		t.Errorf("stored again: %v, %v", files, err)
	}
	if _, err := os.Stat(draft); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the draft is still there: %v", err)
	}
	if again.blobs.key != j.blobs.key {
		t.Error("another key")
	}
	proven(t, o.Path)
}

// What was stored and then changed is not named again.
func TestChangedBlobIsStoredAnew(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	text := longText(50_000, 4)
	record(t, j, &audit.Event{Type: audit.Prepare, Text: text})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := blobFiles(t, o.Path)[0]
	flipBit(t, file, 100)
	if v := verifyAll(t, o.Path); len(v.Findings) != 1 {
		t.Fatalf("findings %v", v.Findings)
	}
	again := open(t, o)
	record(t, again, &audit.Event{Type: audit.Prepare, Text: text})
	proven(t, o.Path) // the same bytes stand under the name again
}

func flipBit(t testing.TB, file string, at int) {
	t.Helper()
	b := mustRead(t, file)
	b[at] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBlob(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	receipt := record(t, j, &audit.Event{Type: audit.Prepare, Text: longText(40_000, 5)})
	record(t, j, &audit.Event{Type: audit.Prepare, Text: "SELECT 1"})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := blobFiles(t, o.Path)[0]
	whole := mustRead(t, file)
	for name, test := range map[string]struct {
		damage func() error
		says   string
	}{
		"removed": {func() error { return os.Remove(file) }, "is missing"},
		"cut":     {func() error { return os.WriteFile(file, whole[:len(whole)-1], 0o600) }, "was changed"},
		"longer":  {func() error { return os.WriteFile(file, append(bytes.Clone(whole), 0), 0o600) }, "was changed"},
		"empty":   {func() error { return os.WriteFile(file, nil, 0o600) }, "was changed"},
		"flipped": {func() error { flipBit(t, file, len(whole)/2); return nil }, "was changed"},
	} {
		if err := errors.Join(os.WriteFile(file, whole, 0o600), test.damage()); err != nil {
			t.Fatal(err)
		}
		v := verifyAll(t, o.Path)
		if len(v.Findings) != 1 || v.Findings[0].Sequence != receipt.Sequence || !strings.Contains(v.Findings[0].Reason, test.says) {
			t.Errorf("%s: %v", name, v.Findings)
		}
		r := readEvents(t, o.Path)[1]
		if err := r.LoadText(0); err == nil || r.TextFault == "" {
			t.Errorf("%s: read without an error", name)
		}
		if b, err := r.MarshalJSON(); err != nil || !bytes.Contains(b, []byte(`"text_fault":"the blob `)) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

// A blob of another content under a name that fits is refused, and so is a frame
// that asks for more memory than blobs need.
func TestForgedBlob(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	a, b := longText(40_000, 6), longText(40_000, 7)
	record(t, j, &audit.Event{Type: audit.Prepare, Text: a})
	record(t, j, &audit.Event{Type: audit.Prepare, Text: b})
	records := readEvents(t, o.Path)[1:]
	from, to := blobPath(o.Path, records[1].TextBlob)+blobPlain, blobPath(o.Path, records[0].TextBlob)+blobPlain
	if err := os.WriteFile(to, mustRead(t, from), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := records[0].LoadText(0); !errors.Is(err, errBlobChanged) {
		t.Errorf("%v", err)
	}
	bomb := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00} // a window of 2 TB
	if err := os.WriteFile(to, bomb, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := records[0].LoadText(0); err == nil {
		t.Error("read without an error")
	}
}

func TestManyWritersOfOneBlob(t *testing.T) {
	checkLeaks(t)
	o := signedOptions(t, t.TempDir())
	o.SegmentSize, o.Reserve = 1<<20, 64<<10
	j := open(t, o)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				text := longText(20_000, uint64(k))
				if i%2 == 0 {
					if _, err := j.Record(&audit.Event{Type: audit.Prepare, Text: text}); err != nil {
						t.Error(err)
					}
					continue
				}
				w, err := j.Blob()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(w, text)
				ref, err := w.Commit()
				if err == nil {
					var r audit.Receipt
					if r, err = j.Record(&audit.Event{Type: audit.Prepare, TextBlob: ref}); err == nil {
						err = j.Wait(t.Context(), r)
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, r := range readEvents(t, o.Path)[1:] {
		if err := r.LoadText(0); err != nil || len(r.Text) != 20_000 {
			t.Fatalf("%d bytes, %v", len(r.Text), err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	proven(t, o.Path)
}

func TestDigestAllocatesNothing(t *testing.T) {
	o := small(t)
	o.SegmentSize = 4 << 20
	j := open(t, o)
	text := "SELECT * FROM orders WHERE id = 7"
	if n := testing.AllocsPerRun(2000, func() { _ = j.Digest(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	st := testStatement(j.Prepare(testContext()))
	st.Decision, st.Text = audit.Denied, longText(20_000, 1)
	st.TextDigest = j.Digest(st.Text)
	record(t, j, st)
	if n := testing.AllocsPerRun(500, func() { record(t, j, st) }); n != 0 {
		t.Errorf("%v allocations for a long text that is known", n)
	}
}

func TestDigestKeyFile(t *testing.T) {
	o := small(t)
	o.DigestKey = NewDigestKey()
	open(t, o)
	if _, err := os.Stat(filepath.Join(o.Path, digestKeyName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key was made although one was given")
	}
	text := pem.EncodeToMemory(o.DigestKey.PEM())
	if k, err := ReadDigestKey(text); err != nil || k != o.DigestKey {
		t.Errorf("read back: %v", err)
	}
	for _, bad := range []string{
		"", "x", strings.Replace(string(text), "DIGEST", "OTHER", 2), string(text) + string(text),
		string(pem.EncodeToMemory(&pem.Block{Type: digestKeyType, Bytes: []byte("short")})),
	} {
		if _, err := ReadDigestKey([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	o = small(t)
	made := open(t, o)
	name := filepath.Join(o.Path, digestKeyName)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 || !made.blobs.key.Set() {
		t.Fatalf("%v, %v", info, err)
	}
	if err := errors.Join(made.Close(), os.Chmod(name, 0o640)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// Of processes that start at once, all use one key.
func TestOneKeyForAllProcesses(t *testing.T) {
	o := small(t)
	keys := make([]DigestKey, 6)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			j, err := Open(o)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = j.blobs.key
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys[1:] {
		if k != keys[0] {
			t.Error("two keys")
		}
	}
}

// A text that a rule masks has the digest of the whole one, and is a blob under its
// own; one that a rule withholds has its digest alone.
func TestTextThatIsNotRecordedWhole(t *testing.T) {
	checkLeaks(t)
	path := t.TempDir()
	j := open(t, signedOptions(t, path))
	whole, masked := longText(2*audit.InlineText, 1), longText(audit.InlineText+1, 2)
	digest := j.Digest(whole)
	events := []audit.Event{
		{Type: audit.Statement, Decision: audit.Denied, TextDigest: digest, Form: statement.Withheld},
		{Type: audit.Statement, Decision: audit.Denied, TextDigest: digest, Form: statement.Masked, Text: "SELECT ?"},
		{Type: audit.Statement, Decision: audit.Denied, TextDigest: digest, Form: statement.Masked, Text: masked},
	}
	for i := range events {
		record(t, j, &events[i])
	}
	again := audit.Event{Type: audit.Statement, Decision: audit.Denied, TextDigest: digest, Form: statement.Masked, TextBlob: events[2].TextBlob}
	record(t, j, &again)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(blobFiles(t, path)); n != 1 {
		t.Errorf("%d blobs", n)
	}
	var got []*Record
	for _, r := range readAll(t, path) {
		if r.Type == audit.Statement {
			got = append(got, r)
		}
	}
	texts := []string{"", "SELECT ?", masked, masked}
	for i, r := range got {
		if err := r.LoadText(0); err != nil {
			t.Fatal(err)
		}
		line, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if r.TextDigest != hex.EncodeToString(digest[:]) || r.Text != texts[i] || r.Withheld() != (i == 0) || bytes.Contains(line, []byte(`"text":`)) == (i == 0) {
			t.Errorf("%d: %.100s", i, line)
		}
		if i > 1 && (r.TextBlob == nil || r.TextBlob.Digest != j.Digest(masked)) {
			t.Errorf("%d: blob %+v", i, r.TextBlob)
		}
	}
	if len(got) != len(texts) {
		t.Errorf("%d records", len(got))
	}
}
