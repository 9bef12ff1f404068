package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// encryptedJournal writes one stream of several segments and a blob, and encrypts it.
func encryptedJournal(t *testing.T, a *auditor) (path, dir string) {
	t.Helper()
	path = t.TempDir()
	o := signedOptions(t, path)
	j := open(t, o)
	p := j.Prepare(testContext())
	for i := range 12 {
		ev := testStatement(p)
		ev.Text = longText(16<<10, uint64(i))
		record(t, j, ev)
	}
	ev := testStatement(p)
	ev.Text = longText(40<<10, 77)
	record(t, j, ev)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	archiveAll(t, path)
	encryptAll(t, path, a)
	if len(locked(t, path)) < 3 {
		t.Fatal("too few segments")
	}
	return path, j.id.dir
}

// encryptTo is a file that a recipient can read.
func encryptBytes(t *testing.T, to Recipients, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := to.encrypt(&b, new(fileSecret))
	if err == nil {
		_, err = w.Write(plain)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// relock makes a lock anew after a change, signed by a key.
func relock(t *testing.T, dir string, number uint64, seed byte, change func(*Lock)) {
	t.Helper()
	l, err := readLock(dir, number)
	if err != nil {
		t.Fatal(err)
	}
	change(l)
	_, signer := testKey(seed)
	b, err := appendSigned(l.body(), lockDomain, signer)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, lockName(number)), b)
}

func mustWrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func swapFiles(t *testing.T, a, b string) {
	t.Helper()
	x, y := mustRead(t, a), mustRead(t, b)
	mustWrite(t, a, y)
	mustWrite(t, b, x)
}

// TestEncryptedAttacks changes what only auditors can read, and its locks. It is found
// with an identity and without one, but for what says otherwise.
func TestEncryptedAttacks(t *testing.T) {
	a, stranger := newAuditor(t), newAuditor(t)
	path, dir := encryptedJournal(t, a)
	name := func(dir, file string) string { return filepath.Join(dir, file) }
	attacks := []struct {
		name    string
		do      func(dir string)
		finding string // a part of what verify says without an identity
	}{
		{"a byte of the ciphertext", func(dir string) { flipBit(t, name(dir, lockedName(2)), 5000) }, "the encrypted segment is not the one"},
		{"a byte of age's header", func(dir string) { flipBit(t, name(dir, lockedName(2)), 60) }, "the encrypted segment is not the one"},
		{"a byte of the encrypted index", func(dir string) { flipBit(t, name(dir, lockedIndexName(2)), 400) }, "the encrypted index"},
		{"a byte of the lock", func(dir string) { flipBit(t, name(dir, lockName(2)), 110) }, "not a lock"},
		{"locks swapped", func(dir string) {
			swapFiles(t, name(dir, lockName(1)), name(dir, lockName(2)))
		}, "it is that of segment 2"},
		{"containers swapped", func(dir string) {
			swapFiles(t, name(dir, lockedName(1)), name(dir, lockedName(2)))
		}, "the encrypted segment is not the one"},
		{"encrypted to somebody else", func(dir string) {
			plain, err := openIndependently(name(dir, lockedName(2)), a.key)
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, name(dir, lockedName(2)), encryptBytes(t, stranger.to, plain))
		}, "the encrypted segment is not the one"},
		{"encrypted to somebody else, with a lock that is not signed by the node", func(dir string) {
			plain, err := openIndependently(name(dir, lockedName(2)), a.key)
			if err != nil {
				t.Fatal(err)
			}
			content := encryptBytes(t, stranger.to, plain)
			mustWrite(t, name(dir, lockedName(2)), content)
			relock(t, dir, 2, 9, func(l *Lock) { l.Container = sealedFile{int64(len(content)), sha256Sum(content)} })
		}, "not signed by the key"},
		{"cut off", func(dir string) {
			if err := os.Truncate(name(dir, lockedName(2)), 70<<10); err != nil {
				t.Fatal(err)
			}
		}, "the encrypted segment is not the one"},
		{"the lock removed", func(dir string) { mustRemove(t, name(dir, lockName(2))) }, "the lock of the encrypted segment is missing"},
		{"a segment removed", func(dir string) { mustRemove(t, name(dir, lockedName(2))) }, "the segment is missing"},
		{"the last segment removed, and its lock", func(dir string) {
			last := uint64(len(mustGlob(t, dir, "*.lock")))
			mustRemove(t, name(dir, lockedName(last)))
			mustRemove(t, name(dir, lockName(last)))
		}, "the segment is missing"},
		{"a blob changed", func(dir string) {
			flipBit(t, mustGlob(t, filepath.Dir(dir), "blobs/*/*.age")[0], 300)
		}, "the encrypted blob"},
		{"a blob removed", func(dir string) {
			mustRemove(t, mustGlob(t, filepath.Dir(dir), "blobs/*/*.age")[0])
		}, "is missing"},
		{"clear text of another segment put beside", func(dir string) {
			plain, err := openIndependently(name(dir, lockedName(1)), a.key)
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, name(dir, fileName(2)+packedSuffix), plain)
		}, "it says that it is segment 1"},
	}
	for _, attack := range attacks {
		attacked := copyTree(t, path)
		attack.do(filepath.Join(attacked, filepath.Base(dir)))
		v := verifyAll(t, attacked)
		if len(v.Findings) != 1 || !strings.Contains(v.Findings[0].Reason, attack.finding) {
			t.Errorf("%s, without an identity: %v", attack.name, v.Findings)
		}
		for _, keys := range []*Identities{a.keys, stranger.keys} {
			if v := verifyAll(t, attacked, identities(keys)); len(v.Findings) == 0 {
				t.Errorf("%s, with an identity: verify is content", attack.name)
			}
		}
	}
}

