package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// An auditor's key pair of tests.
const (
	auditorKey      = "age1ver8ujqtz5kspppgvhh6ra25j658yy937lpvsv4m9mmxt3ltcglqzkv8tv"
	auditorIdentity = "AGE-SECRET-KEY-1YJJANJ9TF7GTKUJDJRSJ4STAALURTZTW5WGTCZV9S9XYN4R076US2NAT3T"
)

// taken is an Upkeep of a journal without sinks.
type taken struct{}

func (taken) Taken(string) (uint64, error) { return math.MaxUint64, nil }
func (taken) Tier(string) (int, bool)      { return 0, false }

// encryptedJournal writes a journal whose first stream is encrypted, and returns its
// directory, the public key of its signatures, and an identity file.
func encryptedJournal(t *testing.T) (path, public, identity string) {
	t.Helper()
	path, key := signedJournal(t)
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	o := journal.Options{Path: path, Node: "n", SegmentSize: 1 << 20, Compress: true, Upkeep: taken{}}
	if o.Signer, err = journal.ReadSigner(text); err != nil {
		t.Fatal(err)
	}
	if o.Recipients, err = journal.ParseRecipient(auditorKey); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // the test ends
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		files, err := filepath.Glob(filepath.Join(path, "*", "*.zst.age"))
		left, _ := filepath.Glob(filepath.Join(path, "*", "*.zst"))
		if err == nil && len(files) == 1 && len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nothing was encrypted: %v, %v", files, err)
		}
	}
	if _, err := j.Record(&audit.Event{Type: audit.Cancel, Detail: "of another statement"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	identity = filepath.Join(t.TempDir(), "auditor.txt")
	if err := os.WriteFile(identity, []byte("# of a test\n"+auditorIdentity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, key + ".pub", identity
}

func TestAuditIdentity(t *testing.T) {
	path, public, identity := encryptedJournal(t)
	for name, test := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"query":                {[]string{"query", "--type", "cancel", "--count"}, exitFailure, []string{"is encrypted", "--identity FILE", auditorKey}},
		"query, with":          {[]string{"query", "--type", "cancel", "--count", "--identity", identity}, exitOK, []string{"21"}},
		"cat, with":            {[]string{"cat", "--identity", identity}, exitOK, []string{"of a statement", "of another statement"}},
		"report":               {[]string{"report"}, exitFailure, []string{auditorKey}},
		"session":              {[]string{"session", "x"}, exitFailure, []string{auditorKey}},
		"no such file":         {[]string{"query", "--identity", "nowhere.txt"}, exitUsage, []string{"nowhere.txt"}},
		"a public key":         {[]string{"query", "--identity", public}, exitUsage, []string{"AGE-SECRET-KEY-1…"}},
		"verify":               {[]string{"verify", "--public-key", public}, exitOK, []string{"encrypted segments: 1, with 2", "the journal is what was written"}},
		"verify, with":         {[]string{"verify", "--public-key", public, "--identity", identity}, exitOK, []string{"the journal is what was written"}},
		"verify, without file": {[]string{"verify", "--identity", "nowhere.txt"}, exitUsage, []string{"nowhere.txt"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := pgcustos(t, append([]string{"audit"}, append(test.args, "--journal", path)...)...)
			if r.code != test.code {
				t.Fatalf("exit code %d: %+v", r.code, r)
			}
			for _, want := range test.says {
				if !strings.Contains(r.stdout+r.stderr, want) {
					t.Errorf("%q is missing in %+v", want, r)
				}
			}
			if strings.Contains(r.stdout+r.stderr, "AGE-SECRET-KEY-1Y") {
				t.Errorf("the identity was printed: %+v", r)
			}
		})
	}
}
