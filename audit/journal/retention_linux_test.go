package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// upkeep is an Upkeep of tests: sinks have taken all but what it says.
type upkeep struct {
	taken map[string]uint64
	err   error
	tiers map[string]int
}

func (u *upkeep) Taken(stream string) (uint64, error) {
	if n, ok := u.taken[stream]; ok || u.err != nil {
		return n, u.err
	}
	return math.MaxUint64, nil
}

func (u *upkeep) Tier(backend string) (int, bool) {
	tier, ok := u.tiers[backend]
	return tier, ok
}

// retaining is a journal that is to be shortened, as of a time.
type retaining struct {
	path   string
	policy Retention
	upkeep *upkeep
	after  time.Duration // from now
	step   func(string) error
	events []*audit.Event
	watch  archiveWatch
}

func (r *retaining) retainer(t testing.TB) *retainer {
	t.Helper()
	_, signer := testKey(1)
	if r.upkeep == nil {
		r.upkeep = &upkeep{}
	}
	a := newArchiver(thisMachine{}, r.path, &r.watch, make(chan struct{}))
	a.signer, a.upkeep = signer, r.upkeep
	if r.step != nil {
		a.step = r.step
	}
	k := newRetainer(a, &Options{Retention: r.policy, Upkeep: r.upkeep}, "", func(ev *audit.Event) error {
		r.events = append(r.events, ev)
		return nil
	})
	k.now = func() time.Time { return time.Now().Add(r.after) }
	return k
}

// run archives, and removes what is not kept.
func (r *retaining) run(t testing.TB) {
	t.Helper()
	k := r.retainer(t)
	k.pass()
	defer func() { _ = k.lock.Close() }()
	if err := k.retain(); err != nil {
		t.Fatalf("retain: %v", err)
	}
}

const day = 24 * time.Hour

func segmentsLeft(t testing.TB, path string) (left []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*", "*.seg*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		left = append(left, f[len(path)+1:])
	}
	return left
}

// journalOfDays writes some streams of several segments.
func journalOfDays(t testing.TB, streams, sessions int) string {
	t.Helper()
	path := t.TempDir()
	for range streams {
		people(t, signedOptions(t, path), sessions)
	}
	return path
}

// Whole streams go, and what is left is proven: also offline, and by who has the
// public key alone.
func TestRetentionRemovesStreams(t *testing.T) {
	path := journalOfDays(t, 3, 300)
	kept := keep(t, path)
	r := &retaining{path: path, policy: Retention{Age: 10 * day}, after: 9 * day}
	r.run(t)
	if len(r.watch.removed) > 0 || len(r.events) > 0 {
		t.Fatalf("removed too soon: %v", r.watch.removed)
	}
	r.after = 11 * day
	r.run(t)
	if left := segmentsLeft(t, path); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if len(r.watch.failed) > 0 {
		t.Error(r.watch.failed)
	}
	if len(r.events) != len(r.watch.removed) || len(r.events) < 9 {
		t.Errorf("%d records of %d removals", len(r.events), len(r.watch.removed))
	}
	people(t, signedOptions(t, path), 10)
	v := mustVerify(t, path, func(o *VerifyOptions) { o.Kept = kept })
	if len(v.Streams) != 1 || len(v.Notes) != 4 {
		t.Errorf("%d streams, notes %v", len(v.Streams), v.Notes)
	}
}

