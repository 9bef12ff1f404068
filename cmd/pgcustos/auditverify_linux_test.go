package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// signedJournal writes a journal of one closed stream with a key that keygen
// made, and returns the journal's directory and the key's file.
func signedJournal(t *testing.T) (path, key string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "journal.key")
	if r := pgcustos(t, "audit", "keygen", "--out", key); r.code != exitOK || !strings.Contains(r.stdout, key+".pub") {
		t.Fatalf("keygen: %+v", r)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := journal.ReadSigner(text)
	if err != nil {
		t.Fatal(err)
	}
	path = t.TempDir()
	j, err := journal.Open(journal.Options{Path: path, Node: "n", SegmentSize: 1 << 20, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := j.Record(&audit.Event{Type: audit.Cancel, Detail: "of a statement"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path, key
}

func TestAuditKeygen(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "journal.key")
	if r := pgcustos(t, "audit", "keygen", "--out", dir); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for name, mode := range map[string]os.FileMode{key: 0o600, key + ".pub": 0o644} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if r := pgcustos(t, "audit", "keygen", "--out", dir); r.code != exitFailure || !strings.Contains(r.stderr, "never overwritten") {
		t.Errorf("once more: %+v", r)
	}
	digest := filepath.Join(dir, "digest.key")
	if r := pgcustos(t, "audit", "keygen", "--digest", "--out", dir); r.code != exitOK || !strings.Contains(r.stdout, digest) {
		t.Errorf("a key for digests: %+v", r)
	}
	if info, err := os.Stat(digest); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if r := pgcustos(t, "audit", "keygen", "--digest", "--out", dir); r.code != exitFailure || !strings.Contains(r.stderr, "never overwritten") {
		t.Errorf("once more: %+v", r)
	}
	if err := os.Remove(key + ".pub"); err != nil {
		t.Fatal(err)
	}
	if r := pgcustos(t, "audit", "keygen", "--out", dir); r.code != exitFailure {
		t.Errorf("beside a private key: %+v", r)
	}
	if _, err := os.Stat(key + ".pub"); err == nil {
		t.Error("a public key without its private key was left")
	}
}

func TestAuditVerify(t *testing.T) {
	path, key := signedJournal(t)
	verify := func(args ...string) result {
		return pgcustos(t, append([]string{"audit", "verify", "--journal", path}, args...)...)
	}
	if r := verify("--public-key", key+".pub"); r.code != exitOK || !strings.Contains(r.stdout, "the journal is what was written; no signature covers 0 records yet") {
		t.Errorf("%+v", r)
	}
	if r := verify(); r.code != exitOK || !strings.Contains(r.stdout, "signatures were not looked at") {
		t.Errorf("without a key: %+v", r)
	}
	kept := filepath.Join(t.TempDir(), "kept.jsonl")
	lines := strings.Split(strings.TrimSpace(pgcustos(t, "audit", "cat", "--journal", path).stdout), "\n")
	if err := os.WriteFile(kept, []byte(lines[len(lines)-1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verify("--public-key", key+".pub", "--checkpoint", kept); r.code != exitOK {
		t.Errorf("with a checkpoint: %+v", r)
	}
	for _, args := range [][]string{
		{"--public-key", key}, {"--public-key", "/nowhere"}, {"--checkpoint", key}, {"--checkpoint", "/nowhere"}, {"extra"},
	} {
		if r := verify(args...); r.code != exitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
	for _, empty := range []string{t.TempDir(), filepath.Dir(path)} {
		if r := pgcustos(t, "audit", "query", "--journal", empty); r.code != exitOK || !strings.Contains(r.stderr, "holds no journal: nothing was read") {
			t.Errorf("%s: %+v", empty, r)
		}
		if r := pgcustos(t, "audit", "verify", "--journal", empty, "--public-key", key+".pub"); r.code != exitFailure || r.stdout != "" || !strings.Contains(r.stderr, "nothing was proven") {
			t.Errorf("%s: %+v", empty, r)
		}
	}
	tamper(t, path)
	r := verify("--public-key", key+".pub")
	if r.code != exitFailure || !strings.Contains(r.stdout, "TAMPERED  stream n-") || !strings.Contains(r.stdout, ", segment 1, offset ") || r.stderr != "" {
		t.Errorf("tampered with: %+v", r)
	}
}

// tamper changes a byte in the middle of the journal's only segment.
func tamper(t *testing.T, path string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(path, "*", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[(4096+len(b))/2] ^= 4
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}