// Who knows the auditors' public keys, as anybody does, can make a segment that reads
// well, and a lock for it. Without the node's key the chain tells.
func TestEncryptedForgery(t *testing.T) {
	a := newAuditor(t)
	path, dir := encryptedJournal(t, a)
	_, other := encryptedJournal(t, a)
	content := mustRead(t, filepath.Join(other, lockedName(2)))
	mustWrite(t, filepath.Join(dir, lockedName(2)), content)
	from, err := readLock(other, 2)
	if err != nil {
		t.Fatal(err)
	}
	relock(t, dir, 2, 9, func(l *Lock) { l.Container, l.Behind = from.Container, from.Behind })
	if _, err := readWith(path, a.keys); err == nil {
		t.Error("a segment of another stream reads as one of this")
	}
	for _, keys := range []*Identities{nil, a.keys} {
		v := verifyAll(t, path, identities(keys), func(o *VerifyOptions) { o.Keys = nil })
		if len(v.Findings) != 1 || v.Findings[0].Segment > 3 {
			t.Errorf("%v", v.Findings)
		}
	}
}

// TestEncryptedLockTells forges each field of a lock with the node's own key: an
// identity shows what it does not say truly.
func TestEncryptedLockTells(t *testing.T) {
	a := newAuditor(t)
	path, dir := encryptedJournal(t, a)
	for name, change := range map[string]func(*Lock){
		"earliest": func(l *Lock) { l.Earliest = l.Earliest.Add(1) },
		"latest":   func(l *Lock) { l.Latest = l.Latest.Add(1) },
		"before":   func(l *Lock) { l.Before[0]++ },
		"behind":   func(l *Lock) { l.Behind[0]++ },
		"size":     func(l *Lock) { l.Size += 8 },
		"mark":     func(l *Lock) { l.header[1024]++ },
		"earlier":  func(l *Lock) { l.Earlier = append(l.Earlier, Earlier{}) },
		"blobs":    func(l *Lock) { l.Blobs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			forged := copyTree(t, path)
			at := filepath.Join(forged, filepath.Base(dir))
			number := uint64(1)
			if name == "blobs" {
				number = uint64(len(mustGlob(t, at, "*.lock")))
			}
			relock(t, at, number, 1, change)
			if v := verifyAll(t, forged, identities(a.keys)); len(v.Findings) == 0 {
				t.Error("verify is content")
			}
		})
	}
}

// Each byte of a lock is under its signature and its sum, and no damage to it is more
// than a refusal.
func TestLockEveryByte(t *testing.T) {
	a := newAuditor(t)
	_, dir := encryptedJournal(t, a)
	whole := mustRead(t, filepath.Join(dir, lockName(1)))
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		if _, err := parseLock(b); err == nil {
			t.Fatalf("byte %d was changed, and it is a lock", at)
		}
		if _, err := parseLock(whole[:at]); err == nil {
			t.Fatalf("cut at %d, it is a lock", at)
		}
	}
}

// Keys are not printed, and identities that cannot be used say why without telling them.
func TestIdentities(t *testing.T) {
	a := newAuditor(t)
	for _, text := range []string{
		"", "# nothing\n", "AGE-SECRET-KEY-1" + strings.Repeat("Q", 58), a.key.Recipient().String(), a.key.String() + "\nrubbish\n",
		"age-encryption.org/v1\n-> X", "-----BEGIN AGE ENCRYPTED FILE-----\n", strings.Repeat("#\n", maxIdentities),
	} {
		_, err := ReadIdentities(strings.NewReader(text))
		if err == nil || strings.Contains(err.Error(), "rubbish") || strings.Contains(err.Error(), strings.Repeat("Q", 9)) {
			t.Errorf("%.30q: %v", text, err)
		}
	}
	secret := &fileSecret{key: []byte("0123456789abcdef")}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", a.keys, a.keys, a.keys, a.keys), fmt.Sprintf("%v %#v", secret, secret)} {
		if strings.Contains(text, "48") || strings.Contains(text, "AGE-") {
			t.Errorf("printed: %s", text)
		}
	}
	for _, key := range []string{"", "age1", a.key.String(), a.key.Recipient().String() + "\n", "ssh-ed25519 AAAA", "age1pq1"} {
		if _, err := ParseRecipient(key); err == nil {
			t.Errorf("%q is a recipient", key)
		} else if strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
			t.Errorf("the secret is told: %v", err)
		}
	}
	both, err := a.to.With(newAuditor(t).to)
	if err != nil || len(both.Names()) != 2 {
		t.Errorf("%v, %v", both.Names(), err)
	}
	if again, err := both.With(a.to); err != nil || again != both {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := both.encrypt(io.Discard, new(fileSecret)); err != nil {
		t.Error(err)
	}
}

func mustRemove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func mustGlob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}
