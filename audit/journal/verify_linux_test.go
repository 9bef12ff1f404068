package journal

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

func TestVerifyWhatWasWritten(t *testing.T) {
	checkLeaks(t)
	path := t.TempDir()
	o := signedOptions(t, path)
	for range 3 {
		writeStream(t, o, 900)
	}
	v := mustVerify(t, path)
	for i, s := range v.Streams {
		if s.Records < 900 || s.Segments < 3 || !s.Finished || s.Unsigned != 0 || s.Covered.IsZero() {
			t.Errorf("stream %d: %+v", i, s)
		}
	}
	mustVerify(t, path, func(o *VerifyOptions) { o.Keys = nil })
	mustVerify(t, path, func(o *VerifyOptions) { o.Kept = keep(t, path) })
	public, _ := testKey(1)
	records, signed, err := verifyIndependently(path, public)
	if err != nil || records != v.Streams[0].Records+v.Streams[1].Records+v.Streams[2].Records || signed < 9 {
		t.Errorf("the independent verifier: %d records, %d signed, %v", records, signed, err)
	}
}

// Without a key there is a chain, which a signed stream that follows proves.
func TestVerifyUnsigned(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	signer := o.Signer
	o.Signer = nil
	writeStream(t, o, 300)
	mustVerify(t, path, func(o *VerifyOptions) { o.Keys = nil })
	if _, _, err := verifyIndependently(path, nil); err != nil {
		t.Error(err)
	}
	expectFinding(t, verifyAll(t, path), 1, "nothing in the stream is signed")
	o.Signer = signer
	writeStream(t, o, 3)
	for _, s := range mustVerify(t, path).Streams {
		if s.Unsigned != 0 || s.Covered.IsZero() {
			t.Errorf("%+v", s)
		}
	}
}

func expectFinding(t *testing.T, v *Verification, sequence uint64, reason string) {
	t.Helper()
	for _, f := range v.Findings {
		if (sequence == 0 || f.Sequence == sequence) && strings.Contains(f.Reason, reason) {
			return
		}
	}
	t.Errorf("no finding of record %d with %q among %d:", sequence, reason, len(v.Findings))
	for i := range v.Findings {
		t.Errorf("  %s", v.Findings[i].String())
	}
}

// TestVerifyEveryByte flips bytes of a closed stream of two segments: all of the
// headers and of the first and last records, every 97th of the rest.
func TestVerifyEveryByte(t *testing.T) {
	path := t.TempDir()
	dir := writeStream(t, signedOptions(t, path), 250)
	numbers, err := segmentNumbers(dir)
	if err != nil || len(numbers) != 2 {
		t.Fatal(numbers, err)
	}
	mustVerify(t, path)
	for _, number := range numbers {
		name := filepath.Join(dir, fileName(number))
		content := mustRead(t, name)
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		tried := 0
		for at := 0; at < len(content); at++ {
			if at > 1032+64 && at < 4096 && at%64 != 0 || at > 4096+800 && at < len(content)-300 && at%97 != 0 {
				continue
			}
			tried++
			flip(t, file, at, content[at]^1<<(at%8))
			v := verifyAll(t, path)
			flip(t, file, at, content[at])
			if len(v.Findings) == 0 {
				t.Fatalf("segment %d: byte %d went unnoticed", number, at)
			}
			checkPlace(t, content, number, at, &v.Findings[len(v.Findings)-1])
		}
		t.Logf("segment %d: %d of %d bytes", number, tried, len(content))
	}
	mustVerify(t, path)
}

