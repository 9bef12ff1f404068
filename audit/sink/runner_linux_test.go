package sink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// taker is a sink in memory.
type taker struct {
	mu     sync.Mutex
	got    map[string][]uint64 // by stream, in the order of arrival
	others map[string]int      // by stream, how many were no checkpoints
	fault  func(try int) error // before anything is taken; nil: none
	after  func(try int) error // after everything was taken
	tries  int
}

func newTaker() *taker { return &taker{got: map[string][]uint64{}, others: map[string]int{}} }

func (k *taker) Deliver(_ context.Context, records []*journal.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries++
	if k.fault != nil {
		if err := k.fault(k.tries); err != nil {
			return err
		}
	}
	for _, r := range records {
		k.got[r.Stream] = append(k.got[r.Stream], r.Sequence)
		if r.Type != audit.Checkpoint { // the journal writes those when it likes
			k.others[r.Stream]++
		}
	}
	if k.after != nil {
		return k.after(k.tries)
	}
	return nil
}

func (k *taker) Close() error { return nil }

func (k *taker) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, s := range k.others {
		n += s
	}
	return n
}

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Options{Path: dir, Node: "n", SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func record(t *testing.T, j *journal.Journal, n int) uint64 {
	t.Helper()
	var last uint64
	for range n {
		r, err := j.Record(&audit.Event{Type: audit.Statement, Text: "SELECT 1", Form: 1})
		if err != nil {
			t.Fatal(err)
		}
		last = r.Sequence
	}
	return last
}

func start(t *testing.T, dir string, s sink.Sink, fill func(*sink.Options)) *sink.Runner {
	t.Helper()
	o := sink.Options{Name: "s", Sink: s, Journal: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), MaxRecords: 50}
	if fill != nil {
		fill(&o)
	}
	return sink.Start(o)
}

func stop(r *sink.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.Stop(ctx)
}

// run delivers what is there to a new sink.
func run(t *testing.T, dir string) *taker {
	t.Helper()
	k := newTaker()
	stop(start(t, dir, k, nil))
	return k
}