// A stream that is written, or whose end a process left, loses its beginning, and
// goes on.
func TestRetentionShortensALiveStream(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	p := j.Prepare(testContext())
	for range 5000 {
		record(t, j, testOutcome(p, 1))
	}
	waitFor(t, "segments", func() bool { return len(segmentsLeft(t, o.Path)) > 5 })
	r := &retaining{path: o.Path, policy: Retention{Age: day}, after: 2 * day}
	waitFor(t, "what is not kept to go", func() bool {
		k := r.retainer(t)
		k.own = j.Stream()
		k.pass()
		defer func() { _ = k.lock.Close() }()
		if err := k.retain(); err != nil {
			t.Fatal(err)
		}
		return len(r.watch.removed) > 1
	})
	mustVerify(t, o.Path)
	first := readAll(t, o.Path)[0].Sequence
	if first == 1 {
		t.Error("its beginning is still there")
	}
	for range 100 {
		record(t, j, testOutcome(p, 1))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Path)
	people(t, o, 10) // recovery of a stream without its beginning
	v := mustVerify(t, o.Path)
	if len(v.Streams) != 2 {
		t.Errorf("%+v", v.Streams)
	}
}

// What a sink has not taken, what is held, and what is younger stays.
func TestRetentionKeeps(t *testing.T) {
	path := journalOfDays(t, 2, 200)
	streams, err := filepath.Glob(filepath.Join(path, "*-*-*"))
	if err != nil {
		t.Fatal(err)
	}
	before := readAll(t, path)
	mid := time.Now()
	for name, r := range map[string]*retaining{
		"young":    {policy: Retention{Age: 100 * day}, after: 99 * day},
		"forever":  {policy: Retention{}, after: 9999 * day},
		"not full": {policy: Retention{Size: 1 << 40}, after: 9999 * day},
		"at least": {policy: Retention{Size: 1, AtLeast: 30 * day}, after: 29 * day},
		"no sink answers": {
			policy: Retention{Age: day}, after: 9 * day, upkeep: &upkeep{err: errors.New("gone")},
		},
		"a sink has taken nothing": {
			policy: Retention{Age: day}, after: 9 * day,
			upkeep: &upkeep{taken: map[string]uint64{filepath.Base(streams[0]): 0, filepath.Base(streams[1]): 3}},
		},
		"a tier": {
			policy: Retention{Age: day, Tiers: [4]time.Duration{1: 50 * day}}, after: 49 * day,
			upkeep: &upkeep{tiers: map[string]int{testContext().Backend: 1}},
		},
		"a backend that nobody knows": {
			policy: Retention{Age: day, Tiers: [4]time.Duration{0: 50 * day}}, after: 49 * day,
		},
	} {
		r.path = path
		r.run(t)
		if len(r.watch.removed) > 0 {
			t.Errorf("%s: removed %v", name, r.watch.removed)
		}
	}
	h, err := AddHold(path, Hold{Until: mid, Reason: "case 4711", By: "erin"})
	if err != nil {
		t.Fatal(err)
	}
	r := &retaining{path: path, policy: Retention{Age: day}, after: 9 * day}
	if r.run(t); len(r.watch.removed) > 0 {
		t.Errorf("removed in spite of a hold: %v", r.watch.removed)
	}
	if err := ReleaseHold(path, h.ID); err != nil {
		t.Fatal(err)
	}
	if after := readAll(t, path); !reflect.DeepEqual(after, before) {
		t.Error("the journal reads otherwise")
	}
	damaged := filepath.Join(path, "holds", "x.json")
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.run(t); len(r.watch.removed) > 0 || len(r.watch.failed) == 0 {
		t.Error("removed although a hold cannot be read")
	}
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
	if r.run(t); len(r.watch.removed) == 0 {
		t.Error("nothing was removed at last")
	}
}

