package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/pgcustos/pgcustos/audit"
)

// auditor is one who can read what is encrypted.
type auditor struct {
	key  *age.X25519Identity
	to   Recipients
	keys *Identities
}

func newAuditor(t testing.TB) *auditor {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	a := &auditor{key: key}
	if a.to, err = ParseRecipient(key.Recipient().String()); err != nil {
		t.Fatal(err)
	}
	if a.keys, err = ReadIdentities(strings.NewReader("# auditor\n" + key.String() + "\n")); err != nil {
		t.Fatal(err)
	}
	return a
}

// secret is planted in a statement, and in one that is a blob.
const secret = "correct horse battery staple"

// secrets writes streams whose statements hold the secret.
func secrets(t testing.TB, path string, streams int) {
	t.Helper()
	for range streams {
		o := signedOptions(t, path)
		people(t, o, 150)
		j := open(t, o)
		p := j.Prepare(testContext())
		for i := range 3 {
			ev := testStatement(p)
			ev.Text = "SELECT '" + secret + "'"
			record(t, j, ev)
			ev = testStatement(p)
			ev.Text = longText(40<<10, uint64(i)) + secret // a blob
			record(t, j, ev)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// sealing is an archiver that encrypts.
func sealing(t testing.TB, path string, to *auditor, w *archiveWatch, u *upkeep) *archiver {
	t.Helper()
	_, signer := testKey(1)
	a := newArchiver(thisMachine{}, path, w, make(chan struct{}))
	a.signer, a.upkeep, a.seal.to = signer, u, to.to
	return a
}

// encryptAll archives and encrypts what is sealed, and removes blobs in clear.
func encryptAll(t testing.TB, path string, to *auditor) *archiveWatch {
	t.Helper()
	w := &archiveWatch{}
	a := sealing(t, path, to, w, &upkeep{})
	k := newRetainer(a, &Options{Upkeep: a.upkeep}, "", func(*audit.Event) error { return errors.New("nothing is removed here") })
	k.now = func() time.Time { return time.Now().Add(3 * sweepGrace) }
	a.pass()
	defer func() { _ = a.lock.Close() }()
	if err := k.retain(); err != nil {
		t.Fatal(err)
	}
	if len(w.failed) > 0 {
		t.Fatal(w.failed)
	}
	return w
}

// readWith reads a journal, and its blobs, with an identity.
func readWith(path string, keys *Identities) ([]*Record, error) {
	r, err := OpenReader(ReaderOptions{Path: path, Identities: keys})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []*Record
	for {
		record, err := r.Next()
		if err != nil {
			return all, ignoreEnd(err)
		}
		if err := errors.Join(record.LoadText(0), record.LoadParameters(0)); err != nil {
			return all, err
		}
		record.sealed, record.journal = nil, "" // where the blob is
		all = append(all, record)
	}
}

func mustReadWith(t testing.TB, path string, keys *Identities) []*Record {
	t.Helper()
	all, err := readWith(path, keys)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return all
}

func identities(keys *Identities) func(*VerifyOptions) {
	return func(o *VerifyOptions) { o.Identities = keys }
}

// holders are the files that hold the bytes, also compressed ones.
func holders(t testing.TB, path, text string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b := mustRead(t, file)
		if strings.HasSuffix(file, ".zst") {
			if b, err = unpackIndependently(b); err != nil {
				return err
			}
		}
		if bytes.Contains(b, []byte(text)) {
			all = append(all, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func locked(t testing.TB, path string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*", "*.seg.zst.age"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEncrypted(t *testing.T) {
	checkLeaks(t)
	path, a := t.TempDir(), newAuditor(t)
	secrets(t, path, 2)
	kept := keep(t, path)
	archiveAll(t, path)
	before := mustReadWith(t, path, nil)
	if len(holders(t, path, secret)) < 4 {
		t.Fatal("the secret was not planted")
	}
	w := encryptAll(t, path, a)
	if len(w.sealed) < 8 || w.waiting != 0 {
		t.Fatalf("%d segments were encrypted, %d wait", len(w.sealed), w.waiting)
	}
	for _, text := range []string{secret, "alice", "user001", "orders"} {
		if files := holders(t, path, text); len(files) > 0 {
			t.Errorf("%q stands in %v", text, files)
		}
	}
	for _, glob := range []string{"*.idx", "*.zst", "*.seg", "*.tmp"} {
		if left, _ := filepath.Glob(filepath.Join(path, "*", glob)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if again := mustReadWith(t, path, a.keys); !reflect.DeepEqual(again, before) {
		t.Error("the encrypted journal reads otherwise")
	}
	for _, with := range []func(*VerifyOptions){identities(nil), identities(a.keys), identities(newAuditor(t).keys)} {
		mustVerify(t, path, with)
	}
	v := mustVerify(t, path, identities(a.keys), func(o *VerifyOptions) { o.Kept = kept })
	if len(v.Notes) > 0 || len(v.Streams) != 4 {
		t.Errorf("%+v", v)
	}
	bare := mustVerify(t, path)
	if len(bare.Notes) != 4 || len(bare.Streams) != 4 {
		t.Errorf("without an identity: %+v", bare)
	}
	for i, s := range bare.Streams {
		if s.Records != v.Streams[i].Records || s.Covered.IsZero() || s.Unsigned > 0 {
			t.Errorf("%+v, with an identity %+v", s, v.Streams[i])
		}
	}
	public, _ := testKey(1)
	plain := t.TempDir()
	if locks, err := unlockIndependently(path, plain, public, a.key); err != nil || locks != len(w.sealed) {
		t.Errorf("the independent reader: %d locks, %v", locks, err)
	}
	if n, _, err := verifyIndependently(plain, public); err != nil || n != uint64(len(before)) {
		t.Errorf("the independent verifier: %d of %d records, %v", n, len(before), err)
	}
	// The next stream follows encrypted ones.
	secrets(t, path, 1)
	mustVerify(t, path)
	mustVerify(t, path, identities(a.keys))
}

// Who has no identity, or another one, is told whose would do.
func TestEncryptedRefusal(t *testing.T) {
	path, a, b := t.TempDir(), newAuditor(t), newAuditor(t)
	secrets(t, path, 1)
	both, err := a.to.With(b.to)
	if err != nil {
		t.Fatal(err)
	}
	encryptAll(t, path, &auditor{to: both})
	for _, keys := range []*Identities{nil, newAuditor(t).keys} {
		_, err := readWith(path, keys)
		var refused *LockedError
		if !errors.As(err, &refused) || refused.Tried != (keys != nil) || len(refused.Recipients) != 2 {
			t.Fatalf("%v", err)
		}
		for _, name := range []string{a.key.Recipient().String(), b.key.Recipient().String(), "--identity", "00000001.seg.zst.age"} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%q does not say %s", err, name)
			}
		}
	}
	if !reflect.DeepEqual(mustReadWith(t, path, a.keys), mustReadWith(t, path, b.keys)) {
		t.Error("two auditors read two journals")
	}
	// What is newer than all that is encrypted needs no identity.
	j := open(t, signedOptions(t, path))
	record(t, j, testStatement(j.Prepare(testContext())))
	r, err := OpenReader(ReaderOptions{Path: path, Since: j.opened.Add(-time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err != nil {
		t.Error(err)
	}
}

// Nothing is encrypted that a sink has not taken, and what waits is told.
func TestEncryptionWaitsForSinks(t *testing.T) {
	path, a := t.TempDir(), newAuditor(t)
	people(t, signedOptions(t, path), 300)
	archiveAll(t, path)
	stream := readNames(t, path)
	i := slices.IndexFunc(stream, func(name string) bool { return streamName.MatchString(name) })
	u, w := &upkeep{taken: map[string]uint64{stream[i]: 0}}, &archiveWatch{}
	s := sealing(t, path, a, w, u)
	s.pass()
	defer func() { _ = s.lock.Close() }()
	all := containers(t, path)
	if w.waiting != len(all) || len(w.sealed) > 0 || w.since.IsZero() {
		t.Fatalf("%d of %d wait since %s, %d were encrypted", w.waiting, len(all), w.since, len(w.sealed))
	}
	x, err := readIndex(filepath.Join(path, stream[i]), 2)
	if err != nil {
		t.Fatal(err)
	}
	u.taken[stream[i]] = x.Last
	s.pass()
	if w.waiting != len(all)-2 || len(w.sealed) != 2 {
		t.Errorf("%d wait, %d were encrypted", w.waiting, len(w.sealed))
	}
	mustVerify(t, path)
	mustVerify(t, path, identities(a.keys))
	u.err = errors.New("a position cannot be read")
	s.pass()
	if len(w.failed) != len(all)-2 || len(w.sealed) != 2 {
		t.Errorf("%d failures, %d were encrypted", len(w.failed), len(w.sealed))
	}
	delete(u.taken, stream[i])
	u.err = nil
	s.pass()
	if w.waiting != 0 || len(w.sealed) != len(all) {
		t.Errorf("%d wait, %d of %d were encrypted", w.waiting, len(w.sealed), len(all))
	}
}

// What is encrypted goes by retention, without being read, and is proven to have gone.
func TestRetentionOfEncrypted(t *testing.T) {
	path, a := t.TempDir(), newAuditor(t)
	secrets(t, path, 1)
	encryptAll(t, path, a)
	all := len(locked(t, path))
	r := &retaining{path: path, policy: Retention{Age: 10 * day}, after: 11 * day}
	_, other := testKey(2)
	k := r.retainer(t)
	k.signer = other
	k.pass()
	if err := k.retain(); err != nil || len(r.watch.failed) == 0 || len(locked(t, path)) != all {
		t.Errorf("locks of another key were believed: %v, %v, %d of %d left", err, r.watch.failed, len(locked(t, path)), all)
	}
	_ = k.lock.Close()
	r.watch = archiveWatch{}
	r.run(t)
	if left := segmentsLeft(t, path); len(left) > 0 || len(r.watch.failed) > 0 || len(r.watch.removed) != all {
		t.Errorf("left %v, failed %v", left, r.watch.failed)
	}
	for _, glob := range []string{"*/*.lock", "*/*.age", "blobs/*/*.age"} {
		if left, _ := filepath.Glob(filepath.Join(path, glob)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	people(t, signedOptions(t, path), 10)
	mustVerify(t, path)
}

// TestRetentionOfEncryptedIsKilled ends the removal of encrypted segments before each of
// its steps: recovery goes through, all is proven, and the next pass completes it.
func TestRetentionOfEncryptedIsKilled(t *testing.T) {
	whole, a := t.TempDir(), newAuditor(t)
	people(t, signedOptions(t, whole), 130)
	encryptAll(t, whole, a)
	for at, more := 0, true; more; at++ {
		path := copyTree(t, whole)
		r := &retaining{path: path, policy: Retention{Age: day}, after: 2 * day}
		n := 0
		r.step = func(string) error {
			if n++; n > at {
				runtime.Goexit()
			}
			return nil
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			k := r.retainer(t)
			defer func() { _ = k.lock.Close() }()
			more = true
			k.pass()
			if err := k.retain(); err != nil {
				t.Error(err)
			}
			more = false
		}()
		<-done
		mustVerify(t, path)
		if _, err := recoverStreams(path, thisMachine{}, false); err != nil {
			t.Errorf("recovery: %v", err)
		}
		r.step = nil
		r.run(t)
		mustVerify(t, path)
		left, err := filepath.Glob(filepath.Join(path, "*", "*.age"))
		if err != nil || len(left) > 0 || len(r.watch.failed) > 0 || t.Failed() {
			t.Fatalf("killed at step %d and done again: left %v, %v, failed %v", at, left, err, r.watch.failed)
		}
	}
}

// A journal that is written encrypts behind itself, and what recovery set aside too.
func TestEncryptWhileWriting(t *testing.T) {
	checkLeaks(t)
	a, torn := newAuditor(t), killed(t)
	clear(torn.content[torn.end-16:])
	torn.write(t, torn.content)
	o := signedOptions(t, torn.path)
	o.Compress, o.Upkeep, o.Recipients = true, &upkeep{}, a.to
	j := open(t, o)
	p := j.Prepare(testContext())
	for range 250 {
		ev := testStatement(p)
		ev.Text = "SELECT '" + secret + "'"
		record(t, j, ev)
	}
	waitFor(t, "encrypted segments", func() bool { return len(locked(t, o.Path)) > 1 })
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Path)
	encryptAll(t, o.Path, a)
	mustVerify(t, o.Path, identities(a.keys))
	if files := holders(t, o.Path, secret); len(files) > 0 {
		t.Errorf("the secret stands in %v", files)
	}
	asides, err := filepath.Glob(filepath.Join(o.Path, "*", "*.torn*"))
	if err != nil || len(asides) != 1 || !strings.HasSuffix(asides[0], ".seg.torn.age") {
		t.Fatalf("set aside: %v, %v", asides, err)
	}
	if b, err := openIndependently(asides[0], a.key); err != nil || len(b) < 40 {
		t.Errorf("what was set aside: %d bytes, %v", len(b), err)
	}
}