func readAll(t *testing.T, dir string) map[string][]uint64 {
	t.Helper()
	r, err := journal.OpenReader(journal.ReaderOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := map[string][]uint64{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[rec.Stream] = append(all[rec.Stream], rec.Sequence)
	}
}

// complete proves that the sink has every record of the journal, those of each
// stream in order but for repetitions.
func complete(t *testing.T, dir string, takers ...*taker) {
	t.Helper()
	for stream, want := range readAll(t, dir) {
		next := uint64(1)
		for _, k := range takers {
			for _, n := range k.got[stream] {
				if n > next {
					t.Fatalf("stream %s: record %d came where %d must", stream, n, next)
				}
				if n == next {
					next++
				}
			}
		}
		// A checkpoint may have come behind the last.
		if n := len(want); int(next) != n+1 && (int(next) < n || n == 0) {
			t.Errorf("stream %s: %d of %d records", stream, next-1, len(want))
		}
	}
}

func TestStreamsOfAllIncarnations(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		j := open(t, dir)
		record(t, j, 300)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	live := open(t, dir)
	record(t, live, 100)
	first := run(t, dir)
	complete(t, dir, first)
	if again := run(t, dir); again.count() != 0 {
		t.Errorf("%d records came again", again.count())
	}
	record(t, live, 10)
	third := run(t, dir)
	if third.count() != 10 {
		t.Errorf("%d records came, 10 were new", third.count())
	}
	complete(t, dir, first, third)
	taken, err := sink.Delivered(dir)
	if err != nil || len(taken["s"]) != 4 || taken["s"][live.Stream()] < 100 {
		t.Errorf("delivered: %v, %v", taken, err)
	}
}

// TestFaults is a sink that fails before, fails after, hangs and panics.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	k := newTaker()
	k.fault = func(try int) error {
		switch try {
		case 2:
			return errors.New("not now")
		case 4:
			panic("a fault")
		}
		return nil
	}
	k.after = func(try int) error {
		if try == 3 || try == 6 {
			return errors.New("the connection broke before the answer")
		}
		return nil
	}
	r := start(t, dir, k, nil)
	last := record(t, j, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := testkit.WaitFor(ctx, func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if s := k.got[j.Stream()]; len(s) == 0 || s[len(s)-1] < last {
			return fmt.Errorf("%d records", len(s))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop(r)
	complete(t, dir, k)
}

type hanging struct{}

func (hanging) Deliver(ctx context.Context, _ []*journal.Record) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) Close() error { return nil }

// TestDeadSink delays no record, keeps none from another sink, and ends in time.
func TestDeadSink(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var head uint64
	dead := start(t, dir, hanging{}, func(o *sink.Options) {
		o.Name, o.Stream, o.Head = "dead", j.Stream(), func() uint64 { return head }
	})
	head = record(t, j, 2000)
	k := newTaker()
	stop(start(t, dir, k, nil))
	complete(t, dir, k)
	if err := testkit.WaitFor(t.Context(), func() error {
		if records, age := dead.Lag(); records != head || age == 0 {
			return fmt.Errorf("lag %d records, %s", records, age)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	dead.Stop(ctx)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if _, err := os.Stat(filepath.Join(dir, "sinks", "dead")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a sink that took nothing has positions: %v", err)
	}
}

// TestDamagedPosition changes each byte of a position in turn: nothing is lost.
func TestDamagedPosition(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, 5)
	first := run(t, dir)
	file := filepath.Join(dir, "sinks", "s", j.Stream()+".pos")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if again := run(t, dir); again.count() != first.count() {
			t.Errorf("with the position %.90q %d records came, want %d", content, again.count(), first.count())
		}
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << rand.IntN(8)
		check(bad)
	}
	for _, content := range [][]byte{nil, good[:len(good)/2], append(good[:len(good):len(good)], good...), make([]byte, 1<<20)} {
		check(content)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if again := run(t, dir); again.count() != first.count() {
		t.Errorf("with a directory in its place %d records came", again.count())
	}
}

// TestPositionOfARemovedStream goes with it, and hinders nothing.
func TestPositionOfARemovedStream(t *testing.T) {
	dir := t.TempDir()
	old := open(t, dir)
	record(t, old, 5)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	live := open(t, dir)
	run(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, old.Stream())); err != nil {
		t.Fatal(err)
	}
	record(t, live, 5)
	if k := run(t, dir); k.others[live.Stream()] != 5 || k.count() != 5 {
		t.Errorf("got %v", k.got)
	}
	if _, err := os.Stat(filepath.Join(dir, "sinks", "s", old.Stream()+".pos")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the position is still there: %v", err)
	}
}

// TestCrashBetweenPositions loses the newer position of one stream of two.
func TestCrashBetweenPositions(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	record(t, a, 5)
	record(t, b, 5)
	run(t, dir)
	file := filepath.Join(dir, "sinks", "s", b.Stream()+".pos")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	record(t, b, 7)
	record(t, a, 7)
	run(t, dir)
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if k := run(t, dir); k.others[b.Stream()] != 7 || k.others[a.Stream()] != 0 {
		t.Errorf("got %v", k.got)
	}
}

// TestClockThatWasSetBack has records that are older than what was delivered.
func TestClockThatWasSetBack(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, 5)
	first := run(t, dir)
	for range 3 {
		if _, err := j.Record(&audit.Event{Type: audit.Configuration, Time: time.Now().Add(-5 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	record(t, j, 1)
	second := run(t, dir)
	complete(t, dir, first, second)
	if second.count() != 4 {
		t.Errorf("%d records came, 4 were new", second.count())
	}
}

// TestLargeRecords bounds a batch by its bytes.
func TestLargeRecords(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for range 20 {
		if _, err := j.Record(&audit.Event{Type: audit.Statement, Text: string(make([]byte, 100<<10)), Form: 1}); err != nil {
			t.Fatal(err)
		}
	}
	k := &sizes{taker: newTaker()}
	stop(start(t, dir, k, func(o *sink.Options) { o.MaxBytes = 300 << 10 }))
	complete(t, dir, k.taker)
	if k.most > 300<<10 {
		t.Errorf("a batch of %d bytes", k.most)
	}
}

type sizes struct {
	*taker
	most int
}

func (k *sizes) Deliver(ctx context.Context, records []*journal.Record) error {
	n := 0
	for _, r := range records {
		n += len(r.Text)
	}
	k.most = max(k.most, n)
	return k.taker.Deliver(ctx, records)
}

// TestArchivedBetweenStarts goes on within a segment that was compressed since.
func TestArchivedBetweenStarts(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, 100)
	first := newTaker()
	r := start(t, dir, first, nil)
	stop(r)
	record(t, j, 6000) // more than two segments
	stream := filepath.Join(dir, j.Stream())
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := journal.Open(journal.Options{Path: dir, Node: "n", SegmentSize: 256 << 10, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		plain, err := filepath.Glob(filepath.Join(stream, "*.seg"))
		if err == nil && len(plain) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %v", plain, err)
		}
		<-time.After(10 * time.Millisecond)
	}
	second := newTaker()
	stop(start(t, dir, second, nil))
	took, rest := first.got[j.Stream()], second.got[j.Stream()]
	if len(rest) < 6000 || rest[0] != took[len(took)-1]+1 {
		t.Errorf("took %d, up to %d; then %d from %d on", len(took), took[len(took)-1], len(rest), rest[0])
	}
	for i := range rest {
		if rest[i] != rest[0]+uint64(i) {
			t.Fatalf("record %d behind %d", rest[i], rest[i-1])
		}
	}
}
