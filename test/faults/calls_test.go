package faults

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

var everyCall = flag.Bool("every-call", false, "fail each system call of a session in turn, and not a few of them")

// failing is a site whose proxy makes its system calls under a supervisor's eyes.
type failing struct {
	*site
	calls  *syscalls.Supervisor
	before holdings
	told   int             // stories
	stream string          // that the running process writes
	spoilt map[string]bool // streams that ended in a failure
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	s := &failing{spoilt: map[string]bool{}}
	var err error
	s.calls, err = syscalls.New(unix.SYS_OPENAT, unix.SYS_FALLOCATE, unix.SYS_PWRITE64, unix.SYS_PREAD64, unix.SYS_READ, unix.SYS_WRITE,
		unix.SYS_MMAP, unix.SYS_RENAMEAT, unix.SYS_UNLINKAT, unix.SYS_GETDENTS64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
		unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_EPOLL_CTL)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	started, err := testkit.StartSite(ctx, "", testkit.SiteOptions{
		Launch:   s.calls.Start,
		Postgres: tellsAll,
		Fill: func(c *testkit.SiteConfig) {
			testkit.WithLab(c)
			c.SegmentSize = "1MiB"
			c.ExtraRules = strings.Replace(c.ExtraRules, "replication: physical", "replication: physical\n      durability: disk", 1)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(started.LogTail())
		}
		if err := started.Stop(); err != nil {
			t.Error(err)
		}
		if err := s.calls.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := started.SetupLab(ctx); err != nil {
		t.Fatal(err)
	}
	s.site = &site{Site: started, dsn: started.LabProxied()}
	s.began(t)
	return s
}

// began is a process that serves: it tells the story until it holds what it keeps.
func (s *failing) began(t *testing.T) {
	t.Helper()
	for range 2 {
		told := s.tell(t)
		if told.err != nil {
			t.Fatal(told.err)
		}
		s.stream = s.Await(t, "a session", func(r *journal.Record) bool {
			return r.Type == audit.SessionStart && r.BackendPID == uint64(told.pid)
		}).Stream
	}
	s.rests(t)
	s.before = s.held(t)
}

// tell tells the story, with what else makes calls.
func (s *failing) tell(t *testing.T) *told {
	t.Helper()
	s.told++
	tag := fmt.Sprintf("told-%d-", s.told)
	return s.site.tell(t, tag, large(tag)...)
}

// quiet waits until what the story left to be done in the background is done.
func (s *failing) quiet(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.calls.Quiet(ctx, 50*time.Millisecond); err != nil {
		t.Fatalf("it does not come to rest: %v", err)
	}
}

// TestFailAnywhere fails, for each kind of the system calls that a session makes the
// proxy make, one after the other.
func TestFailAnywhere(t *testing.T) {
	s := newFailing(t)
	files := s.Journal + "/"
	passing, breaking := peerFailures(), deaths(files)
	for _, f := range diskFailures(files) {
		if f.breaks {
			breaking = append(breaking, f)
		} else {
			passing = append(passing, f)
		}
	}
	s.failKinds(t, passing)
	s.rests(t)
	s.onRecord(t, s.spoilt)
	s.failKinds(t, breaking)
	// Go reads from a pipe whether a child has begun, and where that read fails it waits for
	// the child's end (forkExec, package syscall): no kernel has it fail.
	peers := slices.DeleteFunc(peerFailures(), func(f failure) bool {
		return f.fault.Call == unix.SYS_READ && f.fault.On == "pipe:" && !f.fault.Child
	})
	for _, f := range slices.Concat(diskFailures(files), peers) {
		if *everyCall && !f.fault.Lasts {
			t.Run("at a start: "+f.fault.Kind(), func(t *testing.T) { s.failStarts(t, f) })
		}
	}
	s.rests(t)
	s.verifies(t)
	s.onRecord(t, s.spoilt)
	s.allSaid(t)
}

func (s *failing) failKinds(t *testing.T, kinds []failure) {
	t.Helper()
	for _, f := range kinds {
		if *everyCall || f.few != nil {
			t.Run(f.fault.Kind(), func(t *testing.T) { s.failAll(t, f) })
		}
	}
}

// never is a call that no story comes to.
const never = 1 << 30

// failAll fails the calls of a kind: as many as a story makes, for what is left of those
// before makes more of them each time.
func (s *failing) failAll(t *testing.T, f failure) {
	t.Helper()
	var last *told
	failed, codes := 0, map[string]int{}
	at := f.few
	if *everyCall {
		at = nil
		for n := range s.count(t, f) {
			at = append(at, n)
		}
	}
	for _, n := range at {
		f.fault.At = n
		told, fell := s.fail(t, &f)
		for range 4 {
			if fell || *everyCall {
				break
			}
			told, fell = s.fail(t, &f) // what is done in the background may come later
		}
		if !fell {
			continue // there were not as many this time
		}
		failed++
		codes[told.code()]++
		last = s.mend(t, &f)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d calls failed; clients were told %v", failed, codes)
	s.rests(t)
	s.leaksNothing(t, s.before)
	if last != nil {
		s.keyIsGone(t, last)
	}
	if failed == 0 && !*everyCall {
		t.Error("nothing failed")
	}
}

// count returns how many calls of a kind a story makes.
func (s *failing) count(t *testing.T, f failure) int {
	t.Helper()
	f.fault.At = never
	s.calls.Arm(f.fault)
	told := s.tell(t)
	s.quiet(t)
	seen, _ := s.calls.Disarm()
	if told.err != nil {
		t.Fatal(told.err)
	}
	return seen
}

// fail tells the story with a fault, and reports whether it came to that.
func (s *failing) fail(t *testing.T, f *failure) (told *told, fell bool) {
	t.Helper()
	s.calls.Arm(f.fault)
	told = s.tell(t)
	s.quiet(t)
	_, hits := s.calls.Disarm()
	switch {
	case told.err != nil && hits == 0:
		t.Errorf("nothing failed, and the session ended with %v", told.err)
	case told.err != nil && !slices.Contains(f.codes, told.code()):
		t.Errorf("%s: behind %q the client was told %q: %v", f.fault, told.completed, told.code(), told.err)
	}
	return told, hits > 0
}

// mend sees that the proxy serves again: by itself, or where it may have broken, after
// a new start. It returns a story that was told to its end by the process that serves;
// nil where that is a new one.
func (s *failing) mend(t *testing.T, f *failure) *told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var again *told
	err := testkit.WaitFor(ctx, func() error {
		s.told++
		if again = s.site.tell(t, fmt.Sprintf("told-%d-", s.told)); again.err != nil && f.breaks && slices.Contains([]string{broken, ""}, again.code()) {
			return testkit.ErrGiveUp
		}
		return again.err
	})
	switch {
	case err == nil:
		return again
	case !f.breaks:
		t.Fatalf("%s: it is not well again: %v\n%s", f.fault, err, s.LogTail())
	case f.fault.Errno != 0:
		s.rests(t)
		s.leaksNothing(t, s.before)
		// It says that it could not record its own end.
		if err := s.StopProxy(); err != nil && !strings.Contains(err.Error(), "exit status 1\n") {
			t.Errorf("%s: %v", f.fault, err)
		}
	}
	s.spoilt[s.stream] = true
	if err := s.StartProxy(ctx); err != nil {
		t.Fatalf("%s: %v", f.fault, err)
	}
	s.began(t)
	return nil
}

// failStarts fails the calls of a kind in starts: such a start fails, and says so, or
// goes on as if nothing had been; and the next one finds nothing amiss.
func (s *failing) failStarts(t *testing.T, f failure) {
	t.Helper()
	f.fault.At = never
	calls, _, _ := s.startWith(t, &f)
	failed, refused := 0, 0
	for f.fault.At = 0; f.fault.At < calls && !t.Failed(); f.fault.At++ {
		_, hits, err := s.startWith(t, &f)
		failed += min(hits, 1)
		if err == nil {
			continue
		}
		if refused++; hits == 0 || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("%s: %v", f.fault, err)
		}
		if err := s.StartProxy(t.Context()); err != nil {
			t.Errorf("%s, and at the next start: %v", f.fault, err)
		}
	}
	t.Logf("%d calls failed, and %d starts", failed, refused)
}

// startWith stops the proxy and starts it with a fault.
func (s *failing) startWith(t *testing.T, f *failure) (seen, hits int, err error) {
	t.Helper()
	// It may not be able to record its end.
	if err := s.StopProxy(); err != nil && (!f.breaks || !strings.Contains(err.Error(), "exit status 1\n")) {
		t.Fatal(err)
	}
	s.calls.Arm(f.fault)
	err = s.StartProxy(t.Context())
	seen, hits = s.calls.Disarm()
	return seen, hits, err
}
