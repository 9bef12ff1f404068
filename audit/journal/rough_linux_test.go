package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// TestCutAtEachOffset cuts a segment at each of its bytes, a closed one and one
// whose process was killed: neither a reader nor a process that starts takes what
// is left for all there was.
func TestCutAtEachOffset(t *testing.T) {
	i := killed(t)
	i.write(t, i.content)
	sealed := filepath.Join(t.TempDir(), "journal")
	j := open(t, Options{Path: sealed, Node: "n", SegmentSize: 128 << 10, Reserve: 8 << 10})
	record(t, j, &audit.Event{Type: audit.Statement, Text: "SELECT 1", Context: &audit.Context{Session: "s"}})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, file string
		from, end  int // the header, and what is behind the last record
	}{
		"killed": {i.path, i.file, headerSize, i.end},
		"closed": {sealed, segmentPath(j, 1), 0, 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			content := mustRead(t, c.file)
			for cut := min(len(content), c.end) - 1; cut >= c.from; cut-- {
				if err := os.Truncate(c.file, int64(cut)); err != nil {
					t.Fatal(err)
				}
				var damage *CorruptionError
				if _, err := tryReadAll(c.path); !errors.As(err, &damage) {
					t.Fatalf("cut at %d: read: %v", cut, err)
				}
				if _, err := recoverStreams(c.path, thisMachine{}, false); !errors.As(err, &damage) {
					t.Fatalf("cut at %d: recovery: %v", cut, err)
				}
			}
		})
	}
}

// A clock that is set back changes neither the order of records nor what proves
// them.
func TestClockJumpsBack(t *testing.T) {
	path := t.TempDir()
	o := signedOptions(t, path)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	j := open(t, o)
	want := []time.Time{now, now.Add(-time.Hour), now.Add(time.Second), now.AddDate(-20, 0, 0), now}
	for _, at := range want {
		record(t, j, &audit.Event{Type: audit.SessionEnd, Time: at, Context: testContext()})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var got []time.Time
	for _, r := range readEvents(t, path) {
		if r.Type == audit.SessionEnd {
			got = append(got, r.Time)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records", len(got))
	}
	for i := range want {
		if !got[i].Equal(want[i]) {
			t.Errorf("record %d is of %v, want %v", i, got[i], want[i])
		}
	}
	mustVerify(t, path)
}