func TestRetentionBySize(t *testing.T) {
	path := journalOfDays(t, 2, 300)
	archiveAll(t, path)
	size, err := treeSize(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &retaining{path: path, policy: Retention{Size: size / 2, AtLeast: day}, after: 2 * day}
	r.run(t)
	now, err := treeSize(path)
	if err != nil || now > size/2+4096 || now < size/5 {
		t.Errorf("%d bytes of %d, %v", now, size, err)
	}
	mustVerify(t, path)
	if !slices.ContainsFunc(r.events, func(e *audit.Event) bool { return e.Cause == "size" }) {
		t.Error("no record tells why")
	}
}

// The tiers of backends: each segment is kept for the longest that a record asks for.
func TestRetentionByTier(t *testing.T) {
	policy := Retention{Age: 100 * day, Tiers: [4]time.Duration{0: 1000 * day, 3: 10 * day}, AtLeast: 5 * day}
	for _, c := range []struct {
		tiers uint32
		keep  time.Duration
	}{
		{0, 100 * day},
		{tierNone, 100 * day},
		{1 << 3, 10 * day},
		{1<<3 | tierNone, 100 * day},
		{1 << 1, 100 * day},
		{1<<3 | 1, 1000 * day},
		{tierUnknown, 1000 * day},
	} {
		if keep := policy.keep(c.tiers); keep != c.keep {
			t.Errorf("%#x: %v", c.tiers, keep)
		}
	}
}

// TestRetentionIsKilled ends a removal before each of its steps: what is left is
// proven, and the next pass completes it. No blob is missed, and none is left over.
func TestRetentionIsKilled(t *testing.T) {
	whole := t.TempDir()
	for i := range 2 {
		j := open(t, signedOptions(t, whole))
		p := j.Prepare(testContext())
		for k := range 40 {
			record(t, j, &audit.Event{Type: audit.Statement, Prepared: p, Decision: audit.Denied, Text: longText(20_000, uint64(k/20+i))})
			record(t, j, &audit.Event{Type: audit.Statement, Prepared: p, Decision: audit.Denied, Text: strings.Repeat("x", 9000)})
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	archiveAll(t, whole)
	cut := readAll(t, whole)[60].Time
	hold, err := AddHold(whole, Hold{Since: cut, Reason: "the rest"})
	if err != nil {
		t.Fatal(err)
	}
	steps, removed := 0, 0
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
		more = false
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
		r.step = nil
		r.run(t)
		v := mustVerify(t, path)
		removed = max(removed, len(r.watch.removed))
		if len(r.watch.failed) > 0 || len(v.Notes) != 1 {
			t.Fatalf("killed at step %d and done again: %v, notes %v", at, r.watch.failed, v.Notes)
		}
		if err := ReleaseHold(path, hold.ID); err != nil {
			t.Fatal(err)
		}
		r.run(t)
		people(t, signedOptions(t, path), 1)
		mustVerify(t, path)
		if left := blobFiles(t, path); len(left) > 0 {
			t.Fatalf("killed at step %d and done again: blobs left: %v", at, left)
		}
		if t.Failed() {
			t.Fatalf("killed at step %d", at)
		}
		steps++
	}
	if steps < 12 || removed == 0 {
		t.Errorf("%d steps, %d removals", steps, removed)
	}
}

// A removal that cannot be recorded, or signed for, does not take place.
func TestRetentionFails(t *testing.T) {
	path := journalOfDays(t, 1, 200)
	archiveAll(t, path)
	before := segmentsLeft(t, path)
	for _, what := range []string{"record the removal", "create the index", "sync the index", "name the tombstone", "remove the segment"} {
		r := &retaining{path: path, policy: Retention{Age: day}, after: 2 * day}
		r.step = func(s string) error {
			if s == what {
				return errors.New("no room")
			}
			return nil
		}
		k := r.retainer(t)
		if err := k.retain(); err != nil {
			t.Fatal(err)
		}
		if len(r.watch.removed) > 0 || len(r.watch.failed) != 1 || !slices.Equal(segmentsLeft(t, path), before) {
			t.Errorf("%s: removed %v, failed %v", what, r.watch.removed, r.watch.failed)
		}
		mustVerify(t, path)
	}
}

// What a forger makes of tombstones, indexes and what is behind them.
func TestForgedRemoval(t *testing.T) {
	whole := journalOfDays(t, 1, 300)
	streams, err := filepath.Glob(filepath.Join(whole, "*-*-*")) // the elder one
	if err != nil {
		t.Fatal(err)
	}
	people(t, signedOptions(t, whole), 300)
	archiveAll(t, whole)
	stream := filepath.Base(streams[0])
	shortened := copyTree(t, whole)
	r := &retaining{path: shortened, policy: Retention{Age: day}, after: 2 * day}
	numbers, err := segmentNumbers(streams[0])
	if err != nil || len(numbers) < 3 {
		t.Fatal(numbers, err)
	}
	x, err := readIndex(streams[0], 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AddHold(shortened, Hold{Since: x.Latest.Add(1), Reason: "segment 3 on"}); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	if len(r.watch.removed) < 1 {
		t.Fatal("nothing was removed")
	}
	gone := len(r.watch.removed)
	for name, c := range map[string]struct {
		from string
		do   func(path string) error
		says string
	}{
		"no tombstone":    {shortened, func(path string) error { return os.Remove(tombstonePath(path, stream)) }, "missing"},
		"without removal": {whole, func(path string) error { return os.Remove(filepath.Join(path, stream, "00000001.seg.zst")) }, "missing"},
		"one more removed": {shortened, func(path string) error {
			return os.Remove(filepath.Join(path, stream, fileName(uint64(gone+1))+".zst"))
		}, "missing"},
		"all removed":      {shortened, func(path string) error { return os.RemoveAll(filepath.Join(path, stream)) }, "missing"},
		"made by somebody": {whole, func(path string) error { return forgeTombstone(path, stream, x) }, "not signed"},
		"damaged": {shortened, func(path string) error {
			b, err := os.ReadFile(tombstonePath(path, stream))
			if err != nil {
				return err
			}
			b[60] ^= 1
			return os.WriteFile(tombstonePath(path, stream), b, 0o600)
		}, "cannot be used"},
		"cut": {shortened, func(path string) error { return os.Truncate(tombstonePath(path, stream), 200) }, "cannot be used"},
	} {
		path := copyTree(t, c.from)
		if err := c.do(path); err != nil {
			t.Fatal(name, err)
		}
		v := verifyAll(t, path)
		if !slices.ContainsFunc(v.Findings, func(f Finding) bool { return strings.Contains(f.Reason, c.says) }) {
			t.Errorf("%s: %v", name, v.Findings)
		}
	}
}

// forgeTombstone removes the first two segments, and signs for it with another key.
func forgeTombstone(path, stream string, x *Index) error {
	_, other := testKey(2)
	t := &Tombstone{
		Name: stream, Stream: x.Stream, Why: RemovedForAge, Segment: 2, First: x.First, Last: x.Last, Before: x.Before, Behind: x.Behind,
		Latest: x.Latest, At: time.Now(),
	}
	b, err := appendSigned(t.body(), tombstoneDomain, other)
	if err != nil {
		return err
	}
	return errors.Join(os.Mkdir(filepath.Join(path, tombstoneFolder), 0o700), os.WriteFile(tombstonePath(path, stream), b, 0o600),
		os.Remove(filepath.Join(path, stream, "00000001.seg.zst")), os.Remove(filepath.Join(path, stream, "00000002.seg.zst")))
}

// Whoever can write files cannot have the proxy remove, and sign for, what is to be
// kept: an index that lies about time or tier is held against the records.
func TestRetentionBelievesNoIndex(t *testing.T) {
	path := journalOfDays(t, 1, 200)
	archiveAll(t, path)
	indexes, err := filepath.Glob(filepath.Join(path, "*", "*.idx"))
	if err != nil || len(indexes) < 2 {
		t.Fatal(indexes, err)
	}
	for _, file := range indexes {
		x, err := parseIndex(mustRead(t, file))
		if err != nil {
			t.Fatal(err)
		}
		l := x.Label
		l.tiers = 1 << 3
		old := time.Now().Add(-1000 * day)
		b := mustRead(t, file)
		copy(b, l.encode(old.UnixNano(), old.UnixNano()))
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &retaining{path: path, policy: Retention{Age: day, Tiers: [4]time.Duration{3: time.Hour}}, after: 0}
	r.run(t)
	if len(r.watch.removed) > 0 || len(r.watch.failed) == 0 {
		t.Errorf("removed %v, failed %v", r.watch.removed, r.watch.failed)
	}
}

// A forged tombstone does not make the proxy complete a removal that it never began.
func TestRetentionCompletesNoForgedRemoval(t *testing.T) {
	path := journalOfDays(t, 1, 200)
	archiveAll(t, path)
	streams, err := filepath.Glob(filepath.Join(path, "*-*-*"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := readIndex(streams[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	_, other := testKey(2)
	forged := &Tombstone{Name: filepath.Base(streams[0]), Stream: x.Stream, Segment: 1, First: 1, Last: x.Last, Whole: true, At: time.Now(), Latest: x.Latest}
	b, err := appendSigned(forged.body(), tombstoneDomain, other)
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(path, tombstoneFolder), 0o700), os.WriteFile(tombstonePath(path, forged.Name), b, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	before := segmentsLeft(t, path)
	r := &retaining{path: path, policy: Retention{Age: 100 * day}, after: 0}
	r.run(t)
	if !slices.Equal(segmentsLeft(t, path), before) || len(r.watch.failed) == 0 {
		t.Errorf("removed for a forged tombstone; failed %v", r.watch.failed)
	}
}

// A blob that is used again while a sweep looks at it stays, or is made anew.
func TestSweepLeavesWhatIsUsed(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	j := open(t, o)
	text := longText(50_000, 1)
	ref := keepBlob(t, j, text)
	r := &retaining{path: o.Path, policy: Retention{Age: day}}
	sweep := func(after time.Duration) {
		t.Helper()
		r.after = after
		k := r.retainer(t)
		if err := k.sweep(); err != nil {
			t.Fatal(err)
		}
	}
	sweep(sweepGrace / 2)
	if len(blobFiles(t, o.Path)) != 1 {
		t.Fatal("a blob that is about to be named was removed")
	}
	r.step = func(what string) error {
		if what == "remove a blob" {
			now := time.Now().Add(2 * sweepGrace) // it was used when its name had just gone
			return os.Chtimes(blobFiles(t, o.Path)[0], now, now)
		}
		return nil
	}
	sweep(2 * sweepGrace)
	r.step = nil
	// The time was read before: what is gone is refused, and not named.
	j.blobs.forget(ref.Digest)
	_, err := j.Record(&audit.Event{Type: audit.Statement, Decision: audit.Denied, TextBlob: ref})
	if there := len(blobFiles(t, o.Path)) == 1; there != (err == nil) {
		t.Errorf("there %v, %v", there, err)
	}
	record(t, j, &audit.Event{Type: audit.Prepare, Text: text})
	sweep(9 * sweepGrace)
	if len(blobFiles(t, o.Path)) != 1 {
		t.Error("a blob that a record names was removed")
	}
	proven(t, o.Path)
}

func TestHolds(t *testing.T) {
	path := t.TempDir()
	for _, bad := range []Hold{{}, {Reason: " "}, {Reason: strings.Repeat("x", maxReason+1)}, {Reason: "x", Since: time.Now(), Until: time.Now().Add(-day)}} {
		if _, err := AddHold(path, bad); err == nil {
			t.Errorf("%.20v was taken", bad)
		}
	}
	var ids []string
	for i := range 3 {
		h, err := AddHold(path, Hold{Reason: fmt.Sprint("case ", i), By: "erin"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, h.ID)
	}
	all, err := Holds(path)
	if err != nil || len(all) != 3 || all[1].ID != ids[1] || all[2].Reason != "case 2" {
		t.Errorf("%v, %v", all, err)
	}
	for _, id := range []string{"nosuch", "../x", "", ids[0] + ".json"} {
		if err := ReleaseHold(path, id); !errors.Is(err, ErrNoHold) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := ReleaseHold(path, ids[1]); err != nil {
		t.Fatal(err)
	}
	if all, err := Holds(path); err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}
