package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/reading"
)

// served is a journal with a process that serves it, and a configuration that names it.
type served struct {
	path, config string
	journal      *journal.Journal
	stop         func() // ends the server
}

func serveJournal(t *testing.T) *served {
	t.Helper()
	s := &served{path: filepath.Join(t.TempDir(), "journal"), config: filepath.Join(t.TempDir(), "pgcustos.yaml")}
	if err := os.WriteFile(s.config, []byte("journal:\n  path: "+s.path+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.journal, err = journal.Open(journal.Options{Path: s.path, Node: "proxy-1", SegmentSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.journal.Close() })
	server, err := reading.Listen(reading.Options{Journal: s.path, Recorder: s.journal, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() { _ = server.Close() })
	t.Cleanup(s.stop)
	return s
}

func (s *served) run(t *testing.T, args ...string) result {
	t.Helper()
	return pgcustos(t, append(append([]string{"audit"}, args...), "--config", s.config)...)
}

// hold makes a hold, and returns its id.
func (s *served) hold(t *testing.T, args ...string) string {
	t.Helper()
	r := s.run(t, append([]string{"hold"}, args...)...)
	id, period, ok := strings.Cut(strings.TrimPrefix(r.stdout, "hold "), ": ")
	if r.code != exitOK || !ok || len(id) != 12 || period == "" {
		t.Fatalf("hold: %+v", r)
	}
	return id
}

// recorded are the records of holds and releases.
func (s *served) recorded(t *testing.T) (all []*journal.Record) {
	t.Helper()
	reader, err := journal.OpenReader(journal.ReaderOptions{Path: s.path})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // it was only read
	for {
		r, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Type == audit.Held || r.Type == audit.Released {
			all = append(all, r)
		}
	}
}

// TestAuditHold holds, lists and releases, each on record with who did it and why.
func TestAuditHold(t *testing.T) {
	s := serveJournal(t)
	id := s.hold(t, "--since", "2026-11-01", "--until", "2026-12-01", "--reason", "case 4711")
	other := s.hold(t, "--reason", "case \x1b[2J4712\u202e")
	r := s.run(t, "holds")
	for _, want := range []string{
		id + "  records from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z  since ", "by " + userName() + ": case 4711\n", other + "  all records  ",
	} {
		if r.code != exitOK || !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in %+v", want, r)
		}
	}
	if strings.ContainsAny(r.stdout, "\x1b\u202e") {
		t.Errorf("what a reason holds acts in a terminal: %q", r.stdout)
	}
	if r := s.run(t, "release", id, "--reason", "case 4711 is closed"); r.code != exitOK {
		t.Errorf("release: %+v", r)
	}
	if r := s.run(t, "holds"); r.code != exitOK || strings.Contains(r.stdout, id) || !strings.Contains(r.stdout, other) {
		t.Errorf("holds behind a release: %+v", r)
	}
	records := s.recorded(t)
	if len(records) != 3 {
		t.Fatalf("%d records", len(records))
	}
	for i, want := range []struct {
		what audit.Type
		says []string
	}{
		{audit.Held, []string{"id=" + id, `--reason="case 4711"`, "--since=2026-11-01"}},
		{audit.Held, []string{"id=" + other}},
		{audit.Released, []string{"id=" + id, "is closed"}},
	} {
		r := records[i]
		if r.Type != want.what || r.Reader == nil || int(r.Reader.UID) != os.Geteuid() {
			t.Errorf("record %d: %s of %+v", i, r.Type, r.Reader)
		}
		for _, says := range want.says {
			if !strings.Contains(r.Filter, says) {
				t.Errorf("record %d: %q is missing in %q", i, says, r.Filter)
			}
		}
	}
}

func TestAuditHoldRefuses(t *testing.T) {
	s := serveJournal(t)
	id := s.hold(t, "--reason", "case 4711")
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no reason":             {[]string{"hold"}, exitUsage, "reason"},
		"an empty reason":       {[]string{"hold", "--reason", " "}, exitFailure, "needs a reason"},
		"a long reason":         {[]string{"hold", "--reason", strings.Repeat("x", 3000)}, exitFailure, "2048 are the most"},
		"a period upside down":  {[]string{"hold", "--reason", "x", "--since", "2026-12-01", "--until", "2026-11-01"}, exitFailure, "ends before it begins"},
		"no time":               {[]string{"hold", "--reason", "x", "--since", "yesterweek"}, exitFailure, "yesterweek"},
		"release nothing":       {[]string{"release", "--reason", "x"}, exitUsage, "arg"},
		"release without why":   {[]string{"release", id}, exitUsage, "reason"},
		"release what is not":   {[]string{"release", "000000000000", "--reason", "x"}, exitFailure, "pgcustos audit holds"},
		"release another file":  {[]string{"release", "../digest", "--reason", "x"}, exitFailure, "no such hold"},
		"a strange journal":     {[]string{"holds", "--journal", filepath.Join(s.path, "nowhere")}, exitFailure, "nowhere"},
		"holds with an operand": {[]string{"holds", id}, exitUsage, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := s.run(t, test.args...); r.code != test.code || !strings.Contains(r.stderr, test.says) {
				t.Errorf("%+v", r)
			}
		})
	}
	if n := len(s.recorded(t)); n != 1 {
		t.Errorf("%d records: what was refused was done", n)
	}
	if err := os.WriteFile(filepath.Join(s.path, "holds", "damaged.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.run(t, "holds"); r.code != exitFailure || !strings.Contains(r.stderr, "damaged.json") {
		t.Errorf("a damaged hold: %+v", r)
	}
}

// A release that cannot be recorded does not take place, and a hold that cannot be
// recorded stands, and says so.
func TestAuditHoldUnrecorded(t *testing.T) {
	s := serveJournal(t)
	id := s.hold(t, "--reason", "case 4711")
	s.stop()
	if r := s.run(t, "release", id, "--reason", "x"); r.code != exitFailure || !strings.Contains(r.stderr, "the hold stays, for its release cannot be recorded") {
		t.Errorf("release: %+v", r)
	}
	if r := s.run(t, "hold", "--reason", "case 4712"); r.code != exitFailure || !strings.Contains(r.stderr, "stands, and is not on record") {
		t.Errorf("hold: %+v", r)
	}
	all, err := journal.Holds(s.path)
	if err != nil || len(all) != 2 {
		t.Errorf("%d holds, %v", len(all), err)
	}
	if n := len(s.recorded(t)); n != 1 {
		t.Errorf("%d records", n)
	}
}
