package sink_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// keeper is an Upkeep and an ArchiveObserver of a journal with one sink.
type keeper struct {
	dir     string
	waiting atomic.Int64
}

func (k *keeper) Taken(stream string) (uint64, error) { return sink.DeliveredOf(k.dir, "s", stream) }
func (k *keeper) Tier(string) (int, bool)             { return 0, false }
func (k *keeper) Archived(string, int64, int64)       {}
func (k *keeper) ArchiveFailed(string, error)         {}
func (k *keeper) Removed(string, int64)               {}
func (k *keeper) Encrypted(string)                    {}
func (k *keeper) Waiting(n int, _ time.Time)          { k.waiting.Store(int64(n)) }

const auditorKey = "age1ver8ujqtz5kspppgvhh6ra25j658yy937lpvsv4m9mmxt3ltcglqzkv8tv"

// encrypting opens a journal that encrypts what the sink s has taken.
func encrypting(t *testing.T, dir string) (*journal.Journal, *keeper) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := journal.ReadSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	to, err := journal.ParseRecipient(auditorKey)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{dir: dir}
	j, err := journal.Open(journal.Options{
		Path: dir, Node: "n", SegmentSize: 128 << 10, Compress: true, Signer: signer, Recipients: to, Upkeep: k, Archive: k,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, k
}

func until(t *testing.T, what string, come func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !come(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// TestEncryptedBehindSinks has a sink that is dead, and one that goes on behind what was
// encrypted since: nothing is encrypted that it has not taken, and it misses nothing.
func TestEncryptedBehindSinks(t *testing.T) {
	dir := t.TempDir()
	j, k := encrypting(t, dir)
	locked := func(name string) int {
		files, err := filepath.Glob(filepath.Join(dir, "*", name+".seg.zst.age"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	record(t, j, 1200)
	until(t, "segments that wait", func() bool { return k.waiting.Load() > 0 })
	if n := locked("*"); n > 0 {
		t.Fatalf("%d segments were encrypted that the sink has not taken", n)
	}
	first := newTaker()
	stop(start(t, dir, first, nil))
	until(t, "encryption", func() bool {
		record(t, j, 100) // a segment that is full wakes the archiver
		return locked("00000001") == 1
	})
	last := record(t, j, 10)
	second := newTaker()
	stop(start(t, dir, second, nil))
	took, rest := first.got[j.Stream()], second.got[j.Stream()]
	if len(took) == 0 || len(rest) == 0 || rest[0] != took[len(took)-1]+1 || rest[len(rest)-1] < last {
		t.Fatalf("took %d, then %d", len(took), len(rest))
	}
	for i := range rest {
		if rest[i] != rest[0]+uint64(i) {
			t.Fatalf("record %d behind %d", rest[i], rest[i-1])
		}
	}
	// One that is new gets what can still be read, and is told of the gap.
	third := newTaker()
	stop(start(t, dir, third, func(o *sink.Options) { o.Name = "new" }))
	if got := third.got[j.Stream()]; len(got) == 0 || got[0] == 1 || got[len(got)-1] < last {
		t.Errorf("a new sink got %d records", len(got))
	}
	if n, err := sink.DeliveredOf(dir, "new", j.Stream()); err != nil || n < last || n == math.MaxUint64 {
		t.Errorf("its position: %d, %v", n, err)
	}
}
