package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

func TestMain(m *testing.M) {
	syscalls.Launch()
	os.Exit(testkit.Main(m))
}

// site is a proxy whose backend and controller are behind wires, and clients too.
type site struct {
	*testkit.Site
	client, backend, directory *wire
	dsn                        string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	s.Site = testkit.NewSite(t, func(c *testkit.SiteConfig) {
		controller, err := url.Parse(c.Controller)
		if err != nil {
			t.Fatal(err)
		}
		s.backend = lay(t, c.BackendHost, c.BackendAddress)
		s.directory = lay(t, c.ControllerIP, controller.Host)
		c.BackendAddress = s.backend.Addr().String()
		c.Controller = "ldaps://" + s.directory.Addr().String()
	})
	s.client = lay(t, s.Host, net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))))
	s.dsn = strings.Replace(s.LabProxied(), fmt.Sprintf("port=%d ", s.Port), fmt.Sprintf("port=%d ", s.client.Addr().(*net.TCPAddr).Port), 1)
	return s
}

// TestCutAnywhere cuts each wire before each piece that travels over it.
func TestCutAnywhere(t *testing.T) {
	s := newSite(t)
	for range 3 { // until everything that is kept is there
		if told := s.tell(t, "warm"); told.err != nil {
			t.Fatal(told.err)
		}
	}
	s.rests(t)
	before := s.held(t)
	for _, c := range []struct {
		name string
		wire *wire
		// codes are what a client may be told, where it is told at all and is not let
		// in; "" that it hears nothing, for its own wire is cut.
		codes []string
	}{
		{"client", s.client, []string{""}},
		{"backend", s.backend, []string{"08006", "08004"}},
		{"directory", s.directory, []string{"57P03"}},
	} {
		for side, name := range []string{"from who connects", "from who accepts"} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				s.everywhere(t, c.wire, side, c.codes)
			})
		}
	}
	t.Run("refused", s.refused)
	last := s.tell(t, "the last")
	if last.err != nil {
		t.Error(last.err)
	}
	s.rests(t)
	s.leaksNothing(t, before)
	s.keyIsGone(t, last)
	s.onRecord(t, nil)
}

// everywhere tells the story with each cut of a wire's side in turn, until one is
// beyond the story's end.
func (s *site) everywhere(t *testing.T, w *wire, side int, codes []string) {
	t.Helper()
	defer w.arm(cut{at: -1})
	for _, c := range []cut{{side: side}, {side: side, reset: true}, {side: side, inMid: true}, {side: side, reset: true, inMid: true}} {
		for s.cut(t, w, c, codes) {
			c.at++
		}
		if c.at < 3 { // the directory's: who has the name, the password, the account
			t.Errorf("only %d pieces travelled", c.at)
		}
	}
}

// cut tells the story with one cut, and reports whether it came to it.
func (s *site) cut(t *testing.T, w *wire, c cut, codes []string) bool {
	t.Helper()
	w.arm(c)
	told := s.tell(t, fmt.Sprintf("%s: %s", t.Name(), c))
	_, done := w.travelled()
	switch {
	case told.err == nil:
	case done:
		s.judge(t, c, told, codes)
	default:
		t.Errorf("nothing was cut, and the session ended with %v", told.err)
	}
	return done
}

// refused refuses the next connection of each wire.
func (s *site) refused(t *testing.T) {
	for _, c := range []struct {
		wire *wire
		code string
	}{{s.backend, "08006"}, {s.directory, "57P03"}} {
		c.wire.drop(true)
		if !s.cut(t, c.wire, cut{dial: true}, []string{c.code}) {
			t.Errorf("%s: nobody connected", c.code)
		}
		c.wire.arm(cut{at: -1})
	}
}

func (s *site) tell(t *testing.T, tag string, more ...step) *told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := story(ctx, s.dsn, tag, more...)
	if ctx.Err() != nil {
		t.Fatalf("%s: the session hangs behind %q\n%s", tag, told.completed, s.LogTail())
	}
	return told
}

