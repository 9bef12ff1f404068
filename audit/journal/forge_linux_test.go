package journal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// testKey makes a key, always the same for a seed.
func testKey(seed byte) (ed25519.PublicKey, crypto.Signer) {
	b := make([]byte, ed25519.SeedSize)
	b[0] = seed
	private := ed25519.NewKeyFromSeed(b)
	return private.Public().(ed25519.PublicKey), private
}

// liar says that it has a key, and signs with another.
type liar struct {
	crypto.Signer
	other ed25519.PrivateKey
}

func (l liar) Sign(rand io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	return l.other.Sign(rand, message, o)
}

// signedOptions are options of small segments, with the key of seed 1.
func signedOptions(t testing.TB, path string) Options {
	t.Helper()
	_, signer := testKey(1)
	return Options{Path: path, Node: "node-1", SegmentSize: 64 << 10, Reserve: 8 << 10, Signer: signer}
}

// writeStream writes n statements to a stream of its own, and returns its
// directory.
func writeStream(t testing.TB, o Options, n int) string {
	t.Helper()
	j := open(t, o)
	st := testStatement(j.Prepare(testContext()))
	for range n {
		record(t, j, st)
		j.Release(1)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(o.Path, j.Stream())
}

// forged is a segment in the hands of somebody who knows the format and the
// stream's id, and has not the key.
type forged struct {
	path    string
	header  []byte
	records [][]byte // with padding
	seal    []byte   // nil: none
}

func take(t testing.TB, path string) *forged {
	t.Helper()
	b := mustRead(t, path)
	f := &forged{path: path, header: b[:4096]}
	for p := 4096; p < len(b); {
		length := int(binary.LittleEndian.Uint32(b[p:]))
		if length == 0 {
			break
		}
		end := p + int(align(int64(length)))
		if binary.LittleEndian.Uint16(b[p+24:]) == 65535 {
			f.seal = b[p:end]
			break
		}
		f.records = append(f.records, append([]byte(nil), b[p:end]...))
		p = end
	}
	return f
}

func (f *forged) seed() uint32 {
	return seedOf([16]byte(f.header[offStream:]), binary.LittleEndian.Uint64(f.header[offNumber:]))
}

// resum gives a record a sequence and right sums. The record keeps its padding.
func (f *forged) resum(r []byte, sequence uint64) {
	binary.LittleEndian.PutUint64(r[offSequence:], sequence)
	var scratch [4]byte
	sums(r[:binary.LittleEndian.Uint32(r)], f.seed(), &scratch)
}

// renumber makes the sequences whole again.
func (f *forged) renumber() {
	for i, r := range f.records {
		f.resum(r, binary.LittleEndian.Uint64(f.header[offFirst:])+uint64(i))
	}
}

// put writes the segment with a seal that fits, cut behind it.
func (f *forged) put(t testing.TB, why uint32, chain [32]byte) {
	t.Helper()
	b := append([]byte(nil), f.header...)
	for _, r := range f.records {
		b = append(b, r...)
	}
	if why > 0 {
		first := binary.LittleEndian.Uint64(f.header[offFirst:])
		seal := make([]byte, sealSize)
		n := uint64(len(f.records))
		binary.LittleEndian.PutUint32(seal, sealSize)
		fillSeal(seal, f.seed(), why, first+n-1, n, 0, chain)
		b = append(b, seal...)
	} else {
		b = append(b, make([]byte, binary.LittleEndian.Uint64(f.header[offSize:])-uint64(len(b)))...)
	}
	if err := os.WriteFile(f.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// chain is the value behind the last record of a stream's only segment.
func (f *forged) chain() [32]byte {
	c := sha256.Sum256(append(append([]byte(nil), f.header[offChain:offChain+32]...), f.header[:1024]...))
	for _, r := range f.records {
		c = sha256.Sum256(append(c[:], r...))
	}
	return c
}

// copyTree copies a journal.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS opens it to others, which Open refuses.
	if err := os.Chmod(filepath.Join(to, "digest.key"), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return to
}

// verifyAll verifies a journal with the key of seed 1.
func verifyAll(t testing.TB, path string, change ...func(*VerifyOptions)) *Verification {
	t.Helper()
	public, _ := testKey(1)
	o := VerifyOptions{Path: path, Keys: []ed25519.PublicKey{public}}
	for _, c := range change {
		c(&o)
	}
	v, err := Verify(t.Context(), o)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return v
}

func mustVerify(t testing.TB, path string, change ...func(*VerifyOptions)) *Verification {
	t.Helper()
	v := verifyAll(t, path, change...)
	for i := range v.Findings {
		t.Errorf("found %s", v.Findings[i].String())
	}
	return v
}

// keep returns the newest checkpoint of a journal, as somebody keeps it.
func keep(t testing.TB, path string) *KeptCheckpoint {
	t.Helper()
	var kept *KeptCheckpoint
	for _, r := range readAll(t, path) {
		if r.Type != audit.Checkpoint || r.Checkpoint.Key == "" {
			continue
		}
		line, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if kept, err = ParseCheckpoint(line); err != nil {
			t.Fatal(err)
		}
	}
	return kept
}

func ed25519Key(s crypto.Signer) ed25519.PrivateKey { return s.(ed25519.PrivateKey) }
