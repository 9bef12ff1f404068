package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// TestLeaveOthers: whoever only reads closes nothing that a process left that died.
func TestLeaveOthers(t *testing.T) {
	checkLeaks(t)
	o := small(t)
	j := open(t, o)
	record(t, j, &audit.Event{Type: audit.Configuration, Cause: "one"})
	left := j.id.dir
	files := func() map[string]string {
		out := map[string]string{}
		names, err := filepath.Glob(filepath.Join(left, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(b)
		}
		return out
	}
	copied := t.TempDir() // as a process that died leaves it
	b, err := os.ReadFile(filepath.Join(left, "00000001.seg"))
	if err == nil {
		err = os.Mkdir(filepath.Join(copied, filepath.Base(left)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(copied, filepath.Base(left), "00000001.seg"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	left = filepath.Join(copied, filepath.Base(left))
	before := files()
	reader := o
	reader.Path, reader.LeaveOthers = copied, true
	if _, err := Open(reader); !errors.Is(err, ErrUnfinished) {
		t.Fatalf("over a stream that was left: %v", err)
	}
	if after := files(); len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	} else {
		for name, was := range before {
			if after[name] != was {
				t.Errorf("%s was changed", name)
			}
		}
	}
	// Beside one that is closed it writes, and names it.
	reader.Path = o.Path
	own, err := Open(reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	all := readEvents(t, o.Path)
	if last := all[len(all)-1]; last.Stream != own.Stream() {
		t.Errorf("the last record is of %s", last.Stream)
	}
}
