package journal

import (
	"errors"
	"io"
	"os"
	"testing"
)

// meter counts what is read of a segment.
type meter struct {
	segmentFile
	bytes int64
}

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	m.bytes += int64(len(p))
	return m.segmentFile.ReadAt(p, off)
}

// follower is a reader at the end of a live segment of 16 MiB.
func follower(t *testing.T) (*Journal, *Reader, *meter) {
	t.Helper()
	o := Options{Path: t.TempDir(), Node: "node-1", SegmentSize: 16 << 20}
	j := open(t, o)
	reader, err := OpenReader(ReaderOptions{Path: o.Path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	waitFor(t, "the first checkpoint", func() bool {
		r, err := reader.Next()
		return err == nil && r.Type == "checkpoint"
	})
	toEnd(t, reader)
	m := &meter{segmentFile: reader.streams[0].cur.file}
	reader.streams[0].cur.file = m
	return j, reader, m
}

func toEnd(t *testing.T, reader *Reader) (records int) {
	t.Helper()
	for {
		_, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
}

// TestFollowingReadsLittle polls a live segment, idle and with a record at a time.
func TestFollowingReadsLittle(t *testing.T) {
	j, reader, m := follower(t)
	const polls, most = 100, 2 << 20
	for range polls {
		toEnd(t, reader)
	}
	if m.bytes > polls*most {
		t.Errorf("idle: %d bytes a poll", m.bytes/polls)
	}
	m.bytes = 0
	st := testStatement(j.Prepare(testContext()))
	for range polls {
		record(t, j, st)
		j.Release(1)
		if toEnd(t, reader) == 0 {
			t.Fatal("the record was not read")
		}
	}
	if m.bytes > polls*most {
		t.Errorf("with a record each: %d bytes a poll", m.bytes/polls)
	}
}

// TestFollowingMeetsDamage puts a record behind a gap into the tail of a segment that
// was judged when it was blank.
func TestFollowingMeetsDamage(t *testing.T) {
	for _, settle := range []bool{false, true} {
		j, reader, _ := follower(t)
		st := testStatement(j.Prepare(testContext()))
		record(t, j, st)
		last, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		begin := last.Offset
		toEnd(t, reader)
		content := mustRead(t, segmentPath(j, 1))
		file, err := os.OpenFile(segmentPath(j, 1), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		// The last record once more, far behind: its sums do not tell where it stands.
		if _, err := file.WriteAt(content[begin:begin+1024], 9<<20); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		var damage *CorruptionError
		if settle {
			err = reader.Settle()
		}
		for polls := 0; err == nil && polls < 16<<20/readWindow; polls++ {
			if _, err = reader.Next(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if !errors.As(err, &damage) {
			t.Errorf("settle %v: %v", settle, err)
		}
	}
}