// judge holds what a client was told against what it may be told: nothing, too, where
// its own wire was cut, and where the answer at hand was, in the middle of a message.
func (s *site) judge(t *testing.T, c cut, told *told, codes []string) {
	t.Helper()
	if slices.Contains(codes, told.code()) {
		return
	}
	end := s.Await(t, "the end of a session", func(r *journal.Record) bool { return r.Type == audit.SessionEnd && r.BackendPID == uint64(told.pid) })
	if told.code() == "" && end.Incident == "" && told.rows() {
		return
	}
	t.Errorf("%s: behind %q the client was told %q: %v; on record as %s (%s), incident %q",
		c, told.completed, told.code(), told.err, end.Cause, end.Detail, end.Incident)
}

// rests waits until no session is left, at the proxy or at its backend.
func (s *site) rests(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		var metrics strings.Builder
		if err := s.Get(ctx, "/metrics", &metrics); err != nil {
			return err
		}
		if n := sum(metrics.String(), "pgcustos_sessions"); n != 0 {
			return fmt.Errorf("%v sessions are left in the proxy", n)
		}
		left, err := s.Postgres.Value(ctx, testkit.LabDatabase,
			"SELECT count(*) FROM pg_stat_activity WHERE usename = '"+testkit.LabRole+"'")
		if err == nil && left != "0" {
			err = fmt.Errorf("%s sessions are left at the backend", left)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// holdings are what a session may leave behind.
type holdings struct{ goroutines, descriptors float64 }

func (s *site) held(t *testing.T) holdings {
	t.Helper()
	var metrics strings.Builder
	if err := s.Get(t.Context(), "/metrics", &metrics); err != nil {
		t.Fatal(err)
	}
	return holdings{sum(metrics.String(), "go_goroutines"), sum(metrics.String(), "process_open_fds")}
}

// leaksNothing waits until the proxy holds no more than it did. Each wire of the
// directory that was cut may stand for one that is kept: those come and go.
func (s *site) leaksNothing(t *testing.T, before holdings) {
	t.Helper()
	const spare = 8 // fewer than a hundredth of the sessions that were cut
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		now := s.held(t)
		if now.goroutines > before.goroutines+spare || now.descriptors > before.descriptors+spare {
			return fmt.Errorf("before %+v, now %+v", before, now)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// keyIsGone holds that nothing of the proxy answers to the cancel key of a session that
// has ended.
func (s *site) keyIsGone(t *testing.T, told *told) {
	t.Helper()
	if told.conn == nil {
		return // there was no session
	}
	unknown := func() float64 {
		var metrics strings.Builder
		if err := s.Get(t.Context(), "/metrics", &metrics); err != nil {
			t.Fatal(err)
		}
		return sum(metrics.String(), `pgcustos_cancels_total{result="unknown_key"}`)
	}
	before := unknown()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// Who has sent too many wrong keys is not heard for a while: it is said again.
	err := testkit.WaitFor(ctx, func() error {
		if err := told.conn.CancelRequest(ctx); err != nil {
			return err
		}
		if unknown() == before {
			return errors.New("a cancel with the key of a session that has ended is not one of an unknown key")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// sum adds the values of a metric, with all its labels.
func sum(metrics, name string) (total float64) {
	for line := range strings.Lines(metrics) {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' ')+1:]), 64)
		if err == nil {
			total += v
		}
	}
	return total
}

// onRecord holds that what began is recorded to its end: each session, and each
// statement that was forwarded; but for streams that broke.
func (s *site) onRecord(t *testing.T, broken map[string]bool) {
	t.Helper()
	type at struct {
		stream   string
		sequence uint64
	}
	open, pending := map[string]bool{}, map[at]string{}
	records, err := s.Records(func(r *journal.Record) bool { return !broken[r.Stream] })
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, r := range records {
		switch r.Type {
		case audit.SessionStart:
			sessions++
			open[r.Session] = true
		case audit.SessionEnd:
			if !open[r.Session] && r.Session != "" {
				err = errors.Join(err, fmt.Errorf("session %s ends, and never began", r.Session))
			}
			delete(open, r.Session)
		case audit.Statement:
			if r.Decision == audit.Allowed {
				pending[at{r.Stream, r.Sequence}] = r.Text
			}
		case audit.Outcome:
			delete(pending, at{r.Stream, r.Statement})
		default:
		}
	}
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d records of %d sessions", len(records), sessions)
	if len(open) > 0 {
		t.Errorf("%d sessions have no end on record", len(open))
	}
	for of, text := range pending {
		t.Errorf("statement %d has no outcome on record: %.80s", of.sequence, text)
	}
}