func flip(t *testing.T, file *os.File, at int, to byte) {
	t.Helper()
	if _, err := file.WriteAt([]byte{to}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// checkPlace says whether the finding names the record that the byte is in.
func checkPlace(t *testing.T, content []byte, number uint64, at int, f *Finding) {
	t.Helper()
	if f.Segment != number {
		t.Fatalf("byte %d of segment %d: %s", at, number, f.String())
	}
	for p := 4096; at >= 4096; {
		end := p + int(align(int64(binary.LittleEndian.Uint32(content[p:]))))
		if at < end {
			if f.Offset != int64(p) {
				t.Fatalf("byte %d of the record at %d: %s", at, p, f.String())
			}
			return
		}
		p = end
	}
}

// TestVerifyTruncated cuts a closed stream at each record, before and behind.
func TestVerifyTruncated(t *testing.T) {
	path := t.TempDir()
	dir := writeStream(t, signedOptions(t, path), 20)
	name := filepath.Join(dir, fileName(1))
	content := mustRead(t, name)
	cuts := []int{0, 1, 4095, 4096}
	for p := 4096; p < len(content); {
		end := p + int(align(int64(binary.LittleEndian.Uint32(content[p:]))))
		cuts = append(cuts, p+1, p+39, (p+end)/2, end-1, end)
		p = end
	}
	for _, cut := range cuts[:len(cuts)-1] {
		if err := os.WriteFile(name, content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if v := verifyAll(t, path); len(v.Findings) != 1 {
			t.Errorf("cut at %d: %v", cut, v.Findings)
		}
	}
}

// TestVerifyForged has somebody at work who makes all sums right.
func TestVerifyForged(t *testing.T) {
	tests := []struct {
		name     string
		change   func(f *forged)
		sequence uint64
		reason   string
	}{
		{"removed", func(f *forged) { f.records = append(f.records[:9], f.records[10:]...) }, 10, "removed or moved"},
		{"removed and renumbered", func(f *forged) { f.records = append(f.records[:9], f.records[10:]...); f.renumber() }, 10, "lists another one"},
		{"swapped", func(f *forged) { f.records[9], f.records[10] = f.records[10], f.records[9] }, 10, "removed or moved"},
		{"swapped and renumbered", func(f *forged) { f.records[9], f.records[10] = f.records[10], f.records[9]; f.renumber() }, 10, "lists another one"},
		{"inserted", func(f *forged) { f.insert(9) }, 11, "put in"},
		{"inserted and renumbered", func(f *forged) { f.insert(9); f.renumber() }, 10, "lists another one"},
		{"changed", func(f *forged) { f.records[9][60] ^= 1; f.resum(f.records[9], 10) }, 10, "was changed"},
		{"changed time", func(f *forged) { f.records[9][16] ^= 1; f.resum(f.records[9], 10) }, 10, "was changed"},
		{"checkpoint with another time", func(f *forged) { f.records[1][16] ^= 1; f.resum(f.records[1], 2) }, 1, "does not carry the signature"},
		{"cut", func(f *forged) { f.records = f.records[:20] }, 2, "no signature covers its end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			dir := writeStream(t, signedOptions(t, path), 30)
			f := take(t, filepath.Join(dir, fileName(1)))
			tt.change(f)
			f.put(t, sealClosed, f.chain())
			expectFinding(t, verifyAll(t, path), tt.sequence, tt.reason)
		})
	}
}

func (f *forged) insert(at int) {
	r := append([]byte(nil), f.records[at-1]...)
	r[16] ^= 1 // another time
	f.resum(r, uint64(at+1))
	f.records = append(f.records[:at], append([][]byte{r}, f.records[at:]...)...)
}

// A tail that was cut, and made to look like one that recovery found, shows
// against a kept checkpoint, and against the stream that follows.
func TestVerifyCutTail(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	dir := writeStream(t, o, 30)
	kept := keep(t, path)
	alone := copyTree(t, path)
	writeStream(t, o, 3)
	for _, p := range []string{alone, path} {
		f := take(t, filepath.Join(p, filepath.Base(dir), fileName(1)))
		f.records = f.records[:20]
		f.put(t, sealRecover, f.chain())
	}
	mustVerify(t, alone) // nothing in it says that there was more
	v := verifyAll(t, alone, func(o *VerifyOptions) { o.Kept = kept })
	expectFinding(t, v, 21, "the stream's end was cut off: the checkpoint that was kept")
	if f := v.Findings[0]; f.Segment != 1 || f.Offset <= 4096 {
		t.Errorf("%s", f.String())
	}
	expectFinding(t, verifyAll(t, path), 21, "which follows it, tells of")
}

func TestVerifyMissing(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	first := writeStream(t, o, 400)
	second := writeStream(t, o, 3)
	kept := keep(t, path)
	remove := func(name string) string {
		p := copyTree(t, path)
		if err := os.RemoveAll(filepath.Join(p, name)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	base := filepath.Base(first)
	expectFinding(t, verifyAll(t, remove(filepath.Join(base, fileName(1)))), 1, "the segment is missing")
	expectFinding(t, verifyAll(t, remove(filepath.Join(base, fileName(2)))), 0, "the segment is missing")
	numbers, err := segmentNumbers(first)
	if err != nil {
		t.Fatal(err)
	}
	expectFinding(t, verifyAll(t, remove(filepath.Join(base, fileName(numbers[len(numbers)-1])))), 0, "the segment is missing")
	expectFinding(t, verifyAll(t, remove(base)), 1, "the stream is missing")
	v := verifyAll(t, remove(filepath.Base(second)), func(o *VerifyOptions) { o.Kept = kept })
	expectFinding(t, v, 1, "the stream of the checkpoint that was kept is missing")
}

// A stream that was written anew, whole in itself.
func TestVerifyRewritten(t *testing.T) {
	_, signer := testKey(1)
	_, other := testKey(2)
	for name, tt := range map[string]struct {
		options func(*Options)
		reason  string
	}{
		"without a key":    {func(o *Options) { o.Signer = nil }, "nothing in the stream is signed"},
		"with another key": {func(o *Options) { o.Signer = other }, "nothing in the stream is signed"},
		"with a key's name": {func(o *Options) {
			_, private := testKey(3)
			o.Signer = liar{signer, ed25519Key(private)}
		}, "does not carry the signature"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			o := signedOptions(t, path)
			tt.options(&o)
			writeStream(t, o, 300)
			mustVerify(t, path, func(o *VerifyOptions) { o.Keys = nil })
			expectFinding(t, verifyAll(t, path), 1, tt.reason)
		})
	}
}

// A stream re-written under the id that a younger one names: its chain differs.
func TestVerifyRewrittenBehind(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	o.Signer = nil
	dir := writeStream(t, o, 30)
	o = signedOptions(t, path)
	writeStream(t, o, 3)
	mustVerify(t, path)
	f := take(t, filepath.Join(dir, fileName(1)))
	f.records = f.records[:1] // no checkpoint is left that could speak
	for range 32 {
		f.insert(1)
	}
	f.renumber()
	f.put(t, sealClosed, f.chain())
	expectFinding(t, verifyAll(t, path), 1, "which follows it, has another chain value")
}

// A checkpoint of one stream in the place of one of another.
func TestVerifyReplayedCheckpoint(t *testing.T) {
	path := t.TempDir()
	a := writeStream(t, signedOptions(t, path), 10)
	fa := take(t, filepath.Join(a, fileName(1)))
	elsewhere := t.TempDir()
	b := writeStream(t, signedOptions(t, elsewhere), 10)
	fb := take(t, filepath.Join(b, fileName(1)))
	fb.records[1] = append([]byte(nil), fa.records[1]...)
	fb.resum(fb.records[1], 2)
	fb.put(t, sealClosed, fb.chain())
	expectFinding(t, verifyAll(t, elsewhere), 1, "lists another one in its place")
	// Its numbers made to fit, its signature alone is of another stream.
	fb = take(t, filepath.Join(b, fileName(1)))
	fb.records[1] = replaceField(fb.records[1], fieldOf(fa.records[1], fSignature), fSignature)
	sums := replaceField(fb.records[1], fb.records[0][4:8], fSums)
	chained := forged{header: fb.header, records: fb.records[:1]}
	c := chained.chain()
	fb.records[1] = replaceField(sums, c[:], fChain)
	fb.resum(fb.records[1], 2)
	fb.put(t, sealClosed, fb.chain())
	expectFinding(t, verifyAll(t, elsewhere), 1, "does not carry the signature")
}

func fieldOf(r []byte, id uint16) []byte {
	for _, f := range split(r[40:binary.LittleEndian.Uint32(r)]) {
		if f.id == id {
			return f.value
		}
	}
	return nil
}

// replaceField puts a value of the same size in the place of a field's.
func replaceField(r, value []byte, id uint16) []byte {
	r = append([]byte(nil), r...)
	copy(r[bytes.Index(r, fieldOf(r, id)):], value)
	return r
}

// A journal is verified while it is written.
func TestVerifyLive(t *testing.T) {
	checkLeaks(t)
	o := signedOptions(t, t.TempDir())
	for range 2 {
		j := open(t, o)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				p := j.Prepare(testContext())
				for range 20_000 {
					select {
					case <-stop:
						return
					default:
					}
					r, err := j.Record(testStatement(p))
					if err == nil {
						_, err = j.Record(testOutcome(p, r.Sequence))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 4 {
			mustVerify(t, o.Path)
		}
		close(stop)
		wg.Wait()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mustVerify(t, o.Path)
}

// TestForgedStream: whoever can write to the journal and not sign puts in no record by way
// of a stream that looks as if it were starting.
func TestForgedStream(t *testing.T) {
	path := t.TempDir()
	writeStream(t, signedOptions(t, path), 5)
	unsigned := signedOptions(t, t.TempDir())
	unsigned.Signer = nil
	dir := writeStream(t, unsigned, 1)
	f := take(t, filepath.Join(dir, fileName(1)))
	statement := slices.IndexFunc(f.records, func(r []byte) bool { return binary.LittleEndian.Uint16(r[24:]) == typeNumber(audit.Statement) })
	for _, c := range []struct {
		what  string
		first []byte
		found bool
	}{{"journal.opened", f.records[0], false}, {"a statement", f.records[statement], true}} {
		f.records = [][]byte{c.first}
		f.renumber()
		f.put(t, 0, [32]byte{})
		into := copyTree(t, path)
		if err := os.CopyFS(filepath.Join(into, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if v := verifyAll(t, into); (len(v.Findings) > 0) != c.found {
			t.Errorf("a stream of %s: found %v", c.what, v.Findings)
		}
	}
}
